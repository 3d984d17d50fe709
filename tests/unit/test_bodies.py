from __future__ import annotations

import asyncio
import datetime
import decimal
import json
import math
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from pyhost import bodies, problems
from pyhost.bodies import JSON, MESSAGEPACK
from pyhost.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence


def request(chunks: Sequence[bytes] = (b"",), **headers: str) -> Request:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages[-1]["more_body"] = False
    remaining = iter(messages)

    async def receive() -> Any:
        return next(remaining)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


def test_a_body_up_to_the_limit_is_read_whole():
    assert asyncio.run(bodies.read(request([b"ab", b"cd"]), 4)) == b"abcd"


def test_a_body_that_is_announced_too_large_is_not_read():
    announced = request([b"abcde"], content_length="5")
    with pytest.raises(Problem, match="larger than 4 bytes") as caught:
        asyncio.run(bodies.read(announced, 4))
    assert caught.value.type is problems.BODY_TOO_LARGE
    assert asyncio.run(announced.receive())["body"] == b"abcde"


def test_a_body_that_turns_out_too_large_is_read_no_further():
    chunked = request([b"abc", b"de", b"f"])
    with pytest.raises(Problem, match="larger than 4 bytes"):
        asyncio.run(bodies.read(chunked, 4))
    assert asyncio.run(chunked.receive())["body"] == b"f"


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("application/json", JSON),
        ("Application/JSON; charset=utf-8", JSON),
        ("application/vnd.example+json", JSON),
        ("application/msgpack", MESSAGEPACK),
        ("application/x-msgpack", MESSAGEPACK),
        ("application/vnd.msgpack", MESSAGEPACK),
    ],
)
def test_the_kind_of_body_is_its_content_type(content_type, kind):
    assert bodies.kind(request(content_type=content_type)) == kind


def test_a_body_of_no_named_type_is_json():
    assert bodies.kind(request()) == JSON


def test_other_types_and_compressed_bodies_are_refused():
    with pytest.raises(Problem, match=r"^the body has Content-Type text/plain; send application/json or") as caught:
        bodies.kind(request(content_type="text/plain"))
    assert caught.value.headers == {"Accept": "application/json, application/msgpack"}
    with pytest.raises(Problem, match=r"^the body has Content-Encoding gzip; send it uncompressed$") as caught:
        bodies.kind(request(content_encoding="gzip"))
    assert caught.value.headers == {"Accept-Encoding": "identity"}


def test_an_array_an_object_and_nothing_are_arguments():
    assert bodies.arguments(b"[1, [2]]", JSON) == ([1, [2]], {})
    assert bodies.arguments(b'{"a": 1}', JSON) == ([], {"a": 1})
    assert bodies.arguments(b"", JSON) == ([], {})
    assert bodies.arguments(msgspec.msgpack.encode({"a": b"x"}), MESSAGEPACK) == ([], {"a": b"x"})


@pytest.mark.parametrize(
    ("content", "kind", "detail"),
    [
        (b"[1,", JSON, "the body is not valid JSON: Input data was truncated"),
        (b"[NaN]", JSON, "the body is not valid JSON: JSON is malformed"),
        (
            b'"\xff"',
            JSON,
            (  # before msgspec 0.23, and since
                "the body is not valid JSON: 'utf-8' codec can't decode",
                "the body is not valid JSON: Invalid UTF-8 encoded string",
            ),
        ),
        (b"[" * 100_000, JSON, "the body is not valid JSON: nested too deep"),
        (b"\xc1", MESSAGEPACK, "the body is not valid MessagePack: MessagePack data is malformed"),
        (b"\x91\xd4\x05a", MESSAGEPACK, "the body is not valid MessagePack: extension type 5 has no meaning here"),
        (b"3", JSON, "the body is JSON of type int; send an array of positional arguments or an object"),
        (b"\x81\x01\x02", MESSAGEPACK, "the body is MessagePack of type dict; send an array"),
    ],
)
def test_every_other_body_is_refused(content, kind, detail):
    with pytest.raises(Problem) as caught:
        bodies.arguments(content, kind)
    assert caught.value.type is problems.UNREADABLE_BODY
    assert caught.value.detail.startswith(detail)


@given(content=st.binary(max_size=40), kind=st.sampled_from([JSON, MESSAGEPACK]))
def test_any_bytes_are_arguments_or_a_problem(content, kind):
    try:
        args, kwargs = bodies.arguments(content, kind)
    except Problem:
        return
    assert isinstance(args, list)
    assert all(isinstance(name, str) for name in kwargs)


@pytest.mark.parametrize(
    ("header", "types"),
    [
        ("", [JSON]),
        ("*/*", [JSON]),
        ("application/*", [JSON]),
        ("application/msgpack", [MESSAGEPACK]),
        ("image/png, */*;q=0.1", ["image/png", JSON]),
        ("application/json;q=0.5, application/msgpack", [MESSAGEPACK, JSON]),
        ("Image/PNG", ["image/png"]),
        ("application/json;q=0", []),
        ("application/json;q=high", []),
    ],
)
def test_accept_is_a_list_of_media_types_best_first(header, types):
    assert bodies.accepted(header, JSON) == types


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None, "ä", True, 2**70]}, '{"a":[1,null,"ä",true,1180591620717411303424]}'),
        (b"abc", '"YWJj"'),
        (bytearray(b"abc"), '"YWJj"'),
        ((1, 2), "[1,2]"),
        ({3}, "[3]"),
        ({1: "a"}, '{"1":"a"}'),
        (datetime.datetime(2025, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), '"2025-01-02T03:04:05Z"'),
        (datetime.date(2025, 1, 2), '"2025-01-02"'),
        (datetime.timedelta(seconds=5), '"PT5S"'),
        (decimal.Decimal("1.10"), '"1.10"'),
    ],
)
def test_json_says_more_than_its_own_types(value, text):
    assert bodies.result(value, [JSON]) == bodies.Body(f'{{"result":{text}}}'.encode(), JSON)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "it holds nan"),
        ({"a": [None, {"b": (1, -math.inf)}]}, "it holds -inf"),
        ({None: 1}, "Only dicts with str-like or number-like keys are supported"),
    ],
)
def test_what_json_cannot_say_is_to_be_had_as_messagepack(value, reason):
    with pytest.raises(Problem) as caught:
        bodies.result(value, [JSON])
    assert caught.value.type is problems.NOT_ACCEPTABLE
    assert caught.value.detail == (f"JSON cannot say the result: {reason}; ask for it with Accept: application/msgpack")
    assert bodies.result(value, [JSON, MESSAGEPACK]).media_type == MESSAGEPACK


def test_what_messagepack_cannot_say_either_is_the_functions_to_change():
    with pytest.raises(Problem, match=r"^MessagePack cannot say the result: Encoding objects of type complex is unsup"):
        bodies.result(1j, [MESSAGEPACK])


def test_bytes_are_given_as_they_are_when_another_type_is_asked_for():
    assert bodies.result(b"\x89PNG", ["image/png"]) == bodies.Body(b"\x89PNG", "image/png")
    with pytest.raises(Problem, match=r"^the result is of type str; ask for application/json or application/msgpack$"):
        bodies.result("text", ["image/png"])
    for no_media_type in ("image/*", "image/png\r\nx: y", "png", ""):
        with pytest.raises(Problem, match=r"^the result is of type bytes; ask for"):
            bodies.result(b"\x89PNG", [no_media_type])


FINITE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
)


@given(FINITE)
def test_json_data_comes_back_equal(value):
    assert json.loads(bodies.result(value, [JSON]).content) == {"result": value}


def test_a_lone_surrogate_in_a_plugins_text_spoils_no_document():
    assert json.loads(bodies.document({"doc": "a\ud800b"})) == {"doc": "a?b"}
