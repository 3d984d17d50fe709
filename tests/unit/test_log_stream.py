from __future__ import annotations

import asyncio
import json
import logging

import pytest

from pyhost import _core, logs
from pyhost.log_stream import Followers, Query, read_query
from pyhost.logs import Logs
from pyhost.problems import INVALID_QUERY, Problem


@pytest.mark.parametrize(
    ("parameters", "query"),
    [
        ({}, Query(lines=100, level=0, follow=False)),
        ({"lines": "0", "level": "warning", "follow": "true"}, Query(lines=0, level=30, follow=True)),
        ({"lines": "1000", "level": "DEBUG", "follow": "false"}, Query(lines=1000, level=10)),
    ],
)
def test_a_query_is_read(parameters, query):
    assert read_query(parameters) == query


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"lines": "1001"}, "lines is '1001'; allowed: a whole number from 0 to 1000"),
        ({"lines": "-1"}, "lines is '-1'; allowed: a whole number from 0 to 1000"),
        ({"lines": "²"}, "lines is '²'; allowed: a whole number from 0 to 1000"),
        ({"level": "loud"}, "level is 'loud'; allowed: debug, info, warning, error"),
        ({"follow": "1"}, "follow is '1'; allowed: true, false"),
        ({"line": "1"}, "the query has 'line'; did you mean lines?; allowed: lines, level, follow"),
        ({"x": "1"}, "the query has 'x'; allowed: lines, level, follow"),
    ],
)
def test_a_wrong_query_is_refused(parameters, message):
    with pytest.raises(Problem) as caught:
        read_query(parameters)
    assert (caught.value.type, caught.value.detail) == (INVALID_QUERY, message)


class Following:
    """A follower, and the log that it follows; everything happens on the loop, as if the reader's thread did it."""

    def __init__(self, query: Query, already: int = 0) -> None:
        self.logs = Logs(_core.Router())
        self.logs.echo = False
        self.followers = Followers(self.logs)
        self.write(*range(already))
        self._chunks = self.followers.lines("notes", query)

    def write(self, *messages, plugin="notes", level=logging.INFO):
        for message in messages:
            self.logs._take(plugin, "1", 1, None, 0.0, level, "app", str(message), 0, 0)
        self.logs._tell({plugin})

    async def next(self):
        """The messages of the next chunk."""
        lines = (await anext(self._chunks)).splitlines()
        return [json.loads(line)["message"] for line in lines]

    async def is_at_its_end(self):
        return await anext(self._chunks, None) is None

    async def leave(self):
        await self._chunks.aclose()


def test_a_follower_gets_the_last_lines_and_then_each_new_one():
    async def follow():
        following = Following(Query(lines=2), already=5)
        assert await following.next() == ["3", "4"]
        following.write("a", "b")
        assert await following.next() == ["a", "b"]
        following.write("other", plugin="other")
        following.write("c")
        assert await following.next() == ["c"]
        await following.leave()
        assert following.logs._watchers == []

    asyncio.run(follow())


def test_a_follower_gets_what_is_of_its_level():
    async def follow():
        following = Following(Query(level=logging.WARNING), already=1)
        assert await following.next() == []
        following.write("info")
        following.write("error", level=logging.ERROR)
        assert await following.next() == ["error"]
        await following.leave()

    asyncio.run(follow())


def test_a_slow_follower_is_told_what_it_has_lost():
    async def follow():
        following = Following(Query())
        assert await following.next() == []
        following.write(*range(logs.KEPT_RECORDS + 5))
        told, *rest = await following.next()
        assert told == "5 records are lost: they came faster than this client read them"
        assert rest == [str(number) for number in range(5, logs.KEPT_RECORDS + 5)]
        await following.leave()

    asyncio.run(follow())


def test_followers_end_with_the_server_after_what_is_there():
    async def follow():
        following = Following(Query())
        assert await following.next() == []
        following.write("last words")
        following.followers.end()
        assert await following.next() == ["last words"]
        assert await following.is_at_its_end()
        late = [chunk async for chunk in following.followers.lines("notes", Query())]
        assert [json.loads(line)["message"] for line in b"".join(late).splitlines()] == ["last words"]

    asyncio.run(follow())


def test_a_loop_that_has_ended_is_told_nothing():
    following = Following(Query())

    async def begin():
        assert await following.next() == []

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    following.write("nobody hears")
