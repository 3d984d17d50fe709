from __future__ import annotations

import pytest

from pyhost import problems
from pyhost.access import Access
from pyhost.problems import Problem

TOKEN = "correct-horse-battery"


def check(access: Access, path: str = "/plugins", **headers: str) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    access.check({"type": "http", "path": path, "server": ("127.0.0.1", 8470), "headers": raw})


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8470", "127.8.9.1:8470", "localhost:8470", "LocalHost:8470", "[::1]:8470", "inside.example:8470"],
)
def test_without_a_token_the_hosts_own_names_are_served(host):
    check(Access("Inside.example", None), host=host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example:8470",
        "127.0.0.1",
        "127.0.0.1:8471",
        "localhost.evil.example:8470",
        "127.0.0.1:x",
        "[::1",
        "10.0.0.1:8470",
    ],
)
def test_without_a_token_other_hosts_are_misdirected(host):
    with pytest.raises(Problem) as caught:
        check(Access("127.0.0.1", None), host=host)
    assert caught.value.type is problems.WRONG_HOST
    assert caught.value.detail == (
        f"the request is for Host {host!r}, which is not this server; without a token it answers only to "
        "127.0.0.1:8470, localhost:8470 and its like"
    )


def test_a_request_without_host_is_misdirected():
    with pytest.raises(Problem) as caught:
        check(Access("127.0.0.1", None))
    assert caught.value.type is problems.WRONG_HOST


def test_a_page_of_the_server_itself_may_call():
    check(Access("127.0.0.1", None), host="localhost:8470", origin="http://localhost:8470")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://localhost:8470", "http://127.0.0.1:8470", ""]
)
def test_without_a_token_a_page_of_another_origin_may_not(origin):
    with pytest.raises(Problem) as caught:
        check(Access("127.0.0.1", None), host="localhost:8470", origin=origin)
    assert caught.value.type is problems.FORBIDDEN
    assert caught.value.detail == (
        f"a web page of {origin!r} sent the request; only a server with a token takes requests of other origins"
    )


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_opens_everything_from_everywhere(scheme):
    check(Access("0.0.0.0", TOKEN), authorization=f"{scheme} {TOKEN}", host="example", origin="http://other.example")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", "no token"),
        (f"Basic {TOKEN}", "no token"),
        (TOKEN, "no token"),
        ("Bearer", "another token"),
        ("Bearer wrong", "another token"),
        ("Bearer \xff", "another token"),
        (f"Bearer {TOKEN}x", "another token"),
    ],
)
def test_without_the_token_nothing_opens(header, found):
    with pytest.raises(Problem) as caught:
        check(Access("0.0.0.0", TOKEN), authorization=header, host="127.0.0.1:8470")
    assert caught.value.type is problems.UNAUTHORIZED
    assert caught.value.detail == f"the request shows {found}; send the header Authorization: Bearer TOKEN"
    assert caught.value.headers == {"WWW-Authenticate": 'Bearer realm="pyhost"'}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_need_no_token(path):
    check(Access("0.0.0.0", TOKEN), path)
