"""A real server: a process of its own, with real sockets."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from support.plugins import NEVER, write_plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    type StartServer = Callable[..., "Server"]

PATIENCE = 30.0
"""Seconds after which a wait is given up for lost; nothing here depends on how long anything takes."""

SYNCHRONOUS = '''
"""Answers in every way that a call can be answered."""

import datetime
import math

import pyhost


def pass_gate(gate: str) -> None:
    """Say that the call is here, and wait to be let through."""
    with open(gate + ".entered", "wb", buffering=0) as entered:
        entered.write(b"!")
    with open(gate + ".open", "rb", buffering=0) as opened:
        opened.read(1)


@pyhost.export
def echo(value=None):
    return value


@pyhost.export
def add(a: int, b: int = 1, *, scale: float = 1.0) -> float:
    """Add two numbers.

    The sum is scaled.
    """
    return (a + b) * scale


@pyhost.export
def join(parts: list[bytes], end: bytes | None = None) -> bytes:
    return b"".join(parts) + (end or b"")


@pyhost.export
def infinite() -> list[float]:
    return [1.0, math.inf]


@pyhost.export
def everything() -> dict:
    return {
        "none": None,
        "set": {3},
        "tuple": (1, 2),
        "bytes": b"abc",
        "time": datetime.datetime(2025, 1, 2, 3, 4, tzinfo=datetime.UTC),
    }


@pyhost.export
def fail(message: str):
    error = ValueError(message)
    error.add_note("a note")
    raise error


@pyhost.export
def hold(gate: str) -> str:
    pass_gate(gate)
    return "let through"
'''

PROBE = (
    SYNCHRONOUS
    + """

import asyncio


@pyhost.export
async def wait_for_ever(gate: str):
    with open(gate + ".entered", "wb", buffering=0) as entered:
        entered.write(b"!")
    await asyncio.Event().wait()
"""
)


class Gate:
    """Where a call in the server and a test meet: ``path`` is the argument of the probe's functions."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "gate")
        for name in (self.path + ".entered", self.path + ".open"):
            os.mkfifo(name)
        # Open for reading and writing, so that nobody waits for the other side to open.
        self._entered = os.open(self.path + ".entered", os.O_RDWR | os.O_NONBLOCK)
        self._open = os.open(self.path + ".open", os.O_RDWR | os.O_NONBLOCK)

    def wait_entered(self) -> None:
        """Wait until the call is at the gate."""
        ready, _, _ = select.select([self._entered], [], [], PATIENCE)
        assert ready, "the call did not come to the gate"
        os.read(self._entered, 1)

    def open(self, times: int = 1) -> None:
        """Let so many calls through."""
        os.write(self._open, b"!" * times)

    def close(self) -> None:
        os.close(self._entered)
        os.close(self._open)


@dataclass
class Server:
    """A server process and how to reach it."""

    process: subprocess.Popen[str]
    socket: Path
    log: Path
    lines: list[str]
    """What it printed before it served."""

    @property
    def url(self) -> str:
        return next(line for line in self.lines if "http://" in line).rpartition(" ")[2]

    def http(self, **options: Any) -> httpx.Client:
        """A client of its TCP side."""
        return httpx.Client(base_url=self.url, timeout=PATIENCE, **options)

    def unix(self) -> httpx.Client:
        """A client of its Unix socket."""
        transport = httpx.HTTPTransport(uds=str(self.socket))
        return httpx.Client(transport=transport, base_url="http://localhost", timeout=PATIENCE)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait until it has ended; its exit code."""
        return self.process.wait(PATIENCE)

    def stop(self) -> int:
        """Stop it with SIGTERM; its exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def wait_deaf(self) -> None:
        """Wait until it takes no more connections."""
        url = httpx.URL(self.url)
        while True:
            try:
                socket.create_connection((url.host, url.port)).close()
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                pass  # closed while the connection was being made

    def wait_logged(self, pattern: str) -> str:
        """Wait until its log has a line that matches; the line."""
        with self.log.open() as log:
            while True:
                for line in log:
                    if re.search(pattern, line):
                        return line
                # The log grows, or the process ends.
                assert self.process.poll() is None, f"the server ended without logging {pattern!r}"
                with self.http() as client:
                    client.get("/healthz")


def command(*arguments: str) -> list[str]:
    """The command line of pyhost: -P, since a source folder that was not built may be the current one."""
    return [sys.executable, "-P", "-m", "pyhost", *arguments]


@pytest.fixture(scope="session")
def pyhost_command() -> Callable[..., list[str]]:
    return command


@pytest.fixture(scope="session")
def probe_plugins(tmp_path_factory) -> Path:
    """A folder of plugins: ``probe`` answers in every way, ``narrow`` has an inbox for one call, ``broken`` fails."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "probe.py").write_text(PROBE)
    write_plugin(folder, "broken", 'raise RuntimeError("no luck")\n', restart=NEVER)
    narrow = folder / "narrow"
    narrow.mkdir()
    (narrow / "plugin.toml").write_text('[plugin]\nname = "narrow"\nversion = "2.0"\n[limits]\ninbox = 1\n')
    (narrow / "narrow.py").write_text(SYNCHRONOUS)
    return folder


def launch(folder: Path, plugins: Path, *options: str) -> Server:
    socket = folder / "run" / "pyhost.sock"
    log = folder / "log"
    arguments = command("--plugins", str(plugins), "--listen", "127.0.0.1:0", "--socket", str(socket), *options)
    with log.open("w") as stderr:
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=folder)
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if "listens on unix socket" in line:
            return Server(process, socket, log, lines)
    raise AssertionError(f"the server ended with {process.wait()}: {lines} {log.read_text()}")


def end(server: Server) -> None:
    if server.process.poll() is None:
        server.process.kill()
        server.process.wait()
    assert server.process.stdout is not None
    server.process.stdout.close()


@pytest.fixture
def start_server(tmp_path) -> Iterator[StartServer]:
    """A function that starts a server of ``plugins`` with the options given, in a folder of its own."""
    servers: list[Server] = []

    def start(plugins: Path, *options: str) -> Server:
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        servers.append(launch(folder, plugins, *options))
        return servers[-1]

    yield start
    for server in servers:
        end(server)


@pytest.fixture(scope="session")
def server(tmp_path_factory, probe_plugins) -> Iterator[Server]:
    """One server for all tests that only call."""
    started = launch(tmp_path_factory.mktemp("server"), probe_plugins)
    yield started
    end(started)


@pytest.fixture
def http(server) -> Iterator[httpx.Client]:
    with server.http() as client:
        yield client


@pytest.fixture
def unix(server) -> Iterator[httpx.Client]:
    with server.unix() as client:
        yield client


@pytest.fixture
def gate(tmp_path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.close()
