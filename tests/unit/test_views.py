from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyhost import bodies, views
from pyhost.history import History, PluginSample, ProcessSample, Rates, Sample
from pyhost.latency import summarize
from pyhost.status import (
    FunctionDescription,
    FunctionStatus,
    InterpreterStatus,
    LatencySummary,
    MemoryAccount,
    ParameterDescription,
    PluginStatus,
    TimelineEntry,
)

BOUNDS = [0.001 * 2**exponent for exponent in range(12)] + [float("inf")]


def latency(*seconds: float) -> LatencySummary:
    buckets = []
    lower = -1.0
    for bound in BOUNDS:
        buckets.append((bound, sum(lower < value <= bound for value in seconds)))
        lower = bound
    return summarize(buckets, sum(seconds), max(seconds, default=0.0))


def function(name: str, summary: LatencySummary) -> FunctionStatus:
    parameter = ParameterDescription("top", "positional_or_keyword", False, "10", "int", {"type": "integer"})
    description = FunctionDescription(name, "Count.", True, False, (parameter,), "int", {"type": "integer"})
    return FunctionStatus(description, summary.count, 1, 2, 3, summary, 0.5)


PLUGIN = PluginStatus(
    name="wordcount",
    version="1.0",
    state="running",
    reason="",
    traceback_text="",
    source="wordcount/plugin.toml",
    doc="Counts.",
    interpreters=(
        InterpreterStatus(7, "running", 1, 2, 3, MemoryAccount(100, 200, 1000, 10, 1, 2), 0.25),
        InterpreterStatus(8, "lost", 10, 20, 30, MemoryAccount(3, 4, 1000, 5, 6, 7), 2.0),
    ),
    cpu=3.5,
    replaced=1,
    functions=(function("count", latency(0.001, 0.004)), function("unused", latency())),
    restarts=2,
    restarts_total=7,
    intensity=5,
    next_start=0.25,
    lost=1,
    timeline=(TimelineEntry(1000.5, "started in 4.10 ms (version 1.0)"), TimelineEntry(1001.0, "restarts at once")),
)


def test_a_plugin_is_plain_data_with_its_sums():
    view = views.plugin(PLUGIN, Rates(150.0, 20.0, 0.5))
    assert json.loads(bodies.document(view)) == view
    assert {key: view[key] for key in ("calls", "errors", "timeouts", "rejected", "queued", "running")} == {
        "calls": 2,
        "errors": 2,
        "timeouts": 4,
        "rejected": 6,
        "queued": 11,
        "running": 22,
    }
    assert {key: view[key] for key in ("memory", "cpu", "replaced", "rates")} == {
        "memory": {"current": 103, "peak": 204, "limit": 2000, "allocations": 15, "refused": 7, "raised": 9},
        "cpu": 3.5,
        "replaced": 1,
        "rates": {"cpu_percent": 150.0, "calls_per_second": 20.0, "errors_per_second": 0.5},
    }
    assert {key: view[key] for key in ("restarts", "restarts_total", "intensity", "next_start", "lost")} == {
        "restarts": 2,
        "restarts_total": 7,
        "intensity": 5,
        "next_start": 0.25,
        "lost": 1,
    }
    assert view["timeline"] == [
        {"time": 1000.5, "text": "started in 4.10 ms (version 1.0)"},
        {"time": 1001.0, "text": "restarts at once"},
    ]
    assert view["interpreters"][1] == {
        "id": 8,
        "state": "lost",
        "queued": 10,
        "running": 20,
        "served": 30,
        "memory": {"current": 3, "peak": 4, "limit": 1000, "allocations": 5, "refused": 6, "raised": 7},
        "cpu": 2.0,
    }
    assert view["functions"][0] == {
        "name": "count",
        "signature": "(top: int = 10) -> int",
        "doc": "Count.",
        "direct": True,
        "async": False,
        "parameters": [
            {
                "name": "top",
                "kind": "positional_or_keyword",
                "required": False,
                "default": "10",
                "schema": {"type": "integer"},
            }
        ],
        "returns": {"type": "integer"},
        "calls": 2,
        "errors": 1,
        "timeouts": 2,
        "rejected": 3,
        "latency": {"count": 2, "mean": 0.0025, "p50": 0.001, "p90": 0.004, "p99": 0.004, "max": 0.004},
        "cpu": 0.5,
    }


def test_a_plugin_without_calls_has_no_latency():
    view = views.plugin(replace(PLUGIN, functions=()), None)
    assert view["latency"] == {"count": 0, "mean": 0.0, "p50": 0.0, "p90": 0.0, "p99": 0.0, "max": 0.0}


def test_what_is_not_known_is_null():
    uncounted = tuple(replace(item, memory=None) for item in PLUGIN.interpreters)
    view = views.plugin(replace(PLUGIN, interpreters=uncounted), None)
    assert (view["memory"], view["rates"]) == (None, None)
    assert [item["memory"] for item in view["interpreters"]] == [None, None]
    unlimited = replace(PLUGIN.interpreters[0], memory=MemoryAccount(100, 200, None, 10, 0, 0))
    assert views.plugin(replace(PLUGIN, interpreters=(unlimited,)), None)["memory"]["limit"] is None
    assert views.process(History()) is None


def history(*plugins: dict[str, PluginSample]) -> History:
    return History(
        tuple(
            Sample(float(time), ProcessSample(1000 + time, 0.5 * time, 4, 20), sample)
            for time, sample in enumerate(plugins)
        )
    )


def test_the_process_is_as_of_the_latest_sample():
    assert views.process(history({})) == {
        "rss": 1000,
        "cpu_seconds": 0.0,
        "cpu_percent": None,
        "threads": 4,
        "open_files": 20,
    }
    assert views.process(history({}, {}, {})) == {
        "rss": 1002,
        "cpu_seconds": 1.0,
        "cpu_percent": 50.0,
        "threads": 4,
        "open_files": 20,
    }


def test_the_history_of_a_plugin_says_how_old_each_sample_is():
    first = PluginSample(MemoryAccount(100, 200, None, 10, 0, 0), 1.0, 5, 0)
    second = PluginSample(None, 1.25, 7, 1)
    assert views.plugin_history(history({"a": first, "b": first}, {"a": second}), "a", 3.0) == [
        {"age": 3.0, "memory": 100, "cpu": 1.0, "rates": None},
        {
            "age": 2.0,
            "memory": None,
            "cpu": 1.25,
            "rates": {"cpu_percent": 25.0, "calls_per_second": 2.0, "errors_per_second": 1.0},
        },
    ]


@given(st.lists(st.lists(st.floats(0.0001, 8, allow_subnormal=False), max_size=8), min_size=1, max_size=4).filter(any))
def test_the_latency_of_a_plugin_is_that_of_all_its_calls_together(calls_of_functions):
    functions = tuple(function(f"f{index}", latency(*calls)) for index, calls in enumerate(calls_of_functions))
    together = latency(*(seconds for calls in calls_of_functions for seconds in calls))
    merged = views.plugin(replace(PLUGIN, functions=functions), None)["latency"]
    assert (merged["count"], merged["max"]) == (together.count, together.maximum)
    assert merged["mean"] == pytest.approx(together.total / together.count)
    assert [merged[key] for key in ("p50", "p90", "p99")] == [together.p50, together.p90, together.p99]
