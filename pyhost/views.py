"""What ``GET /plugins`` says: the host's snapshots, and what the monitor has of them, as plain data."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pyhost.history import total

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyhost.history import History, Rates
    from pyhost.status import (
        FunctionStatus,
        InterpreterStatus,
        LatencySummary,
        MemoryAccount,
        ParameterDescription,
        PluginStatus,
    )


def process(history: History) -> dict[str, Any] | None:
    """Return the process as of the latest sample; None before the first."""
    if not history.samples:
        return None
    sample = history.samples[-1].process
    return {
        "rss": sample.rss,
        "cpu_seconds": sample.cpu,
        "cpu_percent": history.cpu_percent(),
        "threads": sample.threads,
        "open_files": sample.open_files,
    }


def plugin(status: PluginStatus, rates: Rates | None) -> dict[str, Any]:
    """Return one plugin: what it is, how it is, and the sums over its functions and interpreters."""
    functions, interpreters = status.functions, status.interpreters
    return {
        "name": status.name,
        "version": status.version,
        "doc": status.doc,
        "source": status.source,
        "state": status.state,
        "reason": status.reason,
        "traceback": status.traceback_text,
        "calls": sum(item.calls for item in functions),
        "errors": sum(item.errors for item in functions),
        "timeouts": sum(item.timeouts for item in functions),
        "rejected": sum(item.rejected for item in functions),
        "queued": sum(item.queued for item in interpreters),
        "running": sum(item.running for item in interpreters),
        "latency": _merged_latency([item.latency for item in functions]),
        "memory": _memory(total(status)),
        "cpu": status.cpu,
        "replaced": status.replaced,
        "lost": status.lost,
        "restarts": status.restarts,
        "restarts_total": status.restarts_total,
        "intensity": status.intensity,
        "next_start": status.next_start,
        "timeline": [dataclasses.asdict(item) for item in status.timeline],
        "rates": _rates(rates),
        "functions": [_function(item) for item in functions],
        "interpreters": [_interpreter(item) for item in interpreters],
    }


def plugin_history(history: History, name: str, now: float) -> list[dict[str, Any]]:
    """Return the plugin's samples, oldest first, as they were so many seconds before ``now`` (of their clock)."""
    return [
        {
            "age": now - time,
            "memory": sample.memory.current if sample.memory is not None else None,
            "cpu": sample.cpu,
            "rates": _rates(rates),
        }
        for time, sample, rates in history.of_plugin(name)
    ]


def _memory(account: MemoryAccount | None) -> dict[str, Any] | None:
    return dataclasses.asdict(account) if account is not None else None


def _rates(rates: Rates | None) -> dict[str, Any] | None:
    return dataclasses.asdict(rates) if rates is not None else None


def _function(status: FunctionStatus) -> dict[str, Any]:
    description = status.description
    return {
        "name": description.name,
        "signature": description.signature,
        "doc": description.doc,
        "direct": description.direct,
        "async": description.is_async,
        "parameters": [_parameter(item) for item in description.parameters],
        "returns": description.returns_schema,
        "calls": status.calls,
        "errors": status.errors,
        "timeouts": status.timeouts,
        "rejected": status.rejected,
        "latency": _latency(status.latency),
        "cpu": status.cpu,
    }


def _parameter(description: ParameterDescription) -> dict[str, Any]:
    return {
        "name": description.name,
        "kind": description.kind,
        "required": description.required,
        "default": description.default,
        "schema": description.schema,
    }


def _interpreter(status: InterpreterStatus) -> dict[str, Any]:
    return {
        "id": status.id,
        "state": status.state,
        "queued": status.queued,
        "running": status.running,
        "served": status.served,
        "memory": _memory(status.memory),
        "cpu": status.cpu,
    }


def _latency(summary: LatencySummary) -> dict[str, Any]:
    """Return a summary, in seconds."""
    return {
        "count": summary.count,
        "mean": summary.total / summary.count if summary.count else 0.0,
        "p50": summary.p50,
        "p90": summary.p90,
        "p99": summary.p99,
        "max": summary.maximum,
    }


def _merged_latency(summaries: Sequence[LatencySummary]) -> dict[str, Any]:
    """Return the summary of several functions' calls together, as exact as their buckets are fine."""
    used = [summary for summary in summaries if summary.count]
    if len(used) == 1:
        return _latency(used[0])
    count = sum(summary.count for summary in used)
    maximum = max((summary.maximum for summary in used), default=0.0)
    return {
        "count": count,
        "mean": sum(summary.total for summary in used) / count if count else 0.0,
        "p50": min(_quantile(used, 0.50 * count), maximum),
        "p90": min(_quantile(used, 0.90 * count), maximum),
        "p99": min(_quantile(used, 0.99 * count), maximum),
        "max": maximum,
    }


def _quantile(summaries: Iterable[LatencySummary], rank: float) -> float:
    """Return the lowest bucket bound in seconds with at least ``rank`` calls under it; infinity if none has."""
    increments: list[tuple[float, int]] = []
    for summary in summaries:
        below = 0
        for bound, cumulative in summary.buckets:
            increments.append((bound, cumulative - below))
            below = cumulative
    seen = 0
    for bound, calls in sorted(increments):
        seen += calls
        if seen >= rank:
            return bound
    return float("inf")
