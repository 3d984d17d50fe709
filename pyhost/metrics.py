"""``GET /metrics``: the host's counters for Prometheus, read when they are asked for."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

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
        up = GaugeMetricFamily("pyhost_plugin_up", "1 while the plugin is running, else 0.", labels=["plugin"])
        info = GaugeMetricFamily(
            "pyhost_plugin_info", "Always 1; the labels tell version and state.", labels=["plugin", "version", "state"]
        )
        interpreters = GaugeMetricFamily(
            "pyhost_interpreters", "Interpreters of the plugin, by state.", labels=["plugin", "state"]
        )
        queued = GaugeMetricFamily("pyhost_queued_calls", "Calls waiting in the plugin's inboxes.", labels=["plugin"])
        running = GaugeMetricFamily("pyhost_running_calls", "Calls being executed.", labels=["plugin"])
        calls = CounterMetricFamily(
            "pyhost_calls", "Calls since the plugin was loaded.", labels=["plugin", "function", "outcome"]
        )
        durations = HistogramMetricFamily(
            "pyhost_call_duration_seconds", "From acceptance to answer.", labels=["plugin", "function"]
        )
        for plugin in self._plugins():
            name = plugin.name
            up.add_metric([name], plugin.state == "running")
            info.add_metric([name, plugin.version, plugin.state], 1)
            for state, number in Counter(item.state for item in plugin.interpreters).items():
                interpreters.add_metric([name, state], number)
            queued.add_metric([name], sum(item.queued for item in plugin.interpreters))
            running.add_metric([name], sum(item.running for item in plugin.interpreters))
            for function in plugin.functions:
                labels = [name, function.description.name]
                calls.add_metric([*labels, "ok"], function.calls)
                calls.add_metric([*labels, "error"], function.errors)
                calls.add_metric([*labels, "timeout"], function.timeouts)
                calls.add_metric([*labels, "rejected"], function.rejected)
                durations.add_metric(labels, _buckets(function.latency), function.latency.total)
        return [up, info, interpreters, queued, running, calls, durations]


def _buckets(latency: LatencySummary) -> list[tuple[str, float]]:
    """Return the histogram's buckets: cumulative counts by upper bound, the last one without bound."""
    finite = [bucket for bucket in latency.buckets if math.isfinite(bucket[0])]
    published = finite[::-_BUCKET_STEP][::-1]
    return [*((str(bound), float(count)) for bound, count in published), ("+Inf", float(latency.count))]
