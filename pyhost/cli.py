"""The ``pyhost`` command: the server, and the commands that talk to one.

Without a command it serves. That happens in pyhost's own executable, so in an ordinary Python the process replaces
itself by it first. Each command returns an ``ExitCode``; what is wrong is one or two lines on stderr.
"""

from __future__ import annotations

import contextlib
import functools
import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyhost import terminal
from pyhost.errors import ArgumentsError, ConfigurationError
from pyhost.exit_codes import ExitCode
from pyhost.quantities import format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import NoReturn

    from pyhost.client import Client, ProblemError

_CONFIG_FILE = Path("pyhost.toml")
_SHORTEST_INTERVAL, _LONGEST_INTERVAL = 0.1, 3600.0
"""Seconds between two views of ``top``."""


def main() -> NoReturn:
    """Run the command that the process was started with, and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code = command.main(arguments, "pyhost", standalone_mode=False, obj=Invocation(arguments))
    except click.UsageError as error:
        help_command = f"{error.ctx.command_path if error.ctx else 'pyhost'} --help"
        click.echo(f"pyhost: {error.format_message()}\nTry '{help_command}'.", err=True)
        return ExitCode.USAGE
    except _Failure as failure:
        click.echo(f"pyhost: {failure}", err=True)
        return failure.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return ExitCode.OK if code is None else code


@dataclass(slots=True)
class Invocation:
    """What the commands share: the words of the command line, and the file with the options."""

    arguments: Sequence[str]
    config: Path | None = None


class _Failure(Exception):
    """What ends a command: plain lines for stderr, and an exit code."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """Turn pyhost's errors into what the user sees of them."""
    try:
        yield
    except ArgumentsError as error:
        raise _Failure(str(error), ExitCode.CALL_FAILED) from error
    except ConfigurationError as error:
        raise _Failure(str(error), ExitCode.USAGE) from error


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--plugins", metavar="DIR", help="Folder of plugins; giving it starts the server.")
@click.option("--state", metavar="DIR", help="Folder of what pyhost makes, such as the environments of plugins.")
@click.option("--listen", metavar="HOST:PORT", help="Where to serve HTTP; port 0 takes a free one.")
@click.option("--socket", metavar="PATH", help="Unix socket of the server.")
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="Options in TOML instead of here.")
@click.option("--token-file", metavar="FILE", help="Holds the token that HTTP callers have to show.")
@click.option("--grace", metavar="SECONDS", help="Time for running calls when the server stops.")
@click.option("--max-body", metavar="SIZE", help="Largest body of a request, such as 16MiB.")
@click.option("--warm", metavar="N", help="Interpreters that are kept ready for plugins; 1 if not given.")
@click.option("--max-lost", metavar="N", help="Lost interpreters after which the server replaces itself; 4.")
@click.option("--watch", is_flag=True, default=None, help="Reload plugins when their code changes.")
@click.option("--preload", metavar="MODULE,...", help="What these have imported of the standard library.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option("--log-format", metavar="FORMAT", help="text, or json: one object a line.")
@click.pass_context
def command(context: click.Context, /, config: Path | None, **overrides: str | bool | None) -> int | None:
    """Run Python plugins side by side, each in an interpreter of its own.

    With --plugins or --config, or where there is a pyhost.toml, pyhost serves the plugins over HTTP and a Unix socket
    until SIGTERM or Ctrl-C. The commands below talk to a server that runs.
    """
    if config is None and _CONFIG_FILE.exists():
        config = _CONFIG_FILE
    context.obj.config = config
    given = {name: value for name, value in overrides.items() if value is not None}
    if context.invoked_subcommand is not None:
        if given:
            options = ", ".join("--" + name.replace("_", "-") for name in given)
            raise click.UsageError(f"{options} belongs to the server; put it after the command's name, if it has it")
        return None
    if config is None and not given:
        click.echo(context.get_help())
        return ExitCode.OK
    return _serve(context.obj, given)


def _serve(invocation: Invocation, overrides: Mapping[str, object]) -> int:
    from pyhost import _core, launcher
    from pyhost.config import load_options

    with _failures():
        options = load_options(invocation.config, overrides)
        if not _core.embedded:
            launcher.exec_host(invocation.arguments)
        from pyhost import listeners, server

        try:
            return server.run(options, functools.partial(launcher.exec_host, invocation.arguments))
        except listeners.ListenError as error:
            raise _Failure(str(error), ExitCode.CANNOT_LISTEN) from error


def _socket_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--socket``, and pass it a connected ``client``."""

    @click.option("--socket", metavar="PATH", type=click.Path(path_type=Path), help="Unix socket of the server.")
    @functools.wraps(function)
    def wrapped(socket: Path | None, **arguments: Any) -> Any:
        from pyhost.client import Client, ProblemError, ServerUnreachableError
        from pyhost.config import load_options

        with _failures():
            path = socket or load_options(click.get_current_context().obj.config, {}).socket
            try:
                with Client(path) as client:
                    return function(client, **arguments)
            except ServerUnreachableError as error:
                raise _Failure(str(error), ExitCode.NO_SERVER) from error
            except ProblemError as error:
                raise _Failure(_explain(error), ExitCode.CALL_FAILED) from error

    return wrapped


_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@command.command()
@click.option("-v", "--verbose", is_flag=True, help="Show what has happened to each plugin, too.")
@_socket_option
@_json_option
def ps(client: Client, *, verbose: bool, as_json: bool) -> int:
    """Show the plugins of the running server."""
    overview = client.overview()
    if as_json:
        terminal.print_json(overview)
        return ExitCode.OK
    terminal.print_plugins(overview["plugins"])
    if verbose:
        terminal.print_timelines(overview["plugins"])
    return ExitCode.OK


def _check_interval(_context: click.Context, _parameter: click.Parameter, seconds: float) -> float:
    if not _SHORTEST_INTERVAL <= seconds <= _LONGEST_INTERVAL:  # NaN is not, either
        raise click.BadParameter(f"{seconds:g}; allowed: {_SHORTEST_INTERVAL:g} to {_LONGEST_INTERVAL:g} seconds")
    return seconds


@command.command()
@click.option(
    "--interval",
    metavar="SECONDS",
    type=float,
    default=1.0,
    callback=_check_interval,
    help="Time between two views; 1 if not given.",
)
@click.option(
    "--sort",
    "order",
    type=click.Choice(("cpu", "memory", "calls", "name")),
    default="cpu",
    help="What the largest comes first of; cpu if not given.",
)
@click.option("--once", is_flag=True, help="Print one view and end, as where the output is no terminal.")
@_socket_option
def top(client: Client, *, interval: float, order: str, once: bool) -> int:
    """Watch the plugins of the running server, until Ctrl-C."""
    from pyhost import top as view

    view.show(client, order=order, interval=interval, once=once)
    return ExitCode.OK


@command.command()
@click.argument("function", metavar="PLUGIN.FUNCTION")
@click.argument("arguments", metavar="[ARG]... [NAME=VALUE]...", nargs=-1)
@click.option("--timeout", metavar="SECONDS", type=float, help="Give the call up after this time.")
@click.option("--raw", is_flag=True, help="Write a result of bytes or text as it is.")
@_socket_option
@_json_option
def call(
    client: Client, *, function: str, arguments: tuple[str, ...], timeout: float | None, raw: bool, as_json: bool
) -> int:
    """Call a plugin's function and print its result.

    Each ARG and VALUE is JSON where it is valid JSON, otherwise the text itself: 10 is a number, ten and '"10"' are
    text. NAME=VALUE is an argument by name; write text with = in it as JSON: '"a=b"'.
    """
    from pyhost.client import ProblemError

    if not all(function.partition(".")):
        raise click.UsageError(f"{function!r} is not PLUGIN.FUNCTION, such as wordcount.count")
    args, kwargs = parse_arguments(arguments)
    try:
        value = client.call(function, args, kwargs, timeout)
    except ProblemError as error:
        if as_json:
            terminal.print_json(error.document)
        raise
    if as_json:
        terminal.print_json({"result": value})
    elif raw and isinstance(value, bytes | str):
        click.echo(value, nl=False)
    else:
        terminal.print_json(value, indent=2)
    return ExitCode.OK


def _change(client: Client, action: str, names: tuple[str, ...], *, as_json: bool, timeout: float | None = None) -> int:
    """Do it to each plugin in turn, and say how it went; the first that fails ends the command."""
    done = []
    for name in names:
        answer = client.change(action, name, timeout)
        done.append(answer)
        if not as_json:
            plugin = answer["plugin"]
            took = format_seconds(answer["seconds"])
            click.echo(f"{plugin['name']} {plugin['version']} is {plugin['state']} after {took}")
    if as_json:
        terminal.print_json({"done": done})
    return ExitCode.OK


_names_argument = click.argument("names", metavar="PLUGIN...", nargs=-1, required=True)


@command.command()
@_names_argument
@_socket_option
@_json_option
def reload(client: Client, *, names: tuple[str, ...], as_json: bool) -> int:
    """Load plugins anew; the old version serves until the new one does.

    One that does not load says why, and its old version serves on.
    """
    return _change(client, "reload", names, as_json=as_json)


@command.command()
@_names_argument
@_socket_option
@_json_option
def restart(client: Client, *, names: tuple[str, ...], as_json: bool) -> int:
    """Stop plugins, then load them anew: for those that cannot run twice at once."""
    return _change(client, "restart", names, as_json=as_json)


@command.command()
@_names_argument
@_socket_option
@_json_option
def start(client: Client, *, names: tuple[str, ...], as_json: bool) -> int:
    """Load plugins that do not run, at once."""
    return _change(client, "start", names, as_json=as_json)


@command.command()
@_names_argument
@_socket_option
@_json_option
def stop(client: Client, *, names: tuple[str, ...], as_json: bool) -> int:
    """Let plugins finish their calls, and stop them until they are started."""
    return _change(client, "stop", names, as_json=as_json)


@command.command()
@click.option("--timeout", metavar="SECONDS", type=float, help="Give up what is left after this time; otherwise never.")
@_names_argument
@_socket_option
@_json_option
def drain(client: Client, *, names: tuple[str, ...], timeout: float | None, as_json: bool) -> int:
    """Stop plugins, and wait for their calls as long as these take."""
    return _change(client, "drain", names, as_json=as_json, timeout=timeout)


@command.command()
@click.argument("name", metavar="PLUGIN")
@click.option("-f", "--follow", is_flag=True, help="Go on with each new record, until Ctrl-C or the server's end.")
@click.option("-n", "--lines", type=click.IntRange(0, 1000), default=100, help="The newest so many; 100 if not given.")
@click.option("--level", type=click.Choice(("debug", "info", "warning", "error")), help="From this level on.")
@_socket_option
@click.option("--json", "as_json", is_flag=True, help="Print each record as JSON for programs.")
def logs(client: Client, *, name: str, follow: bool, lines: int, level: str | None, as_json: bool) -> int:
    """Show what a plugin prints and logs."""
    for record in (client.follow if follow else client.logs)(name, lines, level):
        if as_json:
            terminal.print_json(record)
        else:
            click.echo(terminal.log_line(record))
    return ExitCode.OK


@command.command()
@click.argument("names", metavar="[PLUGIN]...", nargs=-1)
@click.option("--plugins", metavar="DIR", help="Folder of plugins.")
@click.option("--state", metavar="DIR", help="Folder of what pyhost makes; the server has to know it, too.")
@click.option("--upgrade", is_flag=True, help="Take the newest versions that fit, not those of the lock files.")
@_json_option
def install(names: tuple[str, ...], *, upgrade: bool, as_json: bool, **folders: str | None) -> int:
    """Install what plugins depend on, each into an environment of its own.

    The versions are written down in a lock file beside each manifest, and taken from there as long as they fit it. A
    server that runs takes what is new when a plugin is loaded anew: pyhost reload PLUGIN.
    """
    from pyhost import installer
    from pyhost.config import load_options

    with _failures():
        options = load_options(click.get_current_context().obj.config, folders)
        outcomes = []
        for outcome in installer.install_all(options.plugins, names, options.state, upgrade=upgrade):
            outcomes.append(outcome)
            if not as_json:
                terminal.print_installed(outcome)
    if as_json:
        terminal.print_json({"plugins": [terminal.installed(outcome) for outcome in outcomes]})
    elif not any(outcome.is_new or outcome.error for outcome in outcomes):
        click.echo("nothing to install")
    return ExitCode.INSTALL_FAILED if any(outcome.error for outcome in outcomes) else ExitCode.OK


@command.command()
@click.argument("name")
@click.option("--in", "parent", metavar="DIR", default=".", type=click.Path(path_type=Path), help="Where to make it.")
@_json_option
def new(name: str, parent: Path, *, as_json: bool) -> int:
    """Make a new plugin's folder to start from."""
    from pyhost import scaffold

    with _failures():
        created = [str(path) for path in scaffold.create(name, parent)]
    if as_json:
        terminal.print_json({"created": created})
    else:
        click.echo("\n".join(created))
    return ExitCode.OK


@command.command()
@click.option("--cflags", is_flag=True, help="For the compiler.")
@click.option("--libs", is_flag=True, help="For the linker.")
@click.option("--cmakedir", is_flag=True, help="The folder for CMAKE_PREFIX_PATH.")
@click.option("--pkgconfigdir", is_flag=True, help="The folder for PKG_CONFIG_PATH.")
@_json_option
def config(*, cflags: bool, libs: bool, cmakedir: bool, pkgconfigdir: bool, as_json: bool) -> int:
    """Show how C and C++ programs are built against pyhost; without options, all of it."""
    from pyhost import _core
    from pyhost.linking import find_places

    with _failures():
        places = find_places(Path(_core.__file__).parent)
    values = {
        "cflags": (cflags, places.cflags),
        "libs": (libs, places.libs),
        "cmakedir": (cmakedir, str(places.cmake)),
        "pkgconfigdir": (pkgconfigdir, str(places.pkgconfig)),
    }
    chosen = [value for wanted, value in values.values() if wanted]
    if as_json:
        terminal.print_json({name: value for name, (_, value) in values.items()})
    elif chosen:
        click.echo(" ".join(chosen))
    else:
        click.echo("\n".join(f"{name}: {value}" for name, (_, value) in values.items()))
    return ExitCode.OK


@command.command()
@_json_option
def version(*, as_json: bool) -> int:
    """Show the versions of pyhost and Python, and the platform."""
    from pyhost import _core

    versions = {
        "pyhost": _core.version,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    if as_json:
        terminal.print_json(versions)
    else:
        click.echo(f"pyhost {versions['pyhost']}, Python {versions['python']}, {versions['platform']}")
    return ExitCode.OK


def parse_arguments(words: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the named arguments that words of the command line are."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.isidentifier():
            if name in kwargs:
                raise click.UsageError(f"the argument {name} is given twice")
            kwargs[name] = _parse_value(value)
        else:
            args.append(_parse_value(word))
    return args, kwargs


def _parse_value(text: str) -> Any:
    """Return what ``text`` is in JSON, or ``text`` itself: also for NaN and Infinity, which JSON does not have."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _explain(error: ProblemError) -> str:
    """Return a problem's detail, and the plugin's own traceback where there is one."""
    traceback = error.document.get("traceback", "").rstrip()
    return f"{error}\n{traceback}" if traceback else str(error)
