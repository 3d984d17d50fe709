"""pyhost runs Python plugins side by side in one process, each in its own interpreter with its own GIL.

A program uses ``Host`` and its functions. A plugin uses ``export``, ``on_start``, ``on_reload``, ``on_stop``, ``call``
and ``acall``. Both use ``Channel``. Every plugin's interpreter imports this module, so the host's half is loaded only
when it is asked for.
"""

from pyhost.plugin import DeadlineInterrupt, MemoryLimitReached, acall, call, export, on_reload, on_start, on_stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyhost._core import Channel
    from pyhost.errors import (
        ArgumentEncodingError,
        ArgumentsError,
        CallCancelledError,
        CallError,
        ChannelClosedError,
        ChannelEmptyError,
        ChannelFullError,
        ConfigurationError,
        DeadlineExceededError,
        FunctionNotFoundError,
        InboxFullError,
        ManifestError,
        MemoryLimitError,
        PluginError,
        PluginLoadError,
        PluginNotFoundError,
        PluginUnavailableError,
        PyhostError,
        ReentrantCallError,
        ResultEncodingError,
    )
    from pyhost.host import Host

__all__ = [
    "ArgumentEncodingError",
    "ArgumentsError",
    "CallCancelledError",
    "CallError",
    "Channel",
    "ChannelClosedError",
    "ChannelEmptyError",
    "ChannelFullError",
    "ConfigurationError",
    "DeadlineExceededError",
    "DeadlineInterrupt",
    "FunctionNotFoundError",
    "Host",
    "InboxFullError",
    "ManifestError",
    "MemoryLimitError",
    "MemoryLimitReached",
    "PluginError",
    "PluginLoadError",
    "PluginNotFoundError",
    "PluginUnavailableError",
    "PyhostError",
    "ReentrantCallError",
    "ResultEncodingError",
    "__version__",
    "acall",
    "call",
    "export",
    "on_reload",
    "on_start",
    "on_stop",
]


def __getattr__(name: str) -> object:
    if name == "Host":
        from pyhost.host import Host

        return Host
    if name == "host" and _is_plugin():
        from pyhost.program import host

        return host
    if name in ("Channel", "__version__"):
        from pyhost import _core

        return _core.Channel if name == "Channel" else _core.version
    if name in __all__:
        from pyhost import errors

        return getattr(errors, name)
    raise AttributeError(f"module 'pyhost' has no attribute {name!r}")


def _is_plugin() -> bool:
    from pyhost import _core

    return hasattr(_core, "router")
