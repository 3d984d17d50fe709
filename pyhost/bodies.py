"""The bodies of HTTP calls: JSON and MessagePack in and out, and which of them a client asked for.

``{"result": …}`` in JSON cannot say everything that Python can. bytes become base64 text, sets and tuples arrays,
dates and times ISO 8601 text; for the rest (NaN, infinities, keys that are neither text nor number) the client is
asked to take MessagePack.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from pyhost import problems
from pyhost.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

JSON = "application/json"
MESSAGEPACK = "application/msgpack"
_JSON_NAMES = {"", JSON, "application/x-www-form-urlencoded"}
_MESSAGEPACK_NAMES = {MESSAGEPACK, "application/x-msgpack", "application/vnd.msgpack"}
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_ENCODING_ERRORS = (TypeError, ValueError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Body:
    """A response body and its media type."""

    content: bytes
    media_type: str


async def read(request: Request, limit: int) -> bytes:
    """Return the request's whole body, at most ``limit`` bytes of it.

    Raises Problem when it is longer: before any of it is read where its length was announced.
    """
    too_large = Problem(
        problems.BODY_TOO_LARGE, f"the body is larger than {limit} bytes; the server's --max-body allows no more"
    )
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)


def kind(request: Request) -> str:
    """Return what the request's body is by its headers: JSON or MESSAGEPACK. A request that names no type has JSON.

    So has one with the type of a form, which ``curl -d`` names unasked. A web page could send that without asking the
    server first, which is why ``access.py`` looks at the origin.

    Raises Problem for another media type, and for a compressed body.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Problem(
            problems.UNSUPPORTED_MEDIA_TYPE,
            f"the body has Content-Encoding {encoding}; send it uncompressed",
            headers={"Accept-Encoding": "identity"},
        )
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in _JSON_NAMES or media_type.endswith("+json"):
        return JSON
    if media_type in _MESSAGEPACK_NAMES:
        return MESSAGEPACK
    raise Problem(
        problems.UNSUPPORTED_MEDIA_TYPE,
        f"the body has Content-Type {media_type}; send {JSON} or {MESSAGEPACK}",
        headers={"Accept": f"{JSON}, {MESSAGEPACK}"},
    )


def arguments(content: bytes, body_kind: str) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the keyword arguments in a body: an array, an object, or nothing.

    Raises Problem when it does not parse or is something else.
    """
    if not content:
        return [], {}
    name = "JSON" if body_kind == JSON else "MessagePack"
    try:
        if body_kind == JSON:
            value = msgspec.json.decode(content)
        else:
            value = msgspec.msgpack.decode(content, ext_hook=_refuse_extension)
    except RecursionError as error:
        raise Problem(problems.UNREADABLE_BODY, f"the body is not valid {name}: nested too deep") from error
    except ValueError as error:
        raise Problem(problems.UNREADABLE_BODY, f"the body is not valid {name}: {error}") from error
    if isinstance(value, list):
        return value, {}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return [], value
    raise Problem(
        problems.UNREADABLE_BODY,
        f"the body is {name} of type {type(value).__name__}; send an array of positional arguments "
        "or an object of keyword arguments",
    )


def _refuse_extension(code: int, _data: memoryview) -> None:
    """Refuse a MessagePack extension type other than the timestamp, which msgspec knows itself."""
    raise ValueError(f"extension type {code} has no meaning here")


def accepted(header: str, body_kind: str) -> list[str]:
    """Return the media types that an ``Accept`` header names, the best first.

    Wildcards that cover JSON and MessagePack become ``body_kind``; types refused with ``q=0`` are left out.
    """
    if not header.strip():
        return [body_kind]
    weighted: list[tuple[float, str]] = []
    for item in header.lower().split(","):
        media_type, *parameters = (part.strip() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        if weight > 0:
            weighted.append((weight, body_kind if media_type in {"*/*", "application/*"} else media_type))
    weighted.sort(key=lambda pair: -pair[0])
    return [media_type for _, media_type in weighted]


def result(value: Any, media_types: list[str]) -> Body:
    """Return ``value`` in the first of ``media_types`` that can say it.

    bytes can be said in any concrete media type, as they are; everything in JSON and MessagePack, as ``{"result": …}``.

    Raises Problem when none of them can.
    """
    reason = f"the result is of type {type(value).__name__}; ask for {JSON} or {MESSAGEPACK}"
    for media_type in media_types:
        if media_type == JSON:
            try:
                return Body(_json({"result": value}), JSON)
            except _ENCODING_ERRORS as error:
                reason = f"JSON cannot say the result: {error}; ask for it with Accept: {MESSAGEPACK}"
        elif media_type in _MESSAGEPACK_NAMES:
            try:
                return Body(msgspec.msgpack.encode({"result": value}), media_type)
            except _ENCODING_ERRORS as error:
                reason = f"MessagePack cannot say the result: {error}; have the function return plain data"
        elif isinstance(value, bytes | bytearray | memoryview) and _MEDIA_TYPE.fullmatch(media_type):
            return Body(bytes(value), media_type)
    raise Problem(problems.NOT_ACCEPTABLE, reason)


def _json(value: Any) -> bytes:
    """Encode ``value`` as JSON.

    Raises ValueError where it holds NaN or an infinity, which msgspec would write as null; TypeError for what JSON
    cannot say.
    """
    content = msgspec.json.encode(value)
    # Looking through the value is slow, and only worth it where there is a null.
    if b"null" in content and (number := _non_finite(value)) is not None:
        raise ValueError(f"it holds {number}")
    return content


def _non_finite(value: Any) -> float | None:
    """Return a NaN or infinity from somewhere inside ``value``, if there is one."""
    if isinstance(value, float):
        return None if math.isfinite(value) else value
    if isinstance(value, dict):
        children = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        children = list(value)
    else:
        return None
    return next((found for child in children if (found := _non_finite(child)) is not None), None)


def document(value: Any) -> bytes:
    """Encode one of the gateway's own documents, plain data, as JSON."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        # A plugin's text has a lone surrogate in it.
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
