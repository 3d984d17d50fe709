from __future__ import annotations

import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyhost import logs
from pyhost.logs import JsonFormatter, Kept, select, view


def fields(message: str = "text", level: int = logging.INFO) -> dict[str, object]:
    return {
        "time": 1_700_000_000.25,
        "level": level,
        "logger": "app",
        "message": message,
        "plugin": "notes",
        "version": "1.0",
        "interpreter": 3,
        "call": None,
    }


class TestKept:
    @given(st.lists(st.integers(0, 40), max_size=60), st.integers(0, 70))
    def test_it_keeps_the_newest_within_its_limits(self, lengths, after):
        before = logs.KEPT_RECORDS, logs.KEPT_CHARACTERS
        logs.KEPT_RECORDS, logs.KEPT_CHARACTERS = 10, 100
        try:
            kept = Kept()
            added = [kept.add(**fields("x" * length)) for length in lengths]
        finally:
            logs.KEPT_RECORDS, logs.KEPT_CHARACTERS = before
        assert [record.number for record in added] == list(range(1, len(lengths) + 1))
        records, dropped = kept.read(after)
        everything, dropped_at_all = kept.read(0)
        assert everything == added[dropped_at_all:]
        assert records == [record for record in everything if record.number > after]
        assert dropped == max(dropped_at_all - after, 0)
        assert len(everything) <= 10
        assert sum(len(record.message) for record in everything) <= 100
        assert everything or not added
        if dropped_at_all:
            # No record went that had room.
            and_one_more = added[dropped_at_all - 1 :]
            assert len(and_one_more) > 10 or sum(len(record.message) for record in and_one_more) > 100

    def test_one_record_is_kept_whatever_it_has(self):
        kept = Kept()
        for _ in range(2):
            record = kept.add(**fields("x" * (logs.KEPT_CHARACTERS + 1)))
        assert kept.read(0) == ([record], 1)


def test_select_takes_the_last_ones_from_a_level_on():
    kept = Kept()
    records = [kept.add(**fields(level=level)) for level in (10, 20, 30, 20, 40)]
    assert select(records) == records
    assert select(records, level=20, lines=3) == records[2:]
    assert select(records, level=30) == [records[2], records[4]]
    assert select(records, lines=0) == []


def test_a_view_is_plain_data():
    assert view(Kept().add(**fields())) == {
        "time": "2023-11-14T22:13:20.250000Z",
        "level": "INFO",
        "logger": "app",
        "message": "text",
        "plugin": "notes",
        "version": "1.0",
        "interpreter": 3,
        "call": None,
    }
    assert view(Kept().add(**fields(level=25)))["level"] == "Level 25"


class TestJsonFormatter:
    def format(self, *args, exc_info=None, **extra):
        record = logging.getLogger("some").makeRecord("some", logging.INFO, "", 0, *args, exc_info, extra=extra)
        return json.loads(JsonFormatter().format(record))

    def test_a_record_of_the_server(self):
        line = self.format("%s lines\n", (2,))
        assert line.pop("time").endswith("Z")
        assert line == {"level": "INFO", "logger": "some", "message": "2 lines\n"}

    def test_a_record_of_a_plugin(self):
        line = self.format("text", (), plugin="notes", version="1", interpreter=2, call=None)
        assert list(line)[4:] == ["plugin", "version", "interpreter", "call"]
        assert (line["plugin"], line["interpreter"], line["call"]) == ("notes", 2, None)

    def test_a_traceback_and_odd_characters_stay_on_the_line(self):
        try:
            raise LookupError("\udc80 é")
        except LookupError:
            line = self.format("failed", (), exc_info=sys.exc_info())
        assert line["message"].startswith("failed\nTraceback (most recent call last):\n")
        assert line["message"].endswith("LookupError: \udc80 é")


@pytest.mark.parametrize(("logger", "name"), [("root", "pyhost.plugin.notes"), ("a.b", "pyhost.plugin.notes.a.b")])
def test_loggers_stand_below_their_plugins(logger, name):
    assert logs._name(Kept().add(**fields() | {"logger": logger})) == name
