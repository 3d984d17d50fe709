"""The monitor: samples a host's plugins, keeps the last samples, and raises events at the limits of memory.

The events are decided by a pure function; ``Monitor`` is the thread that takes the samples. Main interpreter only.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import psutil

from pyhost.history import NEAR, History, ProcessSample, Sample, accounts, plugin_sample
from pyhost.quantities import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from pyhost.host import Host
    from pyhost.status import MemoryAccount, PluginStatus

_logger = logging.getLogger(__name__)

CLEAR = 0.7
"""The share below which it is no longer near, so that one that hovers at the limit is reported once."""


@dataclass(frozen=True, slots=True)
class NearLimit:
    """An interpreter holds most of what it may."""

    plugin: str
    interpreter: int
    held: int
    """In bytes, as the limit."""
    limit: int

    def __str__(self) -> str:
        held, share = format_size(self.held), 100 * self.held / self.limit
        return (
            f"plugin {self.plugin}: interpreter {self.interpreter} holds {held}, {share:.0f} % of its memory limit of "
            f"{format_size(self.limit)}; at the limit its calls get MemoryError"
        )


@dataclass(frozen=True, slots=True)
class OverLimit:
    """An interpreter wanted more than its limit, and its code got MemoryError."""

    plugin: str
    interpreter: int
    held: int
    """The most that it has held, in bytes, as the limit; less where it wanted much at once."""
    limit: int
    times: int
    """How often since the last sample."""

    def __str__(self) -> str:
        return (
            f"plugin {self.plugin}: interpreter {self.interpreter} wanted more than its memory limit of "
            f"{format_size(self.limit)} (it held up to {format_size(self.held)}); its code got MemoryError "
            f"({self.times} ×)"
        )


@dataclass(frozen=True, slots=True)
class Replaced:
    """Interpreters went past the hard limit and were replaced."""

    plugin: str
    times: int
    """How many since the last sample."""
    interpreters: tuple[int, ...]
    """Those of them that an earlier sample saw."""
    held: int
    """The most that an earlier sample saw in one of them, in bytes; they may have held more since."""
    limit: int | None
    """None where no earlier sample saw them."""

    def __str__(self) -> str:
        text = f"plugin {self.plugin}: interpreters replaced past the hard memory limit: {self.times}"
        if self.limit is None:
            return text
        names = ", ".join(map(str, self.interpreters))
        return f"{text} (last seen: {names}, with up to {format_size(self.held)}; limit {format_size(self.limit)})"


type LimitEvent = NearLimit | OverLimit | Replaced


@dataclass(frozen=True, slots=True)
class LimitState:
    """What ``limit_events`` remembers from one time to the next."""

    plugins: Mapping[str, PluginStatus] = field(default_factory=dict)
    """By name, as they were."""
    near: frozenset[int] = frozenset()
    """Interpreters that are near their limits; it has been said of each."""


def limit_events(state: LimitState, plugins: Sequence[PluginStatus]) -> tuple[LimitState, list[LimitEvent]]:
    """Return the state after ``state``, and what has happened at the limits of memory in between."""
    near = frozenset(
        identity
        for plugin in plugins
        for identity, account in accounts(plugin).items()
        if _is_near(account, CLEAR if identity in state.near else NEAR)
    )
    events = [event for plugin in plugins for event in _events(plugin, state, near)]
    return LimitState({plugin.name: plugin for plugin in plugins}, near), events


def _is_near(account: MemoryAccount, share: float) -> bool:
    return account.limit is not None and account.current >= account.limit * share


def _stops(account: MemoryAccount) -> int:
    """Return how often the limits have stopped the interpreter's code."""
    return account.raised + account.refused


def _events(plugin: PluginStatus, state: LimitState, near: frozenset[int]) -> Iterator[LimitEvent]:
    """Yield the events of one plugin; ``near`` are the interpreters that are near their limits now."""
    before = state.plugins.get(plugin.name)
    seen = accounts(before) if before is not None else {}
    for identity, account in accounts(plugin).items():
        if account.limit is None:
            continue
        if identity in near - state.near:
            yield NearLimit(plugin.name, identity, account.current, account.limit)
        times = _stops(account) - (_stops(seen[identity]) if identity in seen else 0)
        if times > 0:
            yield OverLimit(plugin.name, identity, account.peak, account.limit, times)
    times = plugin.replaced - (before.replaced if before is not None else 0)
    if times > 0:
        yield _replaced(plugin, times, seen)


def _replaced(plugin: PluginStatus, times: int, seen: Mapping[int, MemoryAccount]) -> Replaced:
    """Return the event for a plugin of which ``seen`` had the interpreters before."""
    there = {item.id for item in plugin.interpreters}
    gone = {identity: account for identity, account in seen.items() if identity not in there}
    return Replaced(
        plugin=plugin.name,
        times=times,
        interpreters=tuple(gone),
        held=max((account.peak for account in gone.values()), default=0),
        limit=next((account.limit for account in gone.values()), None),
    )


def log_event(event: LimitEvent) -> None:
    """Write an event to the log."""
    _logger.warning("%s", event)


class Monitor:
    """Samples ``host`` from a thread of its own between ``start`` and ``close``, as a context manager or by hand.

    ``interval``: seconds between two samples. ``on_event`` is called on the monitor's thread.
    """

    def __init__(self, host: Host, interval: float = 1.0, on_event: Callable[[LimitEvent], None] = log_event) -> None:
        self.history = History()
        """The samples so far; replaced, never changed, so that any thread may read it."""
        self._host = host
        self._interval = interval
        self._on_event = on_event
        self._process = psutil.Process()
        self._limits = LimitState()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pyhost-monitor", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Take the first sample, and start the thread that takes the others."""
        self.sample()
        self._thread.start()

    def close(self) -> None:
        """End the thread, without waiting for its next sample."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def sample(self) -> None:
        """Take a sample and report what has happened at the limits."""
        plugins = self._host.plugins()
        taken = {plugin.name: plugin_sample(plugin) for plugin in plugins}
        self.history = self.history.with_sample(Sample(time.monotonic(), self._process_sample(), taken))
        self._limits, events = limit_events(self._limits, plugins)
        for event in events:
            self._on_event(event)

    def _process_sample(self) -> ProcessSample:
        with self._process.oneshot():
            times = self._process.cpu_times()
            return ProcessSample(
                rss=self._process.memory_info().rss,
                cpu=times.user + times.system,
                threads=self._process.num_threads(),
                open_files=self._process.num_fds(),
            )

    def _run(self) -> None:
        failed = False
        while not self._closing.wait(self._interval):
            try:
                self.sample()
            except Exception:
                # Such as when the process has no descriptor left: that passes, and the log needs to hear of it once.
                if not failed:
                    _logger.exception("the monitor could not take a sample; it goes on trying")
                failed = True
            else:
                failed = False
