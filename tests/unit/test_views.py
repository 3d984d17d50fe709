from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyhost import bodies, views
from pyhost.latency import summarize
from pyhost.status import (
    FunctionDescription,
    FunctionStatus,
    InterpreterStatus,
    LatencySummary,
    ParameterDescription,
    PluginStatus,
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
    return FunctionStatus(description, summary.count, 1, 2, 3, summary)


PLUGIN = PluginStatus(
    name="wordcount",
    version="1.0",
    state="running",
    reason="",
    traceback_text="",
    source="wordcount/plugin.toml",
    doc="Counts.",
    interpreters=(InterpreterStatus(7, "running", 1, 2, 3), InterpreterStatus(8, "lost", 10, 20, 30)),
    functions=(function("count", latency(0.001, 0.004)), function("unused", latency())),
)


def test_a_plugin_is_plain_data_with_its_sums():
    view = views.plugin(PLUGIN)
    assert json.loads(bodies.document(view)) == view
    assert {key: view[key] for key in ("calls", "errors", "timeouts", "rejected", "queued", "running")} == {
        "calls": 2,
        "errors": 2,
        "timeouts": 4,
        "rejected": 6,
        "queued": 11,
        "running": 22,
    }
    assert view["interpreters"][1] == {"id": 8, "state": "lost", "queued": 10, "running": 20, "served": 30}
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
    }


def test_a_plugin_without_calls_has_no_latency():
    view = views.plugin(replace(PLUGIN, functions=()))
    assert view["latency"] == {"count": 0, "mean": 0.0, "p50": 0.0, "p90": 0.0, "p99": 0.0, "max": 0.0}


@given(st.lists(st.lists(st.floats(0.0001, 8, allow_subnormal=False), max_size=8), min_size=1, max_size=4).filter(any))
def test_the_latency_of_a_plugin_is_that_of_all_its_calls_together(calls_of_functions):
    functions = tuple(function(f"f{index}", latency(*calls)) for index, calls in enumerate(calls_of_functions))
    together = latency(*(seconds for calls in calls_of_functions for seconds in calls))
    merged = views.plugin(replace(PLUGIN, functions=functions))["latency"]
    assert (merged["count"], merged["max"]) == (together.count, together.maximum)
    assert merged["mean"] == pytest.approx(together.total / together.count)
    assert [merged[key] for key in ("p50", "p90", "p99")] == [together.p50, together.p90, together.p99]
