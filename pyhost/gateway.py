"""The HTTP interface: calls of plugins' functions, and what the server says about itself.

``create_app`` makes one ASGI application for one kind of listener: ``trusted`` for the Unix socket, which only its
owner can open, and not for TCP, where ``access.py`` decides who may ask. Every error is a problem document
(``problems.py``); the bodies' forms are in ``bodies.py``, the check of arguments in ``arguments.py``. Main interpreter
only. ``docs/http.md`` is the reference for users.
"""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import functools
import logging
import math
import time
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pyhost import _core, bodies, log_stream, logs, openapi, problems, views
from pyhost.access import Access
from pyhost.arguments import ArgumentChecks
from pyhost.errors import FunctionNotFoundError, PluginNotFoundError, PyhostError
from pyhost.lifecycle import SERVING, State
from pyhost.metrics import Metrics
from pyhost.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.types import ASGIApp, Receive, Scope, Send

    from pyhost.config import Options
    from pyhost.host import Host
    from pyhost.monitor import Monitor
    from pyhost.status import PluginStatus

_logger = logging.getLogger(__name__)
# Whatever the bytes of a result are: no browser takes them for something that runs.
_RESULT_HEADERS = {"Vary": "Accept", "X-Content-Type-Options": "nosniff"}
_CHANGES_AT_ONCE = 4
"""More wait: each takes one of asyncio's few threads, and the server needs one to close the host."""
_CLIENT_IS_GONE = Response(status_code=499)  # never sent; some proxies log this status for it


def create_app(host: Host, options: Options, monitor: Monitor, *, trusted: bool) -> ASGIApp:
    """Return the ASGI application that serves ``host``; ``trusted`` lets every request do everything.

    ``monitor`` is the host's, and has no figures unless it is started.

    Raises:
        ConfigurationError: the token cannot be read.
    """
    return Gateway(host, options, monitor).application(trusted=trusted)


class Gateway:
    """What the applications of one server share."""

    def __init__(self, host: Host, options: Options, monitor: Monitor) -> None:
        self._draining = False
        self._host = host
        self._followers = log_stream.Followers(host.logs)
        self._options = options
        self._monitor = monitor
        self._token = options.read_token()
        self._checks = ArgumentChecks()
        self._metrics = Metrics(host.plugins)
        self._changing = asyncio.Semaphore(_CHANGES_AT_ONCE)
        self._calls: set[asyncio.Future[Any]] = set()
        self._given_up = False

    def application(self, *, trusted: bool) -> ASGIApp:
        """Return the ASGI application for one kind of listener."""
        may_change = trusted or self._token is not None
        rescan = self._rescan if may_change else _refuse_change
        routes = [
            Route("/call/{plugin}/{function}", self._call, methods=["POST"]),
            Route("/plugins", self._plugins, methods=["GET"]),
            Route("/plugins/{plugin}", self._plugin, methods=["GET"]),
            Route("/plugins/{plugin}/logs", self._logs, methods=["GET"]),
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/readyz", self._readyz, methods=["GET"]),
            Route("/metrics", self._metrics_text, methods=["GET"]),
            Route("/openapi.json", self._openapi, methods=["GET"]),
            Route("/rescan", rescan, methods=["POST"]),
        ]
        for action in openapi.CHANGES:
            change = functools.partial(self._change, action) if may_change else _refuse_change
            routes.append(Route(f"/plugins/{{plugin}}/{action}", change, methods=["POST"]))
        handlers: dict[Any, Any] = {
            Problem: _on_problem,
            PyhostError: _on_pyhost_error,
            HTTPException: _on_http_exception,
            ClientDisconnect: _on_disconnect,
            Exception: _on_unexpected_error,
        }
        guard = [] if trusted else [Middleware(_Guard, access=Access(self._options.listen[0], self._token))]
        app = Starlette(routes=routes, middleware=guard, exception_handlers=handlers)
        app.router.redirect_slashes = False
        return app

    def drain(self) -> None:
        """The server has begun to stop: nobody follows a log any more, and it is not ready."""
        self._draining = True
        self._followers.end()

    def give_up_calls(self) -> None:
        """End the calls under way: their clients are told that the server stops."""
        self._given_up = True
        for call in self._calls:
            call.cancel()

    async def rescan(self) -> dict[str, list[str]]:
        """Have the host read the plugins' folder again; return what changed."""
        async with self._changing:
            report = await asyncio.to_thread(self._host.rescan)
        changes = {name: list(names) for name, names in dataclasses.asdict(report).items()}
        _logger.info("rescan: %s", "; ".join(f"{key} {', '.join(names)}" for key, names in changes.items() if names))
        return changes

    async def _call(self, request: Request) -> Response:
        plugin, function = request.path_params["plugin"], request.path_params["function"]
        try:
            return await self._answer(request, plugin, function)
        except Problem as problem:
            problem.members = {"plugin": plugin, "function": function} | problem.members
            raise
        except PluginNotFoundError as error:
            raise problems.not_found(error, plugin, [status.name for status in self._host.plugins()]) from error
        except FunctionNotFoundError as error:
            functions = [item.description.name for item in self._host.status(plugin).functions]
            raise problems.not_found(error, function, functions) from error

    async def _answer(self, request: Request, plugin: str, function: str) -> Response:
        """Return the answer to a call."""
        name = f"{plugin}.{function}"
        timeout = _timeout(request)
        body_kind = bodies.kind(request)
        args, kwargs = bodies.arguments(await bodies.read(request, self._options.max_body), body_kind)
        description = self._host.describe(name)
        if description is not None:  # otherwise the call itself says what is wrong
            check = self._checks.get(name, description, body_kind)
            args, kwargs = check(args, kwargs)
        try:
            value = await self._unless_given_up(request, self._host.invoke(name, args, kwargs, timeout))
        except _ClientIsGone:
            return _CLIENT_IS_GONE
        body = bodies.result(value, bodies.accepted(request.headers.get("accept", ""), body_kind))
        return Response(body.content, headers={"Content-Type": body.media_type, **_RESULT_HEADERS})

    async def _unless_given_up(self, request: Request, call: Coroutine[Any, Any, Any]) -> Any:
        """Return the call's value; give the call up when its client goes, or the server does.

        Raises:
            _ClientIsGone: the client went.
            Problem: the server gives up its calls.
        """
        task = asyncio.ensure_future(call)
        self._calls.add(task)
        watcher = asyncio.ensure_future(_disconnected(request))
        watcher.add_done_callback(lambda _: task.cancel())
        try:
            return await task
        except asyncio.CancelledError:
            if self._given_up:
                raise Problem(
                    problems.CALL_CANCELLED, "the server stops, and its grace time for running calls is over"
                ) from None
            if watcher.done():
                raise _ClientIsGone from None
            raise
        finally:
            self._calls.discard(task)
            watcher.cancel()

    async def _plugins(self, _request: Request) -> Response:
        history = self._monitor.history
        plugins = [views.plugin(status, history.rates(status.name)) for status in self._host.plugins()]
        return _json({"process": views.process(history), "plugins": plugins})

    async def _plugin(self, request: Request) -> Response:
        status, history = self._host.status(request.path_params["plugin"]), self._monitor.history
        view = views.plugin(status, history.rates(status.name))
        return _json({**view, "history": views.plugin_history(history, status.name, time.monotonic())})

    async def _logs(self, request: Request) -> Response:
        name = request.path_params["plugin"]
        query = log_stream.read_query(request.query_params)
        try:
            self._host.status(name)
        except PluginNotFoundError as error:
            raise problems.not_found(error, name, [status.name for status in self._host.plugins()]) from error
        if query.follow:
            return StreamingResponse(self._followers.lines(name, query), media_type=log_stream.MEDIA_TYPE)
        records, _ = self._host.logs.read(name)
        chosen = logs.select(records, level=query.level, lines=query.lines)
        return _json({"plugin": name, "records": [logs.view(record) for record in chosen]})

    async def _change(self, action: str, request: Request) -> Response:
        """Do one of ``openapi.CHANGES`` to a plugin; answer when that is done."""
        name = request.path_params["plugin"]
        change: Callable[..., PluginStatus] = getattr(self._host, f"{action}_plugin")
        options = {"timeout": _timeout(request)} if action == "drain" else {}
        started = time.perf_counter()
        async with self._changing:
            try:
                status = await asyncio.to_thread(change, name, **options)
            except PluginNotFoundError as error:
                raise problems.not_found(error, name, [status.name for status in self._host.plugins()]) from error
        seconds = time.perf_counter() - started
        _logger.info("%s of plugin %s: %s after %.1f ms", action, name, status.state, seconds * 1000)
        return _json({"action": action, "seconds": seconds, "plugin": views.plugin(status, None)})

    async def _readyz(self, _request: Request) -> Response:
        fine = SERVING | {State.STOPPED}
        waiting = {status.name: status.state for status in self._host.plugins() if status.state not in fine}
        if self._draining:
            raise Problem(problems.NOT_READY, "the server is stopping", members={"draining": True, "plugins": waiting})
        if waiting:
            names = ", ".join(f"{name} is {state}" for name, state in waiting.items())
            raise Problem(
                problems.NOT_READY,
                f"not every plugin runs: {names}; GET /plugins says why",
                members={"draining": False, "plugins": waiting},
            )
        return _json({"status": "ready"})

    async def _metrics_text(self, request: Request) -> Response:
        content, content_type = self._metrics.exposition(request.headers.get("accept", ""))
        return Response(content, headers={"Content-Type": content_type})

    async def _openapi(self, _request: Request) -> Response:
        return _json(openapi.document(self._host.plugins(), _core.version, token=self._token is not None))

    async def _rescan(self, _request: Request) -> Response:
        return _json(await self.rescan())


class _Guard:
    """ASGI middleware that lets pass what ``access`` lets pass."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._access.check(scope)
        except Problem as problem:
            await _problem_response(scope["path"], problem)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class _ClientIsGone(Exception):
    """The client closed its connection before it had an answer."""


async def _disconnected(request: Request) -> None:
    """Return when the client has closed its connection; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _timeout(request: Request) -> float | None:
    """Return the ``timeout`` of the query in seconds, None where there is none.

    Raises:
        Problem: it is no such number, or the query has something else.
    """
    for name in request.query_params:
        if name != "timeout":
            hint = "; did you mean timeout?" if difflib.get_close_matches(name, ["timeout"]) else ""
            raise Problem(problems.INVALID_QUERY, f"the query has {name!r}{hint}; allowed: timeout")
    text = request.query_params.get("timeout")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise Problem(problems.INVALID_QUERY, f"timeout is {text!r}; allowed: a finite number of seconds above 0")
    return seconds


async def _healthz(_request: Request) -> Response:
    return _json({"status": "ok"})


async def _refuse_change(_request: Request) -> Response:
    raise Problem(
        problems.FORBIDDEN,
        "over TCP without a token nothing of the server can be changed; send the request to the Unix socket, "
        "or start the server with --token-file",
    )


def _json(value: Any) -> Response:
    return Response(bodies.document(value), media_type=bodies.JSON)


def _problem_response(path: str, problem: Problem) -> Response:
    return Response(
        bodies.document(problem.document(path)),
        status_code=problem.type.status,
        headers=problem.headers,
        media_type=problems.MEDIA_TYPE,
    )


async def _on_problem(request: Request, problem: Problem) -> Response:
    return _problem_response(request.scope["path"], problem)


async def _on_pyhost_error(request: Request, error: PyhostError) -> Response:
    return _problem_response(request.scope["path"], problems.from_error(error))


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    """Answer what Starlette's router refuses: a path or a method that is not there."""
    path = request.scope["path"]
    if error.status_code == problems.METHOD_NOT_ALLOWED.status:
        allowed = (error.headers or {}).get("Allow", "")
        detail = f"{path} does not take {request.method}; allowed: {allowed}"
        problem = Problem(problems.METHOD_NOT_ALLOWED, detail, headers=error.headers)
    else:
        problem = Problem(problems.NOT_FOUND, f"there is nothing at {path}; GET /openapi.json lists what there is")
    return _problem_response(path, problem)


async def _on_disconnect(_request: Request, _error: ClientDisconnect) -> Response:
    return _CLIENT_IS_GONE


async def _on_unexpected_error(request: Request, _error: Exception) -> Response:
    """Answer for an error of the gateway itself; Starlette then raises it on, and the log has its traceback."""
    problem = Problem(problems.INTERNAL_ERROR, "the server itself failed; its log says where")
    return _problem_response(request.scope["path"], problem)
