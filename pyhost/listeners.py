"""The server's two listening sockets: TCP, and a Unix socket that only its owner can open.

Which server a Unix socket belongs to is decided by a lock on the file beside it, ``PATH.lock``: the system drops it
when the process ends, however it ends, so a socket without the lock is a dead server's and is replaced.

A server that replaces itself by a new program hands its sockets on, lock and all, so that nobody is turned away: who
connects meanwhile waits in their queues.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyhost.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INHERITED_VARIABLE = "PYHOST_LISTENERS"
"""Environment variable with the descriptors that are handed on: of TCP, of the Unix socket and of its lock."""

_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Listeners:
    """A server's sockets, both listening."""

    tcp: socket.socket
    unix: socket.socket
    lock: int
    """The descriptor of the locked file."""

    def close(self) -> None:
        """Refuse who connects from now on. The lock stays until the process ends."""
        self.tcp.close()
        self.unix.close()

    def hand_on(self) -> dict[str, str]:
        """Let a program that replaces this one inherit them; return what its environment has to say."""
        descriptors = (self.tcp.fileno(), self.unix.fileno(), self.lock)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        return {INHERITED_VARIABLE: ",".join(map(str, descriptors))}


@contextlib.contextmanager
def listen(host: str, port: int, path: Path) -> Iterator[Listeners]:
    """Listen on TCP and on a Unix socket at ``path``, or go on with what the program before handed on.

    Raises:
        ListenError: one of them cannot be had.
    """
    inherited = os.environ.pop(INHERITED_VARIABLE, "")
    with contextlib.ExitStack() as stack:
        if inherited:
            tcp, unix, lock = map(int, inherited.split(","))
            for descriptor in (tcp, unix, lock):
                os.set_inheritable(descriptor, False)
            stack.callback(os.close, lock)
            listeners = Listeners(
                stack.enter_context(socket.socket(fileno=tcp)), stack.enter_context(socket.socket(fileno=unix)), lock
            )
            stack.callback(_remove_own_socket, path, path.lstat())
        else:
            tcp_socket = stack.enter_context(listen_tcp(host, port))
            listeners = Listeners(tcp_socket, *stack.enter_context(listen_unix(path)))
        yield listeners


class ListenError(ConfigurationError):
    """An address or a socket path cannot be listened on."""


def listen_tcp(host: str, port: int) -> socket.socket:
    """Return a socket that listens on TCP; port 0 takes a free one.

    Raises:
        ListenError: the host is unknown, or the port is taken or not allowed.
    """
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ListenError(
            f"cannot listen on {address}: the host is unknown ({reason}); give an address with --listen"
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(target)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
        raise ListenError(
            f"cannot listen on {address}: {reason}; give another address with --listen, or port 0 for a free one"
        ) from error
    return listener


def url(listener: socket.socket) -> str:
    """Return the URL of a TCP listener, with the port that it really has."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def listen_unix(path: Path) -> Iterator[tuple[socket.socket, int]]:
    """Listen on a Unix socket at ``path`` that only this user can open; remove the socket afterwards.

    Yields the socket, and the descriptor of its lock.

    The lock file stays: whoever removed it could leave two servers with a lock each.

    Raises:
        ListenError: another server has the path, or the socket cannot be made there.
    """
    with contextlib.ExitStack() as stack:
        try:
            _make_folder(path.parent)
            lock = _take_lock(path)
            stack.callback(os.close, lock)
            _remove_socket(path)
            listener = stack.enter_context(_bind(path))
            stack.callback(_remove_own_socket, path, path.lstat())
        except OSError as error:
            raise ListenError(
                f"cannot make the socket {path}: {error.strerror or error}; give another path with --socket"
            ) from error
        yield listener, lock


def _make_folder(folder: Path) -> None:
    """Make the socket's folder for its owner alone, or make sure that nobody else owns it."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        owner = folder.stat().st_uid
        if owner not in {0, os.getuid()}:
            raise ListenError(
                f"the socket's folder {folder} belongs to another user (number {owner}), who could take the socket's "
                "place; give another path with --socket"
            ) from None


def _take_lock(path: Path) -> int:
    """Return the open, locked lock file of a socket path; its content is the number of the process that has it."""
    lock_path = path.with_name(path.name + ".lock")
    # O_NOFOLLOW: where others can write in the folder, a link could lead to a file of ours.
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise ListenError(
            f"the socket {path} is taken by another pyhost server (process {holder}); stop that one, "
            "or give this one a path of its own with --socket"
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _remove_socket(path: Path) -> None:
    """Remove the socket of a server that is gone.

    Raises:
        ListenError: what is there is no socket.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"{path} is there and is no socket; remove it, or give another path with --socket")
    path.unlink()


def _bind(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(_BACKLOG)  # nobody can connect before this, so nobody comes in before the chmod
    except OSError:
        listener.close()
        raise
    return listener


def _remove_own_socket(path: Path, own: os.stat_result) -> None:
    """Remove the socket, unless another file has taken its place."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(path.lstat(), own):
            path.unlink()
