"""Options of the server, from the command line and from ``pyhost.toml``.

``docs/configuration.md`` is the reference for users.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from pyhost import tables
from pyhost.errors import ConfigurationError
from pyhost.quantities import parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Mapping

# sun_path of a Unix socket's address holds 108 bytes, the last of them zero.
_SOCKET_PATH_BYTES = 107
_HOSTNAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})")
_ADDRESS = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]+)):([0-9]{1,5})")
_TOKEN = re.compile(rb"[!-~]{16,4096}")


def default_socket_path() -> Path:
    """Return where the server's Unix socket is, unless an option says otherwise.

    It is below ``$XDG_RUNTIME_DIR``, which only its user can enter; without one, in a folder of this user's in /tmp.
    """
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if runtime.is_absolute():  # the XDG specification: a relative path is to be ignored
        return runtime / "pyhost" / "pyhost.sock"
    return Path(f"/tmp/pyhost-{os.getuid()}/pyhost.sock")  # noqa: S108 - whoever makes the folder checks its owner


def default_state_folder() -> Path:
    """Return where pyhost keeps what it makes, such as the environments of plugins, unless an option says otherwise.

    Raises:
        ConfigurationError: the environment names no folder, and this user has no home.
    """
    if os.environ.get("PYHOST_STATE"):
        return Path(os.environ["PYHOST_STATE"]).absolute()
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        # The XDG specification: a relative path is to be ignored.
        return (state if state.is_absolute() else Path.home() / ".local" / "state") / "pyhost"
    except RuntimeError as error:
        raise ConfigurationError(
            "there is no place for pyhost's state, as this user has no home folder; give --state DIR, or PYHOST_STATE "
            "in the environment"
        ) from error


def parse_listen(value: object) -> tuple[str, int]:
    """Return host and port of ``"127.0.0.1:8470"``, ``"[::1]:0"`` or ``"localhost:8470"``.

    Raises:
        ValueError: the value is none of these.
    """
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[3]) > 65535:
        raise ValueError(f"{value!r} is not an address to listen on")
    ipv6, host, port = match.groups()
    if ipv6 is not None:
        return str(ipaddress.IPv6Address(ipv6)), int(port)
    if host.rpartition(".")[2].isdecimal():  # no name ends in a number: this is meant as an IPv4 address
        return str(ipaddress.IPv4Address(host)), int(port)
    if _HOSTNAME.fullmatch(host) is None:
        raise ValueError(f"{host!r} is not the name of a host")
    return host, int(port)


def _parse_number(value: object) -> object:
    """Return the whole number that a text of the command line is, and any other value as it is."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


def _parse_names(value: object) -> tuple[str, ...]:
    """Return the names of modules in a list, or in a text with commas between them.

    Raises:
        ValueError: something is no name of a module of the standard library.
    """
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(map(_is_standard, names)):
        raise ValueError(value)
    return tuple(names)


def _is_standard(name: object) -> bool:
    return isinstance(name, str) and name.partition(".")[0] in sys.stdlib_module_names


def _parse_path(value: object) -> Path:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError(value)
    return Path(text)


_PATH = Meta(description="a path", extra={"parse": _parse_path})
_LISTEN = Meta(
    description='a host and a port from 0 to 65535, such as "127.0.0.1:8470", "[::1]:0" or "localhost:8470"',
    extra={"parse": parse_listen},
)
_GRACE = Meta(
    ge=0,
    le=24 * 3600,
    description='a duration from 0 to 24h, such as "500ms", "10s", "1m" or a number of seconds',
    extra={"parse": parse_duration},
)
_MAX_BODY = Meta(
    ge=1,
    le=1 << 32,
    description='a size from 1 byte to 4GiB, such as "64KiB", "16MiB" or a number of bytes',
    extra={"parse": parse_size},
)
_WARM = Meta(ge=0, le=256, description="a whole number from 0 to 256", extra={"parse": _parse_number})
_PRELOAD = Meta(
    description='names of modules of the standard library, such as ["asyncio", "json"] or "asyncio,json"',
    extra={"parse": _parse_names},
)
_MAX_LOST = Meta(ge=0, le=1000, description="a whole number from 0 to 1000", extra={"parse": _parse_number})
_WATCH = Meta(description="true or false")
_LOG_LEVEL = Meta(description='"debug", "info", "warning" or "error"')
_LOG_FORMAT = Meta(description='"text" or "json"')


@dataclass(frozen=True, slots=True)
class Options:
    """What the server is told: ``[server]`` of ``pyhost.toml``, and the options of the command line."""

    plugins: Annotated[Path, _PATH] = field(default_factory=lambda: Path("plugins").absolute())
    """The folder of plugins."""
    state: Annotated[Path | None, _PATH] = None
    """The folder of what pyhost makes, such as the environments of plugins; None: ``default_state_folder``."""
    listen: Annotated[tuple[str, int], _LISTEN] = ("127.0.0.1", 8470)
    """Host (IPv6 without its brackets) and port of the HTTP side; port 0 lets the system choose."""
    socket: Annotated[Path, _PATH] = field(default_factory=default_socket_path)
    """The Unix socket."""
    token_file: Annotated[Path | None, _PATH] = None
    """Holds the token that HTTP callers have to show; None lets everyone call who can connect."""
    grace: Annotated[float, _GRACE] = 10.0
    """Seconds that running calls get to finish when the server stops."""
    max_body: Annotated[int, _MAX_BODY] = 16 << 20
    """Bytes that the body of a request may have."""
    warm: Annotated[int, _WARM] = 1
    """Interpreters that are kept ready for plugins to come."""
    preload: Annotated[tuple[str, ...], _PRELOAD] = ()
    """Modules of the standard library that these have imported."""
    max_lost: Annotated[int, _MAX_LOST] = 4
    """Interpreters that may be lost, their threads stuck for good, before the server replaces itself."""
    watch: Annotated[bool, _WATCH] = False
    """Whether plugins are reloaded when their code changes."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _LOG_LEVEL] = "info"
    """The server's own log, and the level that plugins' root loggers start with."""
    log_format: Annotated[Literal["text", "json"], _LOG_FORMAT] = "text"

    def check(self) -> None:
        """Make sure that the options go together.

        Raises:
            ConfigurationError: other machines could call without a token, or the socket's path is too long.
        """
        host, port = self.listen
        if self.token_file is None and not _is_loopback(host):
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            raise ConfigurationError(
                f"listen is {address}, which other machines may reach, and anyone who reaches it could call every "
                "plugin; give --token-file (token_file in pyhost.toml), whose token callers then have to show, or "
                "listen on 127.0.0.1"
            )
        length = len(os.fsencode(self.socket))
        if length > _SOCKET_PATH_BYTES:
            raise ConfigurationError(
                f"the path of socket {self.socket} has {length} bytes; allowed: at most {_SOCKET_PATH_BYTES}, which is "
                "Linux's limit"
            )

    def read_token(self) -> str | None:
        """Return the token in ``token_file``, or None where callers need none.

        Raises:
            ConfigurationError: it cannot be read, other users can read it, or what it holds is no token.
        """
        path = self.token_file
        if path is None:
            return None
        data, mode = tables.read_bytes(path, tables.Source(f"token file {path}", ConfigurationError))
        quoted = shlex.quote(str(path))
        if mode & 0o077:
            raise ConfigurationError(
                f"token file {path} is open to other users (its mode is {mode:04o}); run: chmod 600 {quoted}"
            )
        token = data.strip()
        if _TOKEN.fullmatch(token) is None:
            found = f"{len(token)} bytes" if token.isascii() else "bytes that are not ASCII"
            raise ConfigurationError(
                f"token file {path} holds no token ({found}); allowed: 16 to 4096 letters, digits and signs without a "
                f"space; write one with: openssl rand -hex 32 > {quoted}"
            )
        return token.decode("ascii")


@dataclass(frozen=True, slots=True)
class _Document:
    server: Options = field(default_factory=Options)


def load_options(config_file: Path | None, overrides: Mapping[str, object]) -> Options:
    """Return the options of the command line (``overrides``), then of ``config_file``, then the defaults.

    Overrides are named as the fields of ``Options`` and are text or values; None is an option that was not given.
    Paths in the file are relative to the file's folder, those of the command line to the current folder; all become
    absolute, as plugins can change the current folder.

    Raises:
        ConfigurationError: the file cannot be read, or a key or value is not allowed.
    """
    given: dict[str, Any] = {}
    if config_file is not None:
        source = tables.Source(str(config_file), ConfigurationError)
        document = tables.check(tables.read(config_file, source), _Document, source)
        given = _absolute(document.get("server", {}), config_file.parent)
    command_line = {name: value for name, value in overrides.items() if value is not None}
    source = tables.Source("command line", ConfigurationError, spell=tables.as_option)
    given |= _absolute(tables.check(command_line, Options, source), Path())
    return Options(**given)


def _absolute(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {name: (folder / value).absolute() if isinstance(value, Path) else value for name, value in values.items()}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"  # other names mean what the resolver says: reachable
