"""Samples of what a host's process and plugins take, the last of them, and the rates between them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyhost.status import MemoryAccount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyhost.status import PluginStatus

LENGTH = 60
"""Samples that a history keeps."""
NEAR = 0.8
"""The share of its memory limit at which an interpreter is near it."""


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """What the whole process takes, as the system counts it."""

    rss: int
    """Resident memory in bytes."""
    cpu: float
    """Seconds of CPU, user and system."""
    threads: int
    open_files: int
    """Open file descriptors."""


@dataclass(frozen=True, slots=True)
class PluginSample:
    """One plugin's counters. They start again when it is reloaded."""

    memory: MemoryAccount | None
    """The sum over its interpreters; None where memory is not counted."""
    cpu: float
    """Seconds of CPU."""
    calls: int
    """Answered with a value."""
    errors: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The process and its plugins at one time."""

    time: float
    """In seconds, of a clock that only rises."""
    process: ProcessSample
    plugins: Mapping[str, PluginSample]
    """By name."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a plugin did per second between two samples."""

    cpu_percent: float
    """100 is one core; several interpreters can take more."""
    calls_per_second: float
    errors_per_second: float


@dataclass(frozen=True, slots=True)
class History:
    """The last samples, oldest first; a new one makes a new history."""

    samples: tuple[Sample, ...] = ()

    def with_sample(self, sample: Sample) -> History:
        """Return the history after ``sample``, without the oldest one where there are enough."""
        return History((*self.samples, sample)[-LENGTH:])

    def rates(self, plugin: str) -> Rates | None:
        """Return the plugin's rates between the latest two samples; None unless both have it."""
        return rates(self.samples[-2], self.samples[-1], plugin) if len(self.samples) > 1 else None

    def cpu_percent(self) -> float | None:
        """Return the process's use of CPU between the latest two samples; None before there are two."""
        if len(self.samples) < 2:
            return None
        before, after = self.samples[-2:]
        return 100 * _per_second(before.process.cpu, after.process.cpu, after.time - before.time)

    def of_plugin(self, plugin: str) -> list[tuple[float, PluginSample, Rates | None]]:
        """Return the plugin's samples, oldest first, each with its time and the rates since the one before."""
        found: list[tuple[float, PluginSample, Rates | None]] = []
        before: Sample | None = None
        for sample in self.samples:
            if plugin in sample.plugins:
                since = rates(before, sample, plugin) if before is not None else None
                found.append((sample.time, sample.plugins[plugin], since))
            before = sample
        return found


def rates(before: Sample, after: Sample, plugin: str) -> Rates | None:
    """Return the plugin's rates between two samples; None unless both have it."""
    first, last = before.plugins.get(plugin), after.plugins.get(plugin)
    if first is None or last is None:
        return None
    seconds = after.time - before.time
    return Rates(
        cpu_percent=100 * _per_second(first.cpu, last.cpu, seconds),
        calls_per_second=_per_second(first.calls, last.calls, seconds),
        errors_per_second=_per_second(first.errors, last.errors, seconds),
    )


def _per_second(before: float, after: float, seconds: float) -> float:
    """Return the rate of a counter; 0 where it has fallen, as it started again in between."""
    return max(after - before, 0.0) / seconds if seconds > 0 else 0.0


def accounts(plugin: PluginStatus) -> dict[int, MemoryAccount]:
    """Return the accounts of those of the plugin's interpreters that have one, by their ids."""
    return {item.id: item.memory for item in plugin.interpreters if item.memory is not None}


def total(plugin: PluginStatus) -> MemoryAccount | None:
    """Return the sum over the plugin's interpreters, None where none is counted; no limit where one has none."""
    items = list(accounts(plugin).values())
    if not items:
        return None
    limits = [item.limit for item in items if item.limit is not None]
    return MemoryAccount(
        current=sum(item.current for item in items),
        peak=sum(item.peak for item in items),
        limit=sum(limits) if len(limits) == len(items) else None,
        allocations=sum(item.allocations for item in items),
        refused=sum(item.refused for item in items),
        raised=sum(item.raised for item in items),
    )


def plugin_sample(plugin: PluginStatus) -> PluginSample:
    """Return the figures of a plugin that a sample keeps."""
    return PluginSample(
        memory=total(plugin),
        cpu=plugin.cpu,
        calls=sum(function.calls for function in plugin.functions),
        errors=sum(function.errors for function in plugin.functions),
    )
