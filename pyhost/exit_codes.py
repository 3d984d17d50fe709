"""The exit codes of the ``pyhost`` command."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What an exit code says."""

    OK = 0
    CALL_FAILED = 1
    """The server answered with a problem: the call raised, timed out, was refused."""
    USAGE = 2
    """An argument, an option or ``pyhost.toml`` is wrong."""
    NO_SERVER = 3
    """No server answers on the socket."""
    CANNOT_LISTEN = 4
    """The TCP port or the Unix socket cannot be had; another server may hold it."""
    INSTALL_FAILED = 5
    """The dependencies of a plugin could not be installed; those of the others are."""
    INTERRUPTED = 130
    """Cut short by SIGINT, as the shells count it."""
    TERMINATED = 143
    """Cut short by SIGTERM."""
