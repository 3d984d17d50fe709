"""How a plugin starts: import it, find its exports, describe them, run its ``on_start`` functions.

Not a module there: ``pyhost.guest`` runs this code in a plugin's interpreter once, which then lets go of it.
"""

import sys

from pyhost import _core
from pyhost.plugin import MARK, ON_RELOAD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType
    from typing import Any

    from pyhost.guest import Guest

    type Description = dict[str, Any]

CO_COROUTINE = 0x80


def start(guest: "Guest", config: "dict[str, Any]") -> None:
    """Make the ``guest`` the plugin that ``config`` (``loader.boot_configuration``) tells of."""
    sys.path[:] = config["path"]
    _core.log_name(config["name"], config["version"])
    module = _load_module(config)
    functions: list[Callable[..., Any]] = []
    descriptions: list[Description] = []
    start_hooks = []
    reload_hooks = []
    for value, marks in _marked(module):
        if "export" in marks:
            functions.append(value)
            descriptions.append(describe_function(value, marks["export"]))
        if "on_start" in marks:
            start_hooks.append(value)
        if "on_stop" in marks:
            guest.stop_hooks.append(value)
        if "on_reload" in marks:
            reload_hooks.append(value)
    _check_names(descriptions, config["expected"])
    _check_one(reload_hooks)
    guest.functions = (*functions, *reload_hooks)
    guest.description = {"doc": _doc_of(module), "functions": descriptions, "reloads": bool(reload_hooks)}
    are_coroutines = tuple(map(_is_coroutine_function, guest.functions))
    if any(are_coroutines) or any(map(_is_coroutine_function, start_hooks + guest.stop_hooks)):
        from pyhost import guest_loop

        guest.loop = guest_loop.GuestLoop(are_coroutines)
        guest.serve = guest.loop.serve
    state = _state_of_version_before(config["name"]) if config["takes_over"] else None
    for hook in start_hooks:
        guest.run_hook(hook, config["start_limit"], *((state,) if _takes_argument(hook) else ()))


def _load_module(config: "dict[str, Any]") -> "ModuleType":
    name, file, code = config["module"], config["file"], config["code"]
    if file is None:
        # Not importlib.import_module: that is one module more in every interpreter.
        __import__(name)
        return sys.modules[name]
    import _frozen_importlib
    import _frozen_importlib_external

    folders = [file.removesuffix("/__init__.py")] if file.endswith("/__init__.py") else None
    loader = _frozen_importlib_external.SourceFileLoader(name, file)
    spec = _frozen_importlib_external.spec_from_file_location(
        name, file, loader=loader, submodule_search_locations=folders
    )
    assert spec is not None
    module = sys.modules[name] = _frozen_importlib.module_from_spec(spec)
    if code is None:
        loader.exec_module(module)
    else:
        import marshal

        exec(marshal.loads(code), module.__dict__)
    return sys.modules[name]


def _marked(module: "ModuleType") -> "Iterator[tuple[Any, dict[str, Any]]]":
    seen: list[Any] = []
    for value in list(module.__dict__.values()):
        marks = getattr(value, "__dict__", {}).get(MARK) if callable(value) else None
        if isinstance(marks, dict) and not any(value is other for other in seen):
            seen.append(value)
            yield value, marks


def _check_names(descriptions: "list[Description]", expected: "tuple[str, ...] | None") -> None:
    names = [description["name"] for description in descriptions]
    if expected is not None and tuple(names) != expected:
        # Calls that wait for this interpreter know its functions by their places.
        raise ImportError("the plugin's exports have changed since it was loaded; reload it")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two functions are exported as {name!r}")


def _check_one(reload_hooks: "list[Callable[..., Any]]") -> None:
    if reload_hooks[1:]:
        names = " and ".join(map(_name_of, reload_hooks))
        raise ValueError(f"{names} are marked as on_reload; allowed: one function")


def _state_of_version_before(name: str) -> "Any":
    return _core.router.function(f"{name}.{ON_RELOAD}").call((), {}, None)


def _takes_argument(hook: "Callable[..., Any]") -> bool:
    inner = _unwrapped(hook)
    code = _code_of(inner)
    return code is not None and code.co_argcount > (getattr(inner, "__self__", None) is not None)


def describe_function(function: "Callable[..., Any]", mark: "dict[str, Any]") -> "Description":
    """One export as plain data, from which the host makes its ``FunctionDescription`` (``pyhost/signature.py``)."""
    is_async = _is_coroutine_function(function)
    if mark["direct"] and is_async:
        raise TypeError(f"{_name_of(function)} is async, and a direct call has no event loop: drop direct=True")
    inner = _unwrapped(function)
    code = _code_of(inner)
    return {
        "name": _exported_name(function, mark["name"]),
        "doc": _doc_of(function),
        "direct": mark["direct"],
        "async": is_async,
        "bound": getattr(inner, "__self__", None) is not None,
        "code": code and (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
        "names": code and code.co_varnames,
        "defaults": tuple(repr(value) for value in (getattr(inner, "__defaults__", None) or ())),
        "keyword_defaults": {
            name: repr(value) for name, value in (getattr(inner, "__kwdefaults__", None) or {}).items()
        },
        "annotations": {name: _annotation_text(value) for name, value in _annotations_of(inner).items()},
    }


def _exported_name(function: "Callable[..., Any]", name: "str | None") -> str:
    name = _name_of(function) if name is None else name
    if not isinstance(name, str) or not name or not name.isprintable() or name == ON_RELOAD:
        raise ValueError(
            f"{_name_of(function)} is exported as {name!r}; allowed: text of printable characters, but not {ON_RELOAD}"
        )
    return name


def _unwrapped(function: "Any") -> "Any":
    for _ in range(100):
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is None:
            break
        function = wrapped
    return function


def _code_of(function: "Any") -> "Any":
    function = getattr(function, "__func__", function)
    return getattr(function, "__code__", None)


def _is_coroutine_function(function: "Any") -> bool:
    code = _code_of(function)
    return code is not None and bool(code.co_flags & CO_COROUTINE)


def _name_of(function: "Any") -> str:
    return getattr(function, "__name__", type(function).__name__)


def _doc_of(thing: "Any") -> str:
    doc = getattr(thing, "__doc__", None)
    if not isinstance(doc, str):
        return ""
    lines = doc.expandtabs().strip().splitlines()
    indents = [len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()]
    margin = min(indents, default=0)
    return "\n".join([*lines[:1], *(line[margin:].rstrip() for line in lines[1:])])


def _annotations_of(function: "Any") -> "dict[str, Any]":
    try:
        annotations = getattr(function, "__annotations__", {})
    except NameError:
        # Evaluated lazily since 3.14: a name that is only there for type checkers.
        if sys.version_info >= (3, 14):
            import annotationlib

            annotations = annotationlib.get_annotations(function, format=annotationlib.Format.STRING)
        else:
            raise
    return annotations if isinstance(annotations, dict) else {}


def _annotation_text(annotation: "Any") -> str:
    if isinstance(annotation, str):
        return annotation
    if annotation is None:
        return "None"
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        module = annotation.__module__
        return annotation.__qualname__ if module == "builtins" else f"{module}.{annotation.__qualname__}"
    return repr(annotation)
