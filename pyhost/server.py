"""The server: a host with its plugins, behind HTTP on TCP and on a Unix socket, until a signal ends it.

SIGTERM and SIGINT drain: nothing new is accepted, running calls get the grace time, then the host closes and gives the
rest up. A second signal ends the wait; a third ends the process at once. SIGHUP reads the plugins' folder again.
Everything runs in one asyncio loop of the main interpreter; what blocks in the host runs in a thread. When more than
``max_lost`` interpreters are lost, it drains as well, and a new process takes its sockets over.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import uvicorn

from pyhost import _core, listeners
from pyhost.errors import PyhostError
from pyhost.exit_codes import ExitCode
from pyhost.gateway import Gateway
from pyhost.host import Host
from pyhost.lifecycle import SERVING
from pyhost.logs import LEVELS, JsonFormatter
from pyhost.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from typing import NoReturn

    from starlette.types import ASGIApp

    from pyhost.config import Options
    from pyhost.listeners import Listeners
    from pyhost.status import PluginStatus

_logger = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5
"""Time between two looks at how many interpreters are lost."""
_FLUSH_SECONDS = 0.5
"""How long the answers about calls that were given up may take to be sent."""
_ACCEPT_SECONDS = 0.01
"""What asyncio takes at most to make a connection of one that was accepted."""
_FIRST_REQUEST_SECONDS = 2.0
"""How long who has connected may take to send a request, when a new process takes over."""
_LEAST_END_SECONDS = 0.4
"""What plugins have to end in, however little is left of the grace time."""


def run(options: Options, start_again: Callable[[Mapping[str, str]], NoReturn]) -> ExitCode:
    """Serve until a signal says to stop.

    ``start_again`` replaces the program by a new one, whose environment gets these settings: for when too many
    interpreters are lost.

    Raises:
        ConfigurationError: the options do not go together, or the token or the plugins' folder cannot be read.
        ListenError: a listener's address is taken or cannot be had.
    """
    options.check()
    _configure_logging(options)
    _name_crashes()
    with listeners.listen(*options.listen, options.socket) as sockets:
        server = _Server(options, sockets)
        code = asyncio.run(server.serve())
        if server.has_lost_too_many and code == ExitCode.OK:
            start_again(sockets.hand_on())
        return code


def _configure_logging(options: Options) -> None:
    is_json = options.log_format == "json"
    formatter = JsonFormatter() if is_json else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=options.log_level.upper(), handlers=[handler])
    if options.log_level != "debug":
        logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _name_crashes() -> None:
    """Have a signal that ends the process say in which plugin, and where in its code."""
    if sys.stderr is not None:
        faulthandler.enable()
        _core.name_crashes()


class _HttpServer(uvicorn.Server):
    """uvicorn's server of one listener, which leaves the signals to pyhost."""

    def __init__(self, app: ASGIApp, *, access_log: bool) -> None:
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=access_log,
            proxy_headers=False,
            server_header=False,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def stop_listening(self) -> None:
        """Accept nobody any more, and wait until who was accepted just now has sent a request: uvicorn would close the
        connection.
        """
        for server in self.servers:
            server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_REQUEST_SECONDS):
                await asyncio.sleep(_ACCEPT_SECONDS)
                while self._has_new_connections():  # noqa: ASYNC110 - uvicorn tells nobody
                    await asyncio.sleep(_ACCEPT_SECONDS)

    def _has_new_connections(self) -> bool:
        return any(getattr(connection, "cycle", True) is None for connection in self.server_state.connections)


class _Server:
    def __init__(self, options: Options, sockets: Listeners) -> None:
        self.has_lost_too_many = False
        """Why it stopped: a new process is to take its place."""
        self._options = options
        self._sockets = sockets
        self._host = Host(options.plugins, state=options.state, warm=options.warm, preload=options.preload)
        self._host.logs.level = LEVELS[options.log_level]
        self._host.logs.echo = False  # what the log's level leaves out is wanted nowhere else
        self._monitor = Monitor(self._host)
        self._gateway = Gateway(self._host, options, self._monitor)
        self._stop = asyncio.Event()
        self._cut_short = asyncio.Event()
        self._exit_code = ExitCode.OK
        self._stopped_at = 0.0
        self._serving = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> ExitCode:
        """Start the plugins, serve, and drain; return how the server ended."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        if self._options.watch:
            self._start(self._watch())
            await asyncio.sleep(0)  # it watches now: what changes from here on is seen
        await asyncio.to_thread(self._host.start)
        if not self._stop.is_set():
            with self._monitor:
                await self._serve_http()
        # Plugins end in what is left of the grace time.
        left = max(self._stopped_at + self._options.grace - loop.time(), _LEAST_END_SECONDS)
        await asyncio.to_thread(self._host.close, 0.0, left)
        return self._exit_code

    def _on_stop(self, number: signal.Signals) -> None:
        if self._cut_short.is_set():
            os._exit(128 + number)  # what holds the process up cannot be waited for
        if self._stop.is_set():
            _logger.warning("%s: a second signal, so running calls are given up", number.name)
            self._exit_code = ExitCode(128 + number)
            self._cut_short.set()
        else:
            _logger.info("%s: stopping; running calls get %g s", number.name, self._options.grace)
            self._begin_to_stop()

    def _begin_to_stop(self) -> None:
        self._stopped_at = asyncio.get_running_loop().time()
        self._stop.set()

    def _on_hangup(self) -> None:
        if self._serving:
            self._start(self._rescan())

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _rescan(self) -> None:
        try:
            await self._gateway.rescan()
        except PyhostError as error:
            _logger.error("rescan failed: %s", error)  # noqa: TRY400 - the message is for the user, not a traceback

    async def _watch(self) -> None:
        """Read the plugins again whenever their code changes."""
        from pyhost import watch

        try:
            async for changed in watch.changes(self._options.plugins):
                _logger.info("changed: %s", ", ".join(sorted(path.name for path in changed)))
                await self._rescan()
        except Exception:
            _logger.exception("the plugins' folder is watched no more; changes need a reload")

    def _count_lost(self) -> None:
        """Stop, to be replaced by a new process, when too many interpreters are lost; look again later otherwise."""
        if self._stop.is_set():
            return
        if _core.lost_count() <= self._options.max_lost:
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._count_lost)
            return
        _logger.warning(
            "%d interpreters are lost, with threads that do not come back (max_lost is %d): a new process takes over",
            _core.lost_count(),
            self._options.max_lost,
        )
        self.has_lost_too_many = True
        self._begin_to_stop()

    async def _serve_http(self) -> None:
        """Serve until told to stop, then drain."""
        access_log = self._options.log_level == "debug"
        tcp = _HttpServer(self._gateway.application(trusted=False), access_log=access_log)
        unix = _HttpServer(self._gateway.application(trusted=True), access_log=access_log)
        # uvicorn closes what it is given; a process that takes over needs them open all the time.
        serving = asyncio.gather(
            tcp.serve(sockets=[self._sockets.tcp.dup()]), unix.serve(sockets=[self._sockets.unix.dup()])
        )
        self._announce()
        self._serving = True
        self._count_lost()
        await _first(serving, self._stop)
        self._serving = False
        for task in self._tasks:
            task.cancel()
        if self.has_lost_too_many:
            await asyncio.gather(tcp.stop_listening(), unix.stop_listening())
        self._gateway.drain()
        tcp.should_exit = unix.should_exit = True
        if not self.has_lost_too_many:
            self._sockets.close()
        try:
            async with asyncio.timeout(self._options.grace):
                await _first(serving, self._cut_short)
        except TimeoutError:
            _logger.warning("the grace time of %g s is over: running calls are given up", self._options.grace)
        self._gateway.give_up_calls()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await serving

    def _announce(self) -> None:
        lines = [_describe(status) for status in self._host.plugins()]
        lines.append(f"pyhost listens on {listeners.url(self._sockets.tcp)}")
        lines.append(f"pyhost listens on unix socket {self._options.socket}")
        # One write: whoever reads only the first line may have gone before a second.
        print("\n".join(lines), flush=True)


async def _first(serving: asyncio.Future[tuple[None, None]], event: asyncio.Event) -> None:
    """Wait until ``event`` is set or serving has ended."""
    waiter = asyncio.ensure_future(event.wait())
    futures: tuple[asyncio.Future[Any], ...] = (serving, waiter)
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()


def _describe(status: PluginStatus) -> str:
    if status.state not in SERVING:
        return f"plugin {status.name} does not run ({status.state}): {status.reason}"
    number = len(status.interpreters)
    return f"plugin {status.name} {status.version} runs in {number} interpreter{'' if number == 1 else 's'}"
