"""``GET /metrics``: the host's counters for Prometheus, read when they are asked for."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from pyhost.history import total
from pyhost.lifecycle import SERVING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client.metrics_core import Metric

    from pyhost.status import LatencySummary, PluginStatus

_BUCKET_STEP = 8
"""Every eighth of the host's buckets is published: it counts in four per doubling, and each is a time series."""


class Metrics:
    """The metrics of one server; ``plugins`` gives the snapshots to publish."""

    def __init__(self, plugins: Callable[[], Sequence[PluginStatus]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_PluginCollector(plugins))
        ProcessCollector(registry=self._registry)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return the text of all metrics and its content type, in a format that the ``Accept`` header names."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _PluginCollector(Collector):
    def __init__(self, plugins: Callable[[], Sequence[PluginStatus]]) -> None:
        self._plugins = plugins

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not ask the host."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of every plugin as it is now."""
        plugins = self._plugins()
        return [*_states(plugins), *_calls(plugins), *_resources(plugins)]


def _states(plugins: Iterable[PluginStatus]) -> list[Metric]:
    """Return what the plugins are doing."""
    up = GaugeMetricFamily("pyhost_plugin_up", "1 while the plugin takes calls, else 0.", labels=["plugin"])
    info = GaugeMetricFamily(
        "pyhost_plugin_info", "Always 1; the labels tell version and state.", labels=["plugin", "version", "state"]
    )
    interpreters = GaugeMetricFamily(
        "pyhost_interpreters", "Interpreters of the plugin, by state.", labels=["plugin", "state"]
    )
    queued = GaugeMetricFamily("pyhost_queued_calls", "Calls waiting in the plugin's inboxes.", labels=["plugin"])
    running = GaugeMetricFamily("pyhost_running_calls", "Calls being executed.", labels=["plugin"])
    restarts = CounterMetricFamily("pyhost_plugin_restarts", "Restarts because the plugin failed.", labels=["plugin"])
    lost = GaugeMetricFamily(
        "pyhost_interpreters_lost", "Interpreters that are set aside, as they did not end.", labels=["plugin"]
    )
    for plugin in plugins:
        name = plugin.name
        restarts.add_metric([name], plugin.restarts_total)
        lost.add_metric([name], plugin.lost)
        up.add_metric([name], plugin.state in SERVING)
        info.add_metric([name, plugin.version, plugin.state], 1)
        for state, number in Counter(item.state for item in plugin.interpreters).items():
            interpreters.add_metric([name, state], number)
        queued.add_metric([name], sum(item.queued for item in plugin.interpreters))
        running.add_metric([name], sum(item.running for item in plugin.interpreters))
    return [up, info, interpreters, queued, running, restarts, lost]


def _calls(plugins: Iterable[PluginStatus]) -> list[Metric]:
    """Return what became of the calls, and what they took."""
    labels = ["plugin", "function"]
    calls = CounterMetricFamily("pyhost_calls", "Calls since the plugin was loaded.", labels=[*labels, "outcome"])
    durations = HistogramMetricFamily("pyhost_call_duration_seconds", "From acceptance to answer.", labels=labels)
    cpu = CounterMetricFamily("pyhost_function_cpu_seconds", "CPU time that the function's calls took.", labels=labels)
    for plugin in plugins:
        for function in plugin.functions:
            values = [plugin.name, function.description.name]
            calls.add_metric([*values, "ok"], function.calls)
            calls.add_metric([*values, "error"], function.errors)
            calls.add_metric([*values, "timeout"], function.timeouts)
            calls.add_metric([*values, "rejected"], function.rejected)
            durations.add_metric(values, _buckets(function.latency), function.latency.total)
            cpu.add_metric(values, function.cpu)
    return [calls, durations, cpu]


def _resources(plugins: Iterable[PluginStatus]) -> list[Metric]:
    """Return the plugins' memory and CPU, as sums over their interpreters."""
    held = GaugeMetricFamily("pyhost_memory_bytes", "Memory that the plugin holds.", labels=["plugin"])
    peak = GaugeMetricFamily(
        "pyhost_memory_peak_bytes", "The most that its interpreters held, each by itself.", labels=["plugin"]
    )
    limit = GaugeMetricFamily("pyhost_memory_limit_bytes", "What it may hold, if limited.", labels=["plugin"])
    refused = CounterMetricFamily("pyhost_memory_refused", "Allocations refused at the hard limit.", labels=["plugin"])
    errors = CounterMetricFamily("pyhost_memory_errors", "MemoryErrors raised at the limit.", labels=["plugin"])
    cpu = CounterMetricFamily("pyhost_cpu_seconds", "CPU time of the plugin's threads.", labels=["plugin"])
    replaced = CounterMetricFamily(
        "pyhost_interpreters_replaced", "Interpreters replaced past the hard memory limit.", labels=["plugin"]
    )
    for plugin in plugins:
        name = [plugin.name]
        cpu.add_metric(name, plugin.cpu)
        replaced.add_metric(name, plugin.replaced)
        memory = total(plugin)
        if memory is None:
            continue
        held.add_metric(name, memory.current)
        peak.add_metric(name, memory.peak)
        if memory.limit is not None:
            limit.add_metric(name, memory.limit)
        refused.add_metric(name, memory.refused)
        errors.add_metric(name, memory.raised)
    return [held, peak, limit, refused, errors, cpu, replaced]


def _buckets(latency: LatencySummary) -> list[tuple[str, float]]:
    """Return the histogram's buckets: cumulative counts by upper bound, the last one without bound."""
    finite = [bucket for bucket in latency.buckets if math.isfinite(bucket[0])]
    published = finite[::-_BUCKET_STEP][::-1]
    return [*((str(bound), float(count)) for bound, count in published), ("+Inf", float(latency.count))]
