"""What a plugin's interpreter has in place of functions that would end or crash the whole process.

Each plugin pays for these few functions, so they import nothing that its interpreter has not got. They stand in the
modules that ``os``, ``signal`` and ``threading`` take them from. ``docs/isolation.md`` says what no guard can cover.
"""

import _thread
import posix
import sys
from _frozen_importlib import BuiltinImporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import NoReturn

STACK_BYTES = 32 << 20
"""Before 3.14 CPython counts calls within C and not the bytes that they take; a thread needs so many for what it
allows. Untouched pages cost nothing."""

_exec_builtin = BuiltinImporter.exec_module
_set_stack_size = _thread.stack_size


def install() -> None:
    """Put the guards in place, before anything of the plugin is imported."""
    vars(posix).update(_exit=_exit, abort=_abort)
    vars(sys).update(_current_frames=_current_frames, _current_exceptions=_current_frames)
    BuiltinImporter.exec_module = _exec_guarded  # type: ignore[method-assign]
    if sys.version_info < (3, 14):
        _set_stack_size(STACK_BYTES)
        vars(_thread).update(stack_size=_stack_size)


def _exit(status: object) -> "NoReturn":
    raise SystemExit(f"os._exit({status!r}) would end the host with every other plugin, and ended only what called it")


def _abort() -> "NoReturn":
    raise SystemExit("os.abort() would end the host with every other plugin, and ended only what called it")


def _current_frames() -> "NoReturn":
    raise RuntimeError(
        "sys._current_frames and sys._current_exceptions would reach into the other interpreters, and crash the host"
    )


def _exec_guarded(module: "ModuleType") -> None:
    """Run a module that CPython has built in; ``_signal`` with guards. Few plugins import it."""
    _exec_builtin(module)
    if module.__name__ == "_signal":
        vars(module).update(alarm=_set_timer, setitimer=_set_timer)


def _set_timer(*_: float) -> "NoReturn":
    raise RuntimeError(
        "the signal of a timer would end the host, as a plugin can handle none; use threading.Timer or a deadline"
    )


def _stack_size(size: int = 0, /) -> int:
    return _set_stack_size(max(size, STACK_BYTES))
