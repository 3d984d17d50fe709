"""What a plugin's author uses: the decorators, and calls to other plugins.

The decorators only mark a function; the mark is found when the plugin is loaded. In an ordinary Python they change
nothing, so a plugin's functions can be tested as what they are. Every plugin's interpreter imports this module, so it
imports nothing.
"""

from pyhost import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, overload


class DeadlineInterrupt(BaseException):
    """Raised inside a plugin when its running call has passed its deadline, or in what still runs when it has stopped.

    Derives from BaseException so that ``except Exception`` does not swallow it. Catch it only to clean up.
    """


class MemoryLimitReached(MemoryError):
    """Raised inside a plugin when what it holds has passed ``limits.memory``, at the next line of Python.

    Code that handles it, by dropping what it can do without, goes on. It comes again when the plugin has grown by
    another sixteenth of its limit.
    """

    def __str__(self) -> str:
        return "the plugin holds more memory than limits.memory allows"


MARK = "__pyhost__"
"""The attribute that the decorators set: a dict with a key for each decorator."""
ON_RELOAD = "<on_reload>"
"""The name, which no export can have, of the function that a plugin's next version takes its state from."""


def _mark(function: "Any", kind: str, value: object) -> None:
    if not callable(function):
        raise TypeError(f"@pyhost.{kind} marks functions, and {function!r} is none")
    try:
        marks = function.__dict__.setdefault(MARK, {})
    except AttributeError:
        raise TypeError(f"@pyhost.{kind} cannot mark {function!r}; write a def that calls it") from None
    marks[kind] = value


if TYPE_CHECKING:

    @overload
    def export[F: Callable[..., Any]](function: F, /) -> F: ...
    @overload
    def export[F: Callable[..., Any]](*, name: str | None = None, direct: bool = False) -> Callable[[F], F]: ...
    def export(function: Any = None, /, *, name: str | None = None, direct: bool = False) -> Any: ...

else:

    def export(function: "Any" = None, /, *, name: str | None = None, direct: bool = False) -> "Any":
        """Let others call this function, plain or ``async``.

        ``name`` is what they call it by, its own name if None. With ``direct=True`` it runs on the caller's thread,
        which saves the hand-over to the plugin's own: for short functions that touch nothing bound to a thread.
        """

        def decorate(decorated: "Any") -> "Any":
            _mark(decorated, "export", {"name": name, "direct": direct})
            return decorated

        return decorate if function is None else decorate(function)


def on_start[F: "Callable[..., Any]"](function: F) -> F:
    """Run this function once, after the plugin is imported and before its first call.

    One that takes an argument is given what the ``on_reload`` of the version before returned, None without one.
    """
    _mark(function, "on_start", True)
    return function


def on_reload[F: "Callable[..., Any]"](function: F) -> F:
    """Run this function when a new version takes over, while this one still serves; its result goes to ``on_start``.

    The result crosses as those of calls do. With several interpreters each new one asks one of the old. Where it
    raises, the new version does not start, and the old one serves on.
    """
    _mark(function, "on_reload", True)
    return function


def on_stop[F: "Callable[..., Any]"](function: F) -> F:
    """Run this function once, after the plugin's last call."""
    _mark(function, "on_stop", True)
    return function


_functions: "dict[str, Any]" = {}


def _function(name: str) -> "Any":
    function = _functions.get(name)
    if function is None:
        router = getattr(_core, "router", None)
        if router is None:
            raise RuntimeError("pyhost.call works inside a plugin; a program calls through its Host")
        function = _functions[name] = router.function(name)
    return function


def call(name: str, /, *args: "Any", timeout: float | None = None, **kwargs: "Any") -> "Any":
    """Call ``"plugin.function"`` of another plugin and wait for its result.

    ``timeout`` in seconds; None: the function's own deadline. The deadline of the call that this one is part of bounds
    it as well. Raises the errors of ``pyhost.errors``.
    """
    return _function(name).call(args, kwargs, timeout)


async def acall(name: str, /, *args: "Any", timeout: float | None = None, **kwargs: "Any") -> "Any":
    """As ``call``, from an ``async`` function: other calls go on meanwhile."""
    from pyhost.event_loop import call_on_loop

    return await call_on_loop(_function(name), args, kwargs, timeout)
