"""Who may send requests: the check that stands before the gateway on TCP.

With a token, whoever shows it may do everything. Without one the server listens on this machine only, and every local
user and program may call; but no web page may, which a browser on this machine would otherwise let through: a page of
another origin says so in ``Origin``, and one that had its own name point here (DNS rebinding) says so in ``Host``.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from pyhost import problems
from pyhost.problems import Problem

if TYPE_CHECKING:
    from starlette.types import Scope

OPEN_PATHS = {"/healthz", "/readyz"}
"""What a monitor may ask without the token."""


class Access:
    """The rules for one TCP listener: ``listen_host`` is its host as the options name it."""

    def __init__(self, listen_host: str, token: str | None) -> None:
        self._listen_host = listen_host.lower()
        self._token = None if token is None else token.encode()

    def check(self, scope: Scope) -> None:
        """Let an HTTP request pass.

        Raises:
            Problem: the token is missing or wrong; or the server has none, and a web page may have sent the request.
        """
        headers = Headers(scope=scope)
        if self._token is None:
            port = scope["server"][1]
            self._check_host(headers.get("host", ""), port)
            self._check_origin(headers)
        elif scope["path"] not in OPEN_PATHS:
            self._check_token(headers.get("authorization", ""), self._token)

    def _check_token(self, authorization: str, token: bytes) -> None:
        scheme, _, shown = authorization.partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token):
            return
        found = "another token" if scheme.lower() == "bearer" else "no token"
        raise Problem(
            problems.UNAUTHORIZED,
            f"the request shows {found}; send the header Authorization: Bearer TOKEN",
            headers={"WWW-Authenticate": 'Bearer realm="pyhost"'},
        )

    def _check_host(self, header: str, port: int) -> None:
        try:
            target = urlsplit(f"//{header}")
            name, target_port = target.hostname or "", target.port or 80
        except ValueError:
            name, target_port = "", 0
        if target_port == port and (name == self._listen_host or _is_loopback(name)):
            return
        raise Problem(
            problems.WRONG_HOST,
            f"the request is for Host {header!r}, which is not this server; without a token it answers only to "
            f"127.0.0.1:{port}, localhost:{port} and its like",
        )

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or origin.lower() == f"http://{headers['host']}".lower():
            return
        raise Problem(
            problems.FORBIDDEN,
            f"a web page of {origin!r} sent the request; only a server with a token takes requests of other origins",
        )


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
