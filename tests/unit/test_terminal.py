from __future__ import annotations

import datetime
import json

import pytest

from pyhost import terminal

PLUGIN = {
    "name": "wordcount",
    "version": "1.0",
    "state": "running",
    "reason": "",
    "interpreters": [{}, {}],
    "queued": 1,
    "running": 2,
    "calls": 3000,
    "errors": 4,
    "latency": {"count": 3004, "p50": 0.00085, "p99": 0.0123},
}
BROKEN = PLUGIN | {
    "name": "broken",
    "version": "",
    "state": "failed",
    "reason": "ModuleNotFoundError: No module named 'numpy' [red]",
    "interpreters": [],
    "latency": {"count": 0, "p50": 0.0, "p99": 0.0},
}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 µs"),
        (1.234e-6, "1.23 µs"),
        (99.94e-6, "99.9 µs"),
        (850e-6, "850 µs"),
        (999.6e-6, "1.00 ms"),
        (12.34e-3, "12.3 ms"),
        (0.9996, "1.00 s"),
        (2.0, "2.00 s"),
        (75.0, "75.0 s"),
        (1234.0, "1234 s"),
    ],
)
def test_a_time_has_three_digits_and_a_unit(seconds, text):
    assert terminal.format_seconds(seconds) == text


def test_the_table_has_a_line_per_plugin_and_the_reasons_below(capsys):
    terminal.print_plugins([PLUGIN, BROKEN])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert " ".join(lines[0]) == "NAME VERSION STATE INTERPRETERS QUEUED RUNNING CALLS ERRORS P50 P99"
    assert lines[1] == ["wordcount", "1.0", "running", "2", "1", "2", "3000", "4", "850", "µs", "12.3", "ms"]
    assert lines[2][:3] == ["broken", "failed", "0"]
    assert " ".join(lines[3]) == "broken: ModuleNotFoundError: No module named 'numpy' [red]"
    assert len(lines) == 4


def test_json_says_what_messagepack_said(capsys):
    time = datetime.datetime(2025, 1, 2, tzinfo=datetime.UTC)
    terminal.print_json({"bytes": [b"abc", ("ä", None, 1.5, True)], 7: time, (1, b"a"): {}})
    assert json.loads(capsys.readouterr().out) == {
        "bytes": ["YWJj", ["ä", None, 1.5, True]],
        "7": "2025-01-02T00:00:00+00:00",
        "[1, 'YQ==']": {},
    }
