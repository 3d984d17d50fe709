"""The inside of a plugin's interpreter: import the plugin, find its exports, describe them, stop it.

Called by the C half (``host/owner.c``) on the interpreter's owner thread. Every plugin pays for what is imported here,
so it is next to nothing; ``traceback`` and ``annotationlib`` come only when they are needed.
"""

import sys

from pyhost import _core, guards
from pyhost.plugin import MARK, DeadlineInterrupt, MemoryLimitReached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType
    from typing import Any

    from pyhost.ending import Ending
    from pyhost.guest_loop import GuestLoop

    type Description = dict[str, Any]

__all__ = ["DeadlineInterrupt", "Guest", "MemoryLimitReached", "begin_ending", "describe_exception"]

CO_COROUTINE = 0x80
ON_RELOAD = "<on_reload>"
"""The name, which no export can have, of the function that a plugin's next version takes its state from."""
LONGEST_TEXT = 1 << 20
"""Characters of an exception's message, of one of its notes, and of its traceback; more is cut in the middle."""


class Guest:
    """The plugin of this interpreter: imported, started, described.

    ``functions`` are its exports; ``description`` says of them, in the same order, what the host needs, as plain data.
    ``serve`` runs the calls until there are no more; None: the C half does. ``pyhost.ending`` ends it.
    """

    def __init__(self, config: "dict[str, Any]") -> None:
        sys.path[:] = config["path"]
        _core.log_name(config["name"], config["version"])
        module = _load_module(config)
        functions: list[Callable[..., Any]] = []
        descriptions: list[Description] = []
        start_hooks = []
        reload_hooks = []
        self.stop_hooks = []
        for value, marks in _marked(module):
            if "export" in marks:
                functions.append(value)
                descriptions.append(describe_function(value, marks["export"]))
            if "on_start" in marks:
                start_hooks.append(value)
            if "on_stop" in marks:
                self.stop_hooks.append(value)
            if "on_reload" in marks:
                reload_hooks.append(value)
        _check_names(descriptions, config["expected"])
        _check_one(reload_hooks)
        self.functions = (*functions, *reload_hooks)
        self.description: Description = {
            "doc": _doc_of(module),
            "functions": descriptions,
            "reloads": bool(reload_hooks),
        }
        self.serve: Callable[[], None] | None = None
        self.loop: GuestLoop | None = None
        are_coroutines = tuple(map(_is_coroutine_function, self.functions))
        if any(are_coroutines) or any(map(_is_coroutine_function, start_hooks + self.stop_hooks)):
            from pyhost import guest_loop

            self.loop = guest_loop.GuestLoop(are_coroutines)
            self.serve = self.loop.serve
        state = _state_of_version_before(config["name"]) if config["takes_over"] else None
        for hook in start_hooks:
            self.run_hook(hook, config["start_limit"], *((state,) if _takes_argument(hook) else ()))

    def run_hook(self, hook: "Callable[..., Any]", limit: float, *arguments: "Any") -> None:
        """Run an ``on_start`` or ``on_stop`` function; an ``async`` one for up to ``limit`` seconds."""
        if self.loop is not None:
            self.loop.run_hook(hook, limit, *arguments)
        else:
            hook(*arguments)


_code: "dict[str, bytes]" = {}
"""Marshalled code of modules that are needed once."""


def prepare(ending: bytes, preload: "tuple[str, ...]") -> None:
    """Make the interpreter what a plugin finds, before it is known which.

    ``ending`` is the code of ``pyhost.ending``, for its end; ``preload`` names modules to import.
    """
    _code["ending"] = ending
    guards.install()
    _core.log_install()
    _import_zips_at_need()
    _restore_site_builtins()
    for name in preload:
        __import__(name)


def begin_ending(guest: "Guest | None") -> "Ending":
    """What ends the plugin; with None one that did not start. Nothing is looked for on the way: it has to work."""
    import marshal

    namespace: dict[str, Any] = {"__name__": "pyhost.ending", "__builtins__": __builtins__}
    exec(marshal.loads(_code["ending"]), namespace)
    return namespace["Ending"](guest)  # type: ignore[no-any-return]


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


def describe_exception(error: BaseException) -> tuple[str, str, tuple[str, ...], str]:
    """The exception as text: qualified type name, message, notes, and the whole traceback."""
    import traceback

    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    notes = getattr(error, "__notes__", ())
    notes = tuple(map(_text_of, notes)) if isinstance(notes, list) else ()
    # What another plugin raised is in the traceback; as a note as well it would double from plugin to plugin.
    inner = str(getattr(error, "traceback_text", "")).rstrip()
    if inner:
        notes = tuple(note for note in notes if not note.endswith(inner))
    return name, _text_of(error), notes, _shortened("".join(traceback.format_exception(error)))


def _text_of(value: object) -> str:
    try:
        return _shortened(str(value))
    except DeadlineInterrupt:
        raise
    except BaseException as failure:
        return f"(its str() raised {type(failure).__name__})"


def _shortened(text: str) -> str:
    if not text[LONGEST_TEXT:]:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]}\n[{len(text) - LONGEST_TEXT} characters are left out]\n{text[-half:]}"


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


def _restore_site_builtins() -> None:
    """Give back what ``site`` adds to builtins: plugin interpreters start without it."""
    import builtins

    # Not those of _sitebuiltins: its classes would cost each interpreter 20 kB.
    vars(builtins).update(exit=_leave, quit=_leave, help=_help)


def _leave(code: object = None) -> None:
    raise SystemExit(code)


def _help(*args: object) -> None:
    import pydoc

    pydoc.help(*args)


def _import_zips_at_need() -> None:
    """Let go of ``zipimport``, which every interpreter starts with: few plugins import from zip files."""
    import gc

    sys.path_hooks[:] = [*(hook for hook in sys.path_hooks if hook.__module__ != "zipimport"), _zip_hook]
    sys.modules.pop("zipimport", None)
    gc.collect()


def _zip_hook(path: str) -> "Any":
    """The last of ``sys.path_hooks``: what is no folder may be a zip file."""
    import zipimport

    return zipimport.zipimporter(path)


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
