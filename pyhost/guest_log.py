"""What the hooks of ``host/core_stream.c`` do in a plugin's interpreter; imported when the first of them is called.

``logging`` and ``traceback`` come with the plugin's own use of them, or with what nobody catches.
"""

import sys

from pyhost import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ERROR = 40
"""``logging.ERROR``."""


def find_logging(name: str, path: "Any" = None, target: "Any" = None) -> "Any":
    """Find ``logging`` as the other finders of ``sys.meta_path`` do, and let the host's handler follow it."""
    others = [finder for finder in sys.meta_path if finder is not _core]
    spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
    if spec is not None and spec.loader is not None:
        _watch(spec.loader)
    return spec


def _watch(loader: "Any") -> None:
    load = loader.exec_module

    def exec_module(module: "Any") -> None:
        load(module)
        del loader.exec_module
        sys.meta_path.remove(_core)
        from pyhost import guest_logging

        guest_logging.install()

    loader.exec_module = exec_module


def report_thread(arguments: "Any") -> None:
    """``threading.excepthook``: an exception that a thread of the plugin did not catch."""
    if arguments.exc_type is not SystemExit:
        thread = arguments.thread
        _report("threading", f"exception in thread {thread.name if thread is not None else 'unknown'}", arguments)


def report_unraisable(arguments: "Any") -> None:
    """``sys.unraisablehook``: an exception where nobody can catch it, as in a destructor."""
    _report("unraisable", f"{arguments.err_msg or 'exception ignored in'}: {arguments.object!r}", arguments)


def _report(logger: str, what: str, arguments: "Any") -> None:
    import traceback

    lines = traceback.format_exception(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
    _core.log_record(ERROR, logger, f"{what}\n{''.join(lines).rstrip()}")
