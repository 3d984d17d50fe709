from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from pyhost.latency import summarize
from pyhost.metrics import Metrics
from pyhost.status import FunctionDescription, FunctionStatus, InterpreterStatus, MemoryAccount, PluginStatus

# As the host counts: four buckets for every doubling from 1 µs.
BOUNDS = [2.0 ** (index / 4) * 1e-6 for index in range(1, 105)] + [float("inf")]


def make_plugins() -> list[PluginStatus]:
    buckets = [(bound, 1 if index in {40, 104} else 0) for index, bound in enumerate(BOUNDS)]
    function = FunctionStatus(
        FunctionDescription("count", "", False, False, (), "", {}), 2, 3, 4, 5, summarize(buckets, 70.5, 70.0), 1.25
    )
    accounts = [MemoryAccount(1000, 2000, 5000, 10, 1, 2), MemoryAccount(30, 40, 5000, 20, 3, 4), None]
    interpreters = tuple(
        InterpreterStatus(index, state, 1, 2, 9, account)
        for index, (state, account) in enumerate(zip(["running", "running", "lost"], accounts, strict=True))
    )
    wordcount = PluginStatus(
        "wordcount", "1.0", "running", "", "", "", "", interpreters, 7.5, 6, (function,), restarts_total=9, lost=1
    )
    unlimited = InterpreterStatus(3, "running", 0, 0, 0, MemoryAccount(1, 2, None, 3, 0, 0))
    return [
        wordcount,
        PluginStatus("broken", "", "fatal", "it failed", "", "", ""),
        PluginStatus("free", "", "reloading", "", "", "", "", (unlimited,)),
    ]


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_text_parses_and_holds_every_figure():
    content, content_type = Metrics(make_plugins).exposition("")
    found = samples(content.decode())
    expected = {
        ("pyhost_plugin_up", ("plugin", "wordcount")): 1,
        ("pyhost_plugin_up", ("plugin", "broken")): 0,
        ("pyhost_plugin_up", ("plugin", "free")): 1,
        ("pyhost_queued_calls", ("plugin", "wordcount")): 3,
        ("pyhost_running_calls", ("plugin", "wordcount")): 6,
        ("pyhost_interpreters", ("plugin", "wordcount"), ("state", "running")): 2,
        ("pyhost_interpreters", ("plugin", "wordcount"), ("state", "lost")): 1,
        ("pyhost_plugin_info", ("plugin", "wordcount"), ("version", "1.0"), ("state", "running")): 1,
        ("pyhost_calls_total", ("plugin", "wordcount"), ("function", "count"), ("outcome", "ok")): 2,
        ("pyhost_calls_total", ("plugin", "wordcount"), ("function", "count"), ("outcome", "error")): 3,
        ("pyhost_calls_total", ("plugin", "wordcount"), ("function", "count"), ("outcome", "timeout")): 4,
        ("pyhost_calls_total", ("plugin", "wordcount"), ("function", "count"), ("outcome", "rejected")): 5,
        ("pyhost_call_duration_seconds_sum", ("plugin", "wordcount"), ("function", "count")): 70.5,
        ("pyhost_call_duration_seconds_count", ("plugin", "wordcount"), ("function", "count")): 2,
        ("pyhost_function_cpu_seconds_total", ("plugin", "wordcount"), ("function", "count")): 1.25,
        ("pyhost_memory_bytes", ("plugin", "wordcount")): 1030,
        ("pyhost_memory_peak_bytes", ("plugin", "wordcount")): 2040,
        ("pyhost_memory_limit_bytes", ("plugin", "wordcount")): 10000,
        ("pyhost_memory_refused_total", ("plugin", "wordcount")): 4,
        ("pyhost_memory_errors_total", ("plugin", "wordcount")): 6,
        ("pyhost_cpu_seconds_total", ("plugin", "wordcount")): 7.5,
        ("pyhost_cpu_seconds_total", ("plugin", "broken")): 0,
        ("pyhost_interpreters_replaced_total", ("plugin", "wordcount")): 6,
        ("pyhost_memory_bytes", ("plugin", "free")): 1,
        ("pyhost_plugin_restarts_total", ("plugin", "wordcount")): 9,
        ("pyhost_plugin_restarts_total", ("plugin", "broken")): 0,
        ("pyhost_interpreters_lost", ("plugin", "wordcount")): 1,
        ("pyhost_interpreters_lost", ("plugin", "free")): 0,
    }
    assert {key: found[key[0], frozenset(key[1:])] for key in expected} == expected
    assert content_type.startswith("text/plain")


def test_what_is_not_counted_or_not_limited_has_no_figure():
    found = samples(Metrics(make_plugins).exposition("")[0].decode())
    assert ("pyhost_memory_bytes", frozenset({("plugin", "broken")})) not in found
    assert ("pyhost_memory_limit_bytes", frozenset({("plugin", "free")})) not in found


def test_the_histogram_is_cumulative_and_coarser_than_the_hosts():
    found = samples(Metrics(make_plugins).exposition("")[0].decode())
    buckets = sorted(
        (float(dict(labels)["le"]), value)
        for (name, labels), value in found.items()
        if name == "pyhost_call_duration_seconds_bucket"
    )
    bounds = [bound for bound, _ in buckets]
    assert [round(bound * 1e6) for bound in bounds[:-1]] == [4**exponent for exponent in range(1, 14)]
    assert bounds[-1] == float("inf")
    call = BOUNDS[40]
    assert [value for _, value in buckets] == [0.0 if bound < call else 1.0 for bound in bounds[:-1]] + [2.0]


def test_the_plugins_are_asked_at_each_scrape():
    plugins = make_plugins()
    metrics = Metrics(lambda: plugins)
    del plugins[1]
    assert ("pyhost_plugin_up", frozenset({("plugin", "broken")})) not in samples(metrics.exposition("")[0].decode())


def test_openmetrics_is_given_to_those_who_ask_for_it():
    content, content_type = Metrics(make_plugins).exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert content.endswith(b"# EOF\n")
