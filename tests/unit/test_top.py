"""The view of ``pyhost top``, drawn on plain data."""

from __future__ import annotations

import io
import re
from typing import Any

import click
import pytest
from rich.console import Console

from pyhost import cli, top

MIB = 1 << 20
PROCESS = {"rss": 80 * MIB, "cpu_seconds": 12.5, "cpu_percent": 12.34, "threads": 10, "open_files": 25}


def plugin(name: str, cpu: float | None = 0.0, calls: float = 0.0, memory: int | None = None, errors: float = 0.0):
    account = None if memory is None else {"current": memory, "limit": 64 * MIB}
    return {
        "name": name,
        "state": "running",
        "interpreters": [{"memory": account}],
        "memory": account,
        "errors": 4,
        "latency": {"count": 0, "p50": 0.0, "p99": 0.0},
        "rates": None if cpu is None else {"cpu_percent": cpu, "calls_per_second": calls, "errors_per_second": errors},
    }


BUSY = plugin("busy", cpu=180.0, calls=1234.5, memory=MIB) | {"latency": {"count": 9, "p50": 0.00085, "p99": 0.0123}}
FULL = plugin("full", cpu=1.0, calls=2.0, memory=60 * MIB, errors=1.0)
BROKEN = plugin("broken", cpu=None) | {"state": "fatal", "interpreters": []}
PLUGINS = [BROKEN, BUSY, FULL]


def drawn(overview: dict[str, Any], width: int = 120, *, colours: bool = False) -> str:
    output = io.StringIO()
    console = Console(file=output, width=width, highlight=False, color_system="standard" if colours else None)
    console.print(top.frame(overview, "cpu"))
    return output.getvalue()


def lines(overview: dict[str, Any], width: int = 120) -> list[str]:
    return [line.rstrip() for line in drawn(overview, width).splitlines()]


def test_a_view_has_the_process_and_a_line_per_plugin():
    assert lines({"process": PROCESS, "plugins": PLUGINS}) == [
        "pyhost: 80 MiB resident, CPU 12.3 %, 10 threads, 25 open files",
        "",
        "PLUGIN STATE   INTERP.      MEMORY CPU % CALLS/S    P50     P99 ERRORS",
        "busy   running       1  1 / 64 MiB 180.0  1234.5 850 µs 12.3 ms      4",
        "full   running       1 60 / 64 MiB   1.0     2.0                     4",
        "broken fatal         0                                               4",
    ]


def test_before_the_second_sample_nothing_is_said_of_the_processes_cpu():
    process = PROCESS | {"cpu_percent": None}
    assert lines({"process": process, "plugins": []})[0] == "pyhost: 80 MiB resident, 10 threads, 25 open files"


def test_what_needs_attention_is_coloured():
    text = drawn({"process": PROCESS, "plugins": PLUGINS}, colours=True)
    assert "\x1b[33m60 / 64 MiB\x1b[0m" in text
    assert "\x1b[31mfatal" in text
    assert len(re.findall(r"\x1b\[31m *4\x1b", text)) == 1  # the errors of the plugin that has errors now


def test_a_narrow_terminal_cuts_the_names_alone():
    long = BUSY | {
        "name": "a-plugin-with-a-very-long-name-indeed",
        "memory": {"current": 12 * MIB + 300_000, "limit": 64 * MIB},
    }
    rows = lines({"process": PROCESS, "plugins": [long]}, width=80)[2:]
    assert len(rows) == 2
    assert all(len(row) <= 80 for row in rows)
    name, _, figures = rows[1].partition(" ")
    assert " ".join(figures.split()) == "running 1 12.3 / 64 MiB 180.0 1234.5 850 µs 12.3 ms 4"
    assert name.endswith("…")
    assert len(name) > 10


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("cpu", ["busy", "full", "broken"]),
        ("memory", ["full", "busy", "broken"]),
        ("calls", ["busy", "full", "broken"]),
        ("name", ["broken", "busy", "full"]),
    ],
)
def test_the_largest_comes_first_and_what_is_not_known_last(order, names):
    assert [item["name"] for item in top.in_order(PLUGINS, order)] == names


def test_equal_plugins_are_in_the_order_of_their_names():
    plugins = [plugin(name) for name in ("c", "a", "b")]
    for order in top.ORDERS:
        assert [item["name"] for item in top.in_order(plugins, order)] == ["a", "b", "c"]


def test_the_command_takes_every_order():
    option = next(item for item in cli.top.params if item.name == "order")
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == top.ORDERS
