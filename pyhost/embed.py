"""The Python of a C or C++ program: a host that the program's threads give orders to.

``host/api_runtime.c`` starts CPython on a thread of its own and runs ``main`` there until the program stops it. Calls
never pass through here; loading, watching and stopping plugins does, and the conversion of JSON.
"""

import logging
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from pyhost import _core
from pyhost.errors import ConfigurationError, ManifestError, PluginLoadError, PluginNotFoundError
from pyhost.host import Host

AT_ONCE = 8
"""Orders that are carried out at the same time."""


class LogHandler(logging.Handler):
    """Hands what is logged to the program's log function, or warnings and errors to stderr where it has none."""

    def __init__(self) -> None:
        super().__init__()
        self._fallback = logging.StreamHandler()
        self._fallback.setLevel(logging.WARNING)
        self._fallback.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Hand it over; a zero byte would end the text early."""
        text = self.format(record).replace("\0", "\\0")
        if not _core.tell_log(record.levelno, record.name, text) and record.levelno >= self._fallback.level:
            self._fallback.emit(record)


class EmbeddedHost(Host):
    """A host whose plugins the program's threads find."""

    def tell_ready(self) -> None:
        """Let the program's ``pyhost_runtime_start`` return."""
        _core.tell_ready(self._router)


def main(plugins: str | None, warm: int) -> None:
    """Load the plugins of the folder, serve orders until there are no more, and stop all plugins.

    Raises ConfigurationError when there is no such folder.
    """
    logger = logging.getLogger()
    logger.setLevel(logging.INFO)
    logger.addHandler(LogHandler())
    host = EmbeddedHost(plugins, warm=warm)
    host.start()
    host.tell_ready()
    serve(host)
    host.close(_core.stop_grace())


def serve(host: Host) -> None:
    """Carry out orders, several at a time, until the program stops the runtime."""
    verbs = verbs_of(host)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pyhost-order") as pool:
        while (taken := _core.take_order()) is not None:
            order, verb, value = taken
            pool.submit(carry_out, order, verbs[verb], value)


def verbs_of(host: Host) -> dict[str, Callable[[Any], Any]]:
    """What each order does: from the value that comes with it to the one that is answered."""
    return {
        "load": quietly(host.load_plugin),
        "unload": host.unload_plugin,
        "reload": quietly(host.reload_plugin),
        "start": quietly(host.start_plugin),
        "halt": quietly(host.stop_plugin),
        "rescan": lambda _: quietly(host.rescan)(),
        "list": lambda _: [status.name for status in host.plugins()],
        "read": lambda name: describe(host, name),
        "parse": parse,
        "format": format_json,
    }


def quietly(act: Callable[..., object]) -> Callable[..., None]:
    """The same without its result, which is of no use to the program."""

    def call(*args: Any) -> None:
        act(*args)

    return call


def carry_out(order: object, act: Callable[[Any], Any], value: Any) -> None:
    """Answer one order with what it gives, or with what went wrong."""
    try:
        answer = act(value)
    except Exception as error:  # noqa: BLE001 - the program is told, whatever it is
        status, plugin, text = kind_of(error)
        trace = getattr(error, "traceback_text", "") or ("" if plugin else "".join(traceback.format_exception(error)))
        _core.answer_order(order, status, (text, plugin, type(error).__name__, trace))
    else:
        _core.answer_order(order, "OK", answer)


def kind_of(error: Exception) -> tuple[str, str, str]:
    """The status of an order that failed, the plugin that it is about ("" for none), and the sentence for people."""
    plugin = getattr(error, "plugin", "")
    match error:
        case PluginNotFoundError():
            return "NO_PLUGIN", error.function, str(error)
        case PluginLoadError() | ManifestError() | ConfigurationError():
            return "NOT_LOADED", plugin, str(error)
        case JSONError():
            return error.status, "", str(error)
        case _:
            return "RAISED", plugin, f"{type(error).__name__}: {error}"


def describe(host: Host, name: str) -> tuple[str, str, str, str, int]:
    """What ``pyhost_plugin_read`` tells of a plugin. Raises PluginNotFoundError."""
    status = host.status(name)
    return str(status.state), status.version, status.reason, status.traceback_text, len(status.interpreters)


class JSONError(Exception):
    """Text is not the JSON of arguments (MALFORMED), or a value cannot be said in JSON (BAD_RESULT)."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


def parse(text: str) -> tuple[list[Any], dict[str, Any]]:
    """The positional and keyword arguments in JSON text, as the HTTP interface takes them. Raises JSONError."""
    from pyhost import bodies
    from pyhost.problems import Problem

    try:
        return bodies.arguments(text.encode(), bodies.JSON)
    except Problem as problem:
        raise JSONError("MALFORMED", str(problem).replace("the body", "the text")) from None


def format_json(value: Any) -> str:
    """The value as JSON text, with the rules of the HTTP interface. Raises JSONError."""
    from pyhost import bodies
    from pyhost.problems import Problem

    try:
        content = bodies.result(value, [bodies.JSON]).content
    except Problem as problem:
        raise JSONError("BAD_RESULT", str(problem)) from None
    return bytes(msgspec.json.decode(content, type=_Result).result).decode()


class _Result(msgspec.Struct):
    result: msgspec.Raw
