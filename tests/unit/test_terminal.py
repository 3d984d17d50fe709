from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from pyhost import terminal

MIB = 1 << 20


def account(current: int, limit: int | None) -> dict[str, Any]:
    return {"memory": {"current": current, "limit": limit}}


PLUGIN = {
    "name": "wordcount",
    "version": "1.0",
    "state": "running",
    "reason": "",
    "interpreters": [account(10 * MIB, 32 * MIB), account(int(2.3 * MIB), 32 * MIB)],
    "queued": 1,
    "running": 2,
    "calls": 3000,
    "errors": 4,
    "latency": {"count": 3004, "p50": 0.00085, "p99": 0.0123},
    **account(int(12.3 * MIB), 64 * MIB),
    "cpu": 2.5,
    "rates": {"cpu_percent": 150.04, "calls_per_second": 20.0, "errors_per_second": 0.0},
}
BROKEN = PLUGIN | {
    "name": "broken",
    "version": "",
    "state": "fatal",
    "reason": "ModuleNotFoundError: No module named 'numpy' [red]",
    "interpreters": [],
    "latency": {"count": 0, "p50": 0.0, "p99": 0.0},
    "memory": None,
    "rates": None,
}


def test_the_table_has_a_line_per_plugin_and_the_reasons_below(capsys):
    terminal.print_plugins([PLUGIN, BROKEN])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert " ".join(lines[0]) == (
        "NAME VERSION STATE INTERPRETERS QUEUED RUNNING CALLS ERRORS P50 P99 MEMORY CPU CPU %"
    )
    assert " ".join(lines[1]) == "wordcount 1.0 running 2 1 2 3000 4 850 µs 12.3 ms 12.3 / 64 MiB 2.50 s 150.0"
    assert " ".join(lines[2]) == "broken fatal 0 1 2 3000 4 2.50 s"
    assert " ".join(lines[3]) == "broken: ModuleNotFoundError: No module named 'numpy' [red]"
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (int(12.3 * MIB), 64 * MIB, "12.3 / 64 MiB"),
        (900 << 10, 64 * MIB, "900 KiB / 64 MiB"),
        (100, 64 * MIB, "100 B / 64 MiB"),
        (65 * MIB, 64 * MIB, "65 / 64 MiB"),
        (int(12.3 * MIB), None, "12.3 MiB"),
    ],
)
def test_a_share_has_one_unit_where_it_can(part, whole, text):
    assert terminal.format_share(part, whole) == text


@pytest.mark.parametrize(
    ("accounts", "style"),
    [
        ([account(79, 100), account(10, 100)], ""),
        ([account(10, 100), account(80, 100)], "yellow"),
        ([account(100, 100), account(10, 100)], "red"),
        ([account(80, None)], ""),
        ([{"memory": None}, account(80, 100)], "yellow"),
    ],
)
def test_memory_is_coloured_as_the_fullest_interpreter_is(accounts, style):
    plugin = {"interpreters": accounts, "memory": {"current": 1, "limit": None}}
    assert terminal.memory(plugin).style == style


def test_json_says_what_messagepack_said(capsys):
    time = datetime.datetime(2025, 1, 2, tzinfo=datetime.UTC)
    terminal.print_json({"bytes": [b"abc", ("ä", None, 1.5, True)], 7: time, (1, b"a"): {}})
    assert json.loads(capsys.readouterr().out) == {
        "bytes": ["YWJj", ["ä", None, 1.5, True]],
        "7": "2025-01-02T00:00:00+00:00",
        "[1, 'YQ==']": {},
    }


def test_a_timeline_says_how_it_stands_and_what_has_happened(capsys):
    moments = [datetime.datetime(2025, 1, 2, 3, 4, 5, 678_901), datetime.datetime(2025, 1, 2, 3, 4, 6, 7_000)]
    broken = {
        "name": "broken",
        "state": "backoff",
        "reason": "LookupError: no [red] wares",
        "next_start": 0.4,
        "restarts": 2,
        "intensity": 5,
        "lost": 1,
        "timeline": [
            {"time": moments[0].timestamp(), "text": "did not start: LookupError: no [red] wares"},
            {"time": moments[1].timestamp(), "text": "restarts in 400 ms (2 of 5)"},
        ],
    }
    fine = {
        "name": "fine",
        "state": "running",
        "reason": "",
        "next_start": None,
        "restarts": 0,
        "lost": 0,
        "timeline": [],
    }
    terminal.print_timelines([broken, fine])
    assert capsys.readouterr().out == (
        "\nbroken: backoff (LookupError: no [red] wares), starts in 400 ms, 2 of 5 restarts, lost interpreters: 1\n"
        "  2025-01-02 03:04:05.678  did not start: LookupError: no [red] wares\n"
        "  2025-01-02 03:04:06.007  restarts in 400 ms (2 of 5)\n"
        "\nfine: running\n"
    )


@pytest.mark.parametrize(("state", "style"), [("running", "green"), ("reloading", "green"), ("backoff", "red")])
def test_a_state_is_green_while_calls_are_taken(state, style):
    assert terminal.state({"state": state}).style == style
