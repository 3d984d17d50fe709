"""Every exception that pyhost raises.

::

    PyhostError
    ├── ConfigurationError           an option or pyhost.toml is wrong
    │   └── ListenError              the server cannot listen there      (listeners.py)
    ├── ManifestError                a plugin.toml is wrong
    ├── PluginLoadError              a plugin's import or on_start failed
    ├── InstallError                 a plugin's dependencies cannot be installed (installer.py)
    ├── ServerUnreachableError       a command finds no server           (client.py)
    ├── ProblemError                 the server answered with a problem  (client.py)
    ├── ChannelClosedError           a channel accepts or gives nothing more
    ├── ChannelFullError             a channel had no room in time
    ├── ChannelEmptyError            nothing came through a channel in time
    └── CallError                    one call did not return a value
        ├── PluginNotFoundError      no plugin of that name             (LookupError)
        ├── FunctionNotFoundError    the plugin exports no such name    (LookupError)
        ├── PluginUnavailableError   the plugin is not running now
        ├── InboxFullError           its inbox is full; try again
        ├── DeadlineExceededError    no answer in time                  (TimeoutError)
        ├── CallCancelledError       the call was given up
        ├── ReentrantCallError       the call would wait for itself
        ├── ArgumentsError           arguments do not fit the signature (TypeError)
        ├── ArgumentEncodingError    an argument cannot cross           (ValueError)
        ├── ResultEncodingError      the result cannot cross            (ValueError)
        ├── MemoryLimitError         the plugin is over limits.memory
        └── PluginError              the plugin's function raised

``pyhost.DeadlineInterrupt`` and ``pyhost.MemoryLimitReached`` stand apart: they are raised *inside* a plugin, whose
call ran past its deadline, or which holds more memory than it may.
A plugin's interpreter imports this module when a call of its own fails, so it imports nothing.
"""


def _rebuild(kind: type[BaseException], args: tuple[object, ...], state: dict[str, object]) -> BaseException:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class PyhostError(Exception):
    """Root of all errors that pyhost raises. They can be copied and pickled."""

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild it from what it holds: the constructors take other arguments than the message."""
        return _rebuild, (type(self), self.args, self.__dict__)


class ConfigurationError(PyhostError):
    """An option, or a value in ``pyhost.toml``, is wrong."""


class ManifestError(PyhostError):
    """A ``plugin.toml`` is wrong: names the file, the key, what was found and what is allowed."""


class PluginLoadError(PyhostError):
    """A plugin's import or its ``on_start`` failed.

    ``plugin`` is its name, ``reason`` one line, ``traceback_text`` the plugin's traceback ("" if none).
    """

    def __init__(self, plugin: str, reason: str, traceback_text: str = "") -> None:
        super().__init__(f"plugin {plugin!r} did not start: {reason}")
        self.plugin = plugin
        self.reason = reason
        self.traceback_text = traceback_text
        if traceback_text:
            self.add_note(f"in plugin {plugin!r}:\n{traceback_text.rstrip()}")


class ChannelClosedError(PyhostError):
    """The channel was closed: it accepts no more values, and what was in it has been received."""


class ChannelFullError(PyhostError):
    """The channel had no room for the value in time. Nothing was sent."""


class ChannelEmptyError(PyhostError):
    """Nothing came through the channel in time."""


class CallError(PyhostError):
    """A call did not return a value. ``function`` is its full name, ``"plugin.function"``."""

    def __init__(self, function: str, message: str) -> None:
        super().__init__(message)
        self.function = function

    @property
    def plugin(self) -> str:
        """The plugin part of ``function``."""
        return self.function.partition(".")[0]


class PluginNotFoundError(CallError, LookupError):
    """No plugin of that name is known."""


class FunctionNotFoundError(CallError, LookupError):
    """The plugin is there, but exports no function of that name."""


class PluginUnavailableError(CallError):
    """The plugin is known, but not running now; a later call may succeed."""


class InboxFullError(CallError):
    """Every inbox of the plugin is full: it has more calls waiting than it accepts. Nothing was queued."""


class DeadlineExceededError(CallError, TimeoutError):
    """The call had no answer by its deadline. It may still have had its effect."""


class CallCancelledError(CallError):
    """The call was given up before it had an answer: cancelled, or its plugin was stopped."""


class ReentrantCallError(CallError):
    """The call would wait, directly or through others, for the thread that makes it."""


class ArgumentsError(CallError, TypeError):
    """The arguments do not fit the function's signature; its code did not run."""


class ArgumentEncodingError(CallError, ValueError):
    """An argument cannot cross to another interpreter; nothing was called."""


class ResultEncodingError(CallError, ValueError):
    """The function returned a value that cannot cross to another interpreter."""


class MemoryLimitError(CallError):
    """The call ended because its plugin holds more memory than ``limits.memory`` allows.

    ``limit`` and ``peak`` are bytes, of the interpreter that ran it; ``traceback_text`` is the plugin's own traceback,
    "" for a call that did not run because its interpreter was past the limit already.
    """

    def __init__(self, function: str, limit: int, peak: int, traceback_text: str) -> None:
        plugin = function.partition(".")[0]
        super().__init__(
            function,
            f"{function} ended: plugin {plugin!r} is over its memory limit of {_mebibytes(limit)} "
            f"(peak {_mebibytes(peak)}); it needs a higher limits.memory, or a smaller task",
        )
        self.limit = limit
        self.peak = peak
        self.traceback_text = traceback_text
        if traceback_text:
            self.add_note(f"in plugin {plugin!r}:\n{traceback_text.rstrip()}")


class PluginError(CallError):
    """The plugin's function raised.

    ``type_name`` is the exception's qualified name (``"ValueError"``, ``"package.module.Error"``), ``message`` its
    text, ``notes`` its notes, ``traceback_text`` the plugin's own traceback with everything chained to it.
    """

    def __init__(
        self, function: str, type_name: str, message: str, notes: tuple[str, ...], traceback_text: str
    ) -> None:
        super().__init__(
            function, f"{function} raised {type_name}: {message}" if message else f"{function} raised {type_name}"
        )
        self.type_name = type_name
        self.message = message
        self.notes = notes
        self.traceback_text = traceback_text
        for note in notes:
            self.add_note(note)
        advice = advice_for(message)
        if advice:
            self.add_note(f"in a plugin: {advice}")
        if traceback_text:
            self.add_note(f"in plugin {self.plugin!r}:\n{traceback_text.rstrip()}")


_ADVICE = (
    ("daemon threads are disabled", "start it without daemon=True, and let an @pyhost.on_stop function end it"),
    ("fork not supported", 'use subprocess, or multiprocessing\'s "spawn"'),
    ("exec not supported", "use subprocess"),
    ("preexec_fn not supported", "use subprocess without preexec_fn"),
    ("only works in main thread of the main interpreter", "the host handles the signals of the process; use on_stop"),
)


def advice_for(message: str) -> str:
    """What a plugin's author can do about what CPython refuses in a plugin's interpreter; "" for anything else."""
    return next((advice for part, advice in _ADVICE if part in message), "")


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def build(status: str, function: str, detail: object) -> CallError:
    """The exception for a call's outcome other than OK.

    ``status`` is the name of a ``pyhost_status``. ``detail`` is what came with it: for RAISED the tuple (type name,
    message, notes, traceback text), for OVER_LIMIT (limit, peak, such a tuple or None), for the others a line of text
    or None.
    """
    plugin, _, name = function.partition(".")
    match status:
        case "RAISED":
            type_name, message, notes, traceback_text = (
                detail if isinstance(detail, tuple) else ("an exception", "", (), "")
            )
            return PluginError(function, type_name, message, notes, traceback_text)
        case "OVER_LIMIT":
            limit, peak, description = detail if isinstance(detail, tuple) else (0, 0, None)
            return MemoryLimitError(function, limit, peak, description[3] if description else "")
        case "NO_PLUGIN":
            return PluginNotFoundError(function, f"there is no plugin {plugin!r}")
        case "NO_FUNCTION":
            return FunctionNotFoundError(function, f"plugin {plugin!r} exports no function {name!r}")
        case "UNAVAILABLE" | "CLOSED":
            return PluginUnavailableError(function, f"plugin {plugin!r} is not running")
        case "FULL":
            return InboxFullError(
                function, f"every inbox of plugin {plugin!r} is full; try again, or raise limits.inbox"
            )
        case "TIMEOUT":
            return DeadlineExceededError(function, f"{function} did not answer by its deadline")
        case "CANCELLED":
            return CallCancelledError(function, f"the call of {function} was given up before it was answered")
        case "REENTRANT":
            return ReentrantCallError(
                function,
                f"the call of {function} would wait for the thread that makes it; "
                f"call the function itself, await pyhost.acall, or give plugin {plugin!r} more interpreters",
            )
        case "BAD_ARGUMENTS":
            return ArgumentsError(function, f"arguments do not fit {function}: {detail}")
        case "UNENCODABLE":
            return ArgumentEncodingError(function, f"{function} was not called: {detail}")
        case "BAD_RESULT":
            return ResultEncodingError(
                function, f"the result of {function} cannot cross to another interpreter: {detail}"
            )
        case _:
            return CallError(function, f"the call of {function} failed: {status} ({detail})")


def build_channel(status: str) -> PyhostError:
    """The exception for what ``Channel.send`` or ``Channel.receive`` ended with other than OK."""
    match status:
        case "CLOSED":
            return ChannelClosedError("the channel is closed; iterating over it ends there without an error")
        case "FULL":
            return ChannelFullError(
                "the channel is full and nobody received in time; try again, give a longer timeout, or make it larger"
            )
        case "TIMEOUT":
            return ChannelEmptyError("nothing came through the channel in time; try again, or give a longer timeout")
        case _:
            return PyhostError(f"the channel failed: {status}")
