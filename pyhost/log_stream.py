"""``GET /plugins/NAME/logs``: what a request asks for, and the clients that follow a plugin's log.

A follower keeps no records of its own. It reads on from where it was in the plugin's log, which keeps the last ones, so
one that is too slow loses records, and is told how many; the server's memory does not grow with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyhost import bodies, logs, problems
from pyhost.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from pyhost.logs import Logs, Record

MEDIA_TYPE = "application/x-ndjson"
"""One JSON value a line."""
DEFAULT_LINES = 100


@dataclass(frozen=True, slots=True)
class Query:
    """What a request asks for."""

    lines: int = DEFAULT_LINES
    """The newest so many records."""
    level: int = 0
    """From this level on."""
    follow: bool = False


def read_query(parameters: Mapping[str, str]) -> Query:
    """Return what the query's parameters ask for.

    Raises:
        Problem: a parameter is not known, or its value is not allowed.
    """
    readers = {"lines": _lines, "level": _level, "follow": _follow}
    values: dict[str, Any] = {}
    for name, text in parameters.items():
        if name not in readers:
            close = difflib.get_close_matches(name, readers)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise Problem(problems.INVALID_QUERY, f"the query has {name!r}{hint}; allowed: {', '.join(readers)}")
        values[name] = readers[name](text)
    return Query(**values)


def _lines(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1
    if not 0 <= number <= logs.KEPT_RECORDS:
        raise Problem(
            problems.INVALID_QUERY, f"lines is {text!r}; allowed: a whole number from 0 to {logs.KEPT_RECORDS}"
        )
    return number


def _level(text: str) -> int:
    level = logs.LEVELS.get(text.lower())
    if level is None:
        raise Problem(problems.INVALID_QUERY, f"level is {text!r}; allowed: {', '.join(logs.LEVELS)}")
    return level


def _follow(text: str) -> bool:
    if text not in {"true", "false"}:
        raise Problem(problems.INVALID_QUERY, f"follow is {text!r}; allowed: true, false")
    return text == "true"


class Followers:
    """The clients that follow the logs of one host's plugins; on the server's event loop."""

    def __init__(self, host_logs: Logs) -> None:
        self._logs = host_logs
        self._grown: set[asyncio.Event] = set()
        self._ended = False

    def end(self) -> None:
        """End what they get, after what is there: the server stops."""
        self._ended = True
        for grown in self._grown:
            grown.set()

    async def lines(self, plugin: str, query: Query) -> AsyncIterator[bytes]:
        """Yield the records that the query asks for as lines of JSON, and then each new one."""
        grown = asyncio.Event()
        tell = functools.partial(_set_from_thread, asyncio.get_running_loop(), grown)
        self._grown.add(grown)
        try:
            with self._logs.watch(plugin, tell):
                records, _ = self._logs.read(plugin)
                number = records[-1].number if records else 0
                yield _json_lines(logs.view(record) for record in _selected(records, query, query.lines))
                ended = False
                while not ended:
                    if not self._ended:
                        await grown.wait()
                    grown.clear()
                    ended = self._ended
                    records, dropped = self._logs.read(plugin, number)
                    number = records[-1].number if records else number
                    views = [_lost(plugin, dropped)] if dropped else []
                    views += [logs.view(record) for record in _selected(records, query, None)]
                    yield _json_lines(views)
        finally:
            self._grown.discard(grown)


def _selected(records: Iterable[Record], query: Query, lines: int | None) -> list[Record]:
    return logs.select(records, level=query.level, lines=lines)


def _json_lines(views: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(bodies.document(item) + b"\n" for item in views)


def _lost(plugin: str, count: int) -> dict[str, Any]:
    """What a follower gets in place of records that it was too slow for."""
    record = logs.Record(
        number=0,
        time=time.time(),
        level=logs.LEVELS["warning"],
        logger="pyhost",
        message=f"{count} records are lost: they came faster than this client read them",
        plugin=plugin,
        version="",
        interpreter=0,
        call=None,
    )
    return logs.view(record)


def _set_from_thread(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    # A loop that is closed has nobody who follows.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(event.set)
