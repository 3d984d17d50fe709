"""What a host knows about its plugins: frozen snapshots for the gateway, the command line and tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ParameterDescription:
    """One parameter of an exported function."""

    name: str
    kind: str
    """As ``inspect.Parameter.kind``, lower case: positional_only, positional_or_keyword, var_positional,
    keyword_only or var_keyword."""
    required: bool
    default: str | None
    """``repr`` of the default; None where there is none."""
    annotation: str
    """The annotation as its author wrote it, "" where there is none."""
    schema: dict[str, Any]
    """The annotation as JSON Schema; ``{}`` allows everything."""


@dataclass(frozen=True, slots=True)
class FunctionDescription:
    """One exported function as its plugin describes it."""

    name: str
    doc: str
    direct: bool
    is_async: bool
    parameters: tuple[ParameterDescription, ...]
    returns: str
    """The return annotation as text, "" where there is none."""
    returns_schema: dict[str, Any]

    @property
    def signature(self) -> str:
        """The signature as text, ``(text: str, top: int = 10) -> dict[str, int]``."""
        parts: list[str] = []
        star_written = False
        previous = ""
        for parameter in self.parameters:
            if previous == "positional_only" and parameter.kind != "positional_only":
                parts.append("/")
            if parameter.kind == "keyword_only" and not star_written:
                parts.append("*")
                star_written = True
            prefix = {"var_positional": "*", "var_keyword": "**"}.get(parameter.kind, "")
            star_written = star_written or prefix == "*"
            text = prefix + parameter.name
            if parameter.annotation:
                text += f": {parameter.annotation}"
            if parameter.default is not None:
                text += f" = {parameter.default}" if parameter.annotation else f"={parameter.default}"
            parts.append(text)
            previous = parameter.kind
        if previous == "positional_only":
            parts.append("/")
        return f"({', '.join(parts)})" + (f" -> {self.returns}" if self.returns else "")


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Times of finished calls, from acceptance to answer, in seconds; all 0.0 before the first call."""

    count: int
    total: float
    p50: float
    p90: float
    p99: float
    maximum: float
    buckets: tuple[tuple[float, int], ...]
    """Cumulative: (upper bound in seconds, calls at or under it), rising; for histograms."""


@dataclass(frozen=True, slots=True)
class FunctionStatus:
    """A function with its counters since the plugin was loaded."""

    description: FunctionDescription
    calls: int
    """Answered with a value."""
    errors: int
    """Raised, bad arguments, or a result that cannot cross."""
    timeouts: int
    rejected: int
    """Refused because every inbox was full."""
    latency: LatencySummary
    cpu: float = 0.0
    """Seconds of CPU that its calls took; calls under 20 µs count with their whole time."""


@dataclass(frozen=True, slots=True)
class MemoryAccount:
    """What one interpreter has allocated through CPython, over all its allocators and threads. Sizes in bytes."""

    current: int
    """What it holds: its blocks, and those pages of its object arenas that it has touched."""
    peak: int
    """The most that it has held; arenas, of 1 MiB each, count whole. Limits are held against this count."""
    limit: int | None
    """Where its running call gets MemoryError; None: no limit."""
    allocations: int
    """Live blocks and arenas; objects of up to 512 bytes share arenas."""
    refused: int
    """Allocations that were refused at the hard limit."""
    raised: int
    """How often its code got MemoryError because it was over its limit."""


@dataclass(frozen=True, slots=True)
class InterpreterStatus:
    """One interpreter of a plugin."""

    id: int
    """pyhost's own number, unique in the process."""
    state: str
    """starting, running, draining, stopped, failed or lost."""
    queued: int
    """Calls waiting in its inbox."""
    running: int
    """Calls that it is executing (more than one with async or direct functions)."""
    served: int
    """Calls that it has finished."""
    memory: MemoryAccount | None = None
    """None where memory is not counted: another allocator than CPython's own is in place (``-X dev``)."""
    cpu: float = 0.0
    """Seconds of CPU of its owner thread and of every thread that the plugin started, ended ones too."""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """Something that has happened to a plugin."""

    time: float
    """By the wall clock, in seconds since 1970."""
    text: str
    """A short sentence without a subject: ``started in 4.10 ms (version 1.0.0)``."""


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """One plugin as the host sees it now."""

    name: str
    version: str
    state: str
    """A state of ``lifecycle.State``."""
    reason: str
    """Why it does not run, or not with all its interpreters, or why its newer version does not; "" otherwise."""
    traceback_text: str
    """The plugin's traceback where the reason has one; "" otherwise."""
    source: str
    """Path of its plugin.toml or .py file."""
    doc: str
    interpreters: tuple[InterpreterStatus, ...] = ()
    """Those that serve or start, and those that are lost."""
    cpu: float = 0.0
    """Seconds of CPU of all its interpreters, ended ones and those of earlier versions too."""
    replaced: int = 0
    """Interpreters that were replaced because they went past the hard memory limit."""
    functions: tuple[FunctionStatus, ...] = field(default=())
    restarts: int = 0
    """Restarts that count: those within the period of its manifest, and one that waits."""
    restarts_total: int = 0
    """Restarts since the host knows it."""
    intensity: int = 0
    """How many may count before it is fatal."""
    next_start: float | None = None
    """Seconds until the restart that waits; None: none does."""
    lost: int = 0
    """Interpreters that are set aside, as they did not end, and have not come back."""
    timeline: tuple[TimelineEntry, ...] = ()
    """What has happened to it, the oldest first; the latest fifty."""

    def function(self, name: str) -> FunctionStatus | None:
        """The function of that name, or None."""
        return next((item for item in self.functions if item.description.name == name), None)
