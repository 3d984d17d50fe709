"""The inside of a plugin's interpreter, as far as it stays there: the plugin's functions, and how failures are told.

Called by the C half (``host/owner.c``) on the interpreter's owner thread. Every plugin pays for what is imported here,
so it is next to nothing. What is needed once, ``pyhost.starting`` and ``pyhost.ending``, is code that the host keeps;
``traceback`` comes only when it is needed.
"""

import sys

from pyhost import _core
from pyhost.plugin import DeadlineInterrupt, MemoryLimitReached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyhost.ending import Ending
    from pyhost.guest_loop import GuestLoop

__all__ = ["DeadlineInterrupt", "Guest", "MemoryLimitReached", "begin_ending", "describe_exception"]

LONGEST_TEXT = 1 << 20
"""Characters of an exception's message, of one of its notes, and of its traceback; more is cut in the middle."""


class Guest:
    """The plugin of this interpreter, imported and started.

    ``functions`` are its exports; ``description`` says of them, in the same order, what the host needs, as plain data.
    ``serve`` runs the calls until there are no more; None: the C half does.
    """

    functions: "tuple[Callable[..., Any], ...]"
    description: "dict[str, Any]"

    def __init__(self, config: "dict[str, Any]") -> None:
        self.stop_hooks: list[Callable[..., Any]] = []
        self.serve: Callable[[], None] | None = None
        self.loop: GuestLoop | None = None
        _run_once("starting")["start"](self, config)

    def run_hook(self, hook: "Callable[..., Any]", limit: float, *arguments: "Any") -> None:
        """Run an ``on_start`` or ``on_stop`` function; an ``async`` one for up to ``limit`` seconds."""
        if self.loop is not None:
            self.loop.run_hook(hook, limit, *arguments)
        else:
            hook(*arguments)


def begin_ending(guest: "Guest | None") -> "Ending":
    """What ends the plugin; with None one that did not start. Nothing is looked for on the way: it has to work."""
    return _run_once("ending")["Ending"](guest)  # type: ignore[no-any-return]


def _run_once(name: str) -> "dict[str, Any]":
    """The names of one of pyhost's modules that does not stay."""
    import marshal

    namespace: dict[str, Any] = {"__name__": f"pyhost.{name}", "__builtins__": __builtins__}
    exec(marshal.loads(_core.kept_code(name)), namespace)
    return namespace


def prepare(preload: "tuple[str, ...]") -> None:
    """Make the interpreter what a plugin finds, before it is known which. ``preload`` names modules to import."""
    import builtins
    import gc
    from _frozen_importlib import BuiltinImporter

    _core.install_guards(BuiltinImporter)
    _core.log_install()
    # zipimport is in every interpreter from the start, and few plugins import from zip files.
    sys.path_hooks[:] = [*(hook for hook in sys.path_hooks if hook.__module__ != "zipimport"), _zip_hook]
    sys.modules.pop("zipimport", None)
    gc.collect()
    # What site adds, which there is none of; not those of _sitebuiltins, whose classes take 20 kB.
    vars(builtins).update(exit=_leave, quit=_leave, help=_help)
    for name in preload:
        __import__(name)


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


def _leave(code: object = None) -> None:
    raise SystemExit(code)


def _help(*args: object) -> None:
    import pydoc

    pydoc.help(*args)


def _zip_hook(path: str) -> "Any":
    """The last of ``sys.path_hooks``: what is no folder may be a zip file."""
    import zipimport

    return zipimport.zipimporter(path)
