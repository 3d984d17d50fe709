"""A small synchronous client of a server's Unix socket, for the command line and for scripts."""

from __future__ import annotations

import errno
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx
import msgspec

from pyhost.errors import ArgumentsError, PyhostError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

_JSON = "application/json"
_MESSAGEPACK = "application/msgpack"
_JSON_LINES = "application/x-ndjson"
_PROBLEM = "application/problem+json"
_CONNECT_SECONDS = 5.0


class ServerUnreachableError(PyhostError):
    """No server answers on the socket."""


class ProblemError(PyhostError):
    """The server answered with a problem; ``document`` is it (RFC 9457), as in docs/http.md."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(document["detail"])
        self.document = document


class Client:
    """Talks to the server that listens on ``socket``.

    Every method raises ServerUnreachableError when there is none, and ProblemError when it refuses.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        # The server keeps the deadlines of calls, so nothing but connecting has one here.
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)),
            base_url="http://localhost",
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def overview(self) -> dict[str, Any]:
        """Return what the server says of its process and its plugins, as ``GET /plugins`` does."""
        overview: dict[str, Any] = self._request("GET", "/plugins")
        return overview

    def plugin(self, name: str) -> dict[str, Any]:
        """Return what the server says of one plugin."""
        plugin: dict[str, Any] = self._request("GET", _path("plugins", name))
        return plugin

    def change(self, action: str, name: str, timeout: float | None = None) -> dict[str, Any]:
        """Have the server do one of ``openapi.CHANGES`` to a plugin; return what it did.

        ``timeout`` is that of ``"drain"``, in seconds.
        """
        params = {} if timeout is None else {"timeout": timeout}
        answer: dict[str, Any] = self._request("POST", _path("plugins", name, action), params=params)
        return answer

    def logs(self, name: str, lines: int, level: str | None) -> list[dict[str, Any]]:
        """Return the newest records of a plugin's log from a level on, oldest first."""
        answer = self._request("GET", _path("plugins", name, "logs"), params=_log_query(lines, level))
        records: list[dict[str, Any]] = answer["records"]
        return records

    def follow(self, name: str, lines: int, level: str | None) -> Iterator[dict[str, Any]]:
        """Yield the same records and then each new one, until the server stops."""
        query = {**_log_query(lines, level), "follow": "true"}
        try:
            with self._http.stream("GET", _path("plugins", name, "logs"), params=query) as response:
                if response.headers.get("content-type") != _JSON_LINES:
                    response.read()
                    self._check(response, {_JSON_LINES})
                for line in response.iter_lines():
                    yield msgspec.json.decode(line)
        except httpx.TransportError as error:
            raise ServerUnreachableError(self._reason(error)) from error

    def call(
        self, name: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> Any:
        """Call ``"plugin.function"`` with arguments that JSON can say; bytes parameters take base64 text.

        ``timeout`` is in seconds; None leaves it to the plugin. The value comes back as MessagePack says it.
        """
        plugin, _, function = name.partition(".")
        keywords = dict(kwargs or {})
        body: Any = keywords or list(args)
        if args and keywords:
            # A body is an array or an object, so the positional ones get their names.
            body = _named(name, self.plugin(plugin), args)
            if repeated := body.keys() & keywords.keys():
                raise ArgumentsError(name, f"{name} got more than one value for {', '.join(sorted(repeated))}")
            body |= keywords
        answer = self._request(
            "POST",
            _path("call", plugin, function),
            content=msgspec.json.encode(body),
            params={} if timeout is None else {"timeout": timeout},
            headers={"Content-Type": _JSON, "Accept": _MESSAGEPACK},
        )
        return answer["result"]

    def _request(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise ServerUnreachableError(self._reason(error)) from error
        self._check(response, {_JSON, _MESSAGEPACK})
        is_json = response.headers["content-type"] == _JSON
        decode = msgspec.json.decode if is_json else msgspec.msgpack.decode
        return decode(response.content)

    def _check(self, response: httpx.Response, expected: set[str]) -> None:
        """Raise unless the answer, which has been read, is of an expected media type."""
        media_type = response.headers.get("content-type")
        if media_type == _PROBLEM:
            raise ProblemError(msgspec.json.decode(response.content))
        if response.status_code != HTTPStatus.OK or media_type not in expected:
            raise ServerUnreachableError(
                f"what listens on {self._socket} is no pyhost server (it answered {response.status_code} and "
                f"{media_type}); name the server's socket with --socket"
            )

    def _reason(self, error: httpx.TransportError) -> str:
        number = _errno(error)
        if number == errno.EACCES:
            return f"no permission for the socket {self._socket}; run this as the user who runs the server"
        if number in {errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK, errno.ENOTDIR}:
            return (
                f"no server listens on {self._socket}; start one with: pyhost --plugins FOLDER, "
                "or name its socket with --socket"
            )
        return f"the server on {self._socket} did not answer: {error or type(error).__name__}"


def _log_query(lines: int, level: str | None) -> dict[str, Any]:
    return {"lines": lines, **({} if level is None else {"level": level})}


def _path(*parts: str) -> str:
    return "".join("/" + quote(part, safe="") for part in parts)


def _errno(error: BaseException | None) -> int | None:
    """Return the error number of the system error that ``error`` comes from, if it does."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        error = error.__cause__ or error.__context__
    return None


def _named(name: str, plugin: dict[str, Any], args: Sequence[Any]) -> dict[str, Any]:
    """Return positional arguments by the names of their parameters.

    Raises ArgumentsError where a parameter has no name that an argument can be given by.
    """
    parameters = [
        parameter
        for function in plugin["functions"]
        if function["name"] == name.partition(".")[2]
        for parameter in function["parameters"]
    ]
    nameable = [parameter["name"] for parameter in parameters if parameter["kind"] == "positional_or_keyword"]
    if any(parameter["kind"] == "positional_only" for parameter in parameters) or len(args) > len(nameable):
        raise ArgumentsError(
            name,
            f"{name} cannot take these {len(args)} positional arguments beside named ones over HTTP",
        )
    return dict(zip(nameable, args, strict=False))
