"""When a plugin is started again, when it is given up, and which of its interpreters is worn: decisions only.

In OTP's terms: what fails is restarted, and more than ``intensity`` restarts within ``period`` are too many. One
restart starts whatever the plugin is short of: one interpreter, several, or all of them, where none is left. So those
that fail together are one restart, and so are those that fail while one waits.

``decide`` is a function of what is remembered of a plugin, what happens to it, the time and a random number; it returns
what is to be remembered, and what is to be done. Nothing here waits, reads a clock or starts anything:
``supervised.py`` does. Times are seconds of one clock that never goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyhost.lifecycle import SERVING, Event, IllegalTransitionError, State, next_state
from pyhost.quantities import format_seconds, format_size

if TYPE_CHECKING:
    from pyhost.manifest import Restart

BASE = 0.1
"""Seconds before a failed start is tried again; they double with each failure that follows."""
CAP = 30.0
"""The most that they grow to, in seconds."""


@dataclass(frozen=True, slots=True)
class Supervision:
    """What is remembered of a plugin."""

    state: State = State.DISCOVERED
    restarts: tuple[float, ...] = ()
    """When restarts were made, and when the one that waits will be, the oldest first; only the latest of them count."""
    due: float | None = None
    """When the restart that waits is to be made; None: none waits."""
    failures: int = 0
    """How often it has failed since it last ran well for a whole period."""
    well_since: float | None = None
    """When it, or what it was short of, became ready; None: it has failed since."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody asks for a new start: what has been counts no more."""


@dataclass(frozen=True, slots=True)
class StartFailed:
    """An interpreter did not start; or, while the plugin starts, its version did not."""

    reason: str
    left: int = 0
    """Interpreters that serve, or that will when they have started."""
    exited: bool = False
    """It left by ``sys.exit(0)``, which is no failure."""


@dataclass(frozen=True, slots=True)
class InterpretersFailed:
    """Interpreters that ran are of no use any more."""

    reason: str
    left: int
    """Interpreters that serve, or that will when they have started, without those."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """An interpreter that the plugin was short of is ready."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing else has happened."""


type Happening = Event | Asked | StartFailed | InterpretersFailed | Arrived | TimePassed


@dataclass(frozen=True, slots=True)
class StartMissing:
    """Start as many interpreters as the version that serves is short of."""


@dataclass(frozen=True, slots=True)
class LoadAnew:
    """Load the plugin as if it had just been found."""


@dataclass(frozen=True, slots=True)
class TakeDown:
    """Let the version that serves take no more calls, finish those that it has, and end."""


@dataclass(frozen=True, slots=True)
class Note:
    """Write into the plugin's timeline."""

    text: str


type Action = StartMissing | LoadAnew | TakeDown | Note
type Decision = tuple[Supervision, tuple[Action, ...]]


def decide(memory: Supervision, happening: Happening, restart: Restart, now: float, random: float) -> Decision:
    """Return what is to be remembered after ``happening``, and what is to be done.

    ``restart`` is what the manifest says, ``random`` a number from 0 to 1. Raises IllegalTransitionError for what
    cannot happen to a plugin in this state.
    """
    match happening:
        case Event():
            return _follow(memory, happening, now), ()
        case Asked():
            return replace(memory, restarts=(), due=None, failures=0), ()
        case Arrived():
            return replace(memory, well_since=now), ()
        case TimePassed():
            return _make_due(memory, now)
        case StartFailed() | InterpretersFailed():
            return _fail(memory, happening, restart, now, random)


def recent(memory: Supervision, restart: Restart, now: float) -> tuple[float, ...]:
    """Return the times of the restarts that count: those within the period, and the one that waits."""
    return tuple(time for time in memory.restarts if time > now - restart.period)


def worn(restart: Restart, calls: int, growth: int | None) -> str:
    """Return why an interpreter is to be recycled that has served so many calls, and grown by so many bytes (None: not
    known); "" if it is not.
    """
    if restart.max_calls is not None and calls >= restart.max_calls:
        return f"it has served {calls} calls (restart.max_calls is {restart.max_calls})"
    allowed = restart.max_memory_growth
    if allowed is not None and growth is not None and growth > allowed:
        return f"it has grown by {format_size(growth)} (restart.max_memory_growth is {format_size(allowed)})"
    return ""


def _follow(memory: Supervision, event: Event, now: float) -> Supervision:
    state = next_state(memory.state, event)
    if event is Event.READY:
        is_new = memory.state is State.RELOADING  # what the version before it did is not held against it
        kept = Supervision() if is_new else memory
        return replace(kept, state=state, due=None, well_since=now)
    keeps_waiting = state in SERVING or state is State.BACKOFF
    return replace(memory, state=state, due=memory.due if keeps_waiting else None)


def _make_due(memory: Supervision, now: float) -> Decision:
    if memory.due is None or now < memory.due:
        return memory, ()
    action = LoadAnew() if memory.state is State.BACKOFF else StartMissing()
    # It counts from when it is made, which may be later than it was due.
    return replace(memory, due=None, restarts=(*memory.restarts[:-1], now)), (action,)


def _fail(
    memory: Supervision, failure: StartFailed | InterpretersFailed, restart: Restart, now: float, random: float
) -> Decision:
    ran = isinstance(failure, InterpretersFailed)
    if memory.state not in (SERVING if ran else SERVING | {State.STARTING}):
        raise IllegalTransitionError(f"a plugin that is {memory.state} has no interpreter that could fail")
    if memory.well_since is not None and now - memory.well_since >= restart.period:
        memory = replace(memory, failures=0)
    memory = replace(memory, well_since=None)
    exited = isinstance(failure, StartFailed) and failure.exited
    if restart.policy == "never" or (exited and restart.policy == "on-failure"):
        return _go_on_without(memory, failure, Event.EXIT if exited else Event.GIVE_UP, now)
    if memory.due is not None:
        return (memory, ()) if failure.left > 0 else _run_out(memory, Event.FAIL, now)
    counted = recent(memory, restart, now)
    if len(counted) >= restart.intensity:
        allowed = f"restart.intensity is {restart.intensity} within {format_seconds(restart.period)}"
        return _run_out(memory, Event.GIVE_UP, now, Note(f"fatal: {failure.reason} ({allowed})"))
    # The first interpreter that fails after it ran is replaced at once; a start that failed is never tried at once.
    turn = memory.failures if ran else max(memory.failures, 1)
    due = now + delay(turn, random)
    memory = replace(memory, restarts=(*counted, due), due=due, failures=turn + 1)
    return _schedule(memory, failure.left, now, f"{len(counted) + 1} of {restart.intensity}")


def delay(turn: int, random: float) -> float:
    """Return the seconds before a restart, 0.0 for turn 0: between half and all of what doubles from turn to turn."""
    if turn == 0:
        return 0.0
    whole = min(CAP, BASE * 2.0 ** min(turn - 1, 30))
    return whole * (1 + random) / 2


def _go_on_without(
    memory: Supervision, failure: StartFailed | InterpretersFailed, event: Event, now: float
) -> Decision:
    if failure.left > 0:
        return memory, (Note(f"not restarted; interpreters left: {failure.left}"),)
    outcome = "stopped" if event is Event.EXIT else "fatal"
    return _run_out(memory, event, now, Note(f"{outcome}: {failure.reason}"))


def _schedule(memory: Supervision, left: int, now: float, count: str) -> Decision:
    """Make the restart at once, or let it wait, and the plugin without an interpreter with it."""
    assert memory.due is not None
    if memory.due <= now:
        return replace(memory, due=None), (StartMissing(), Note(f"restarts at once ({count})"))
    note = Note(f"restarts in {format_seconds(memory.due - now)} ({count})")
    return (memory, (note,)) if left > 0 else _run_out(memory, Event.FAIL, now, note)


def _run_out(memory: Supervision, event: Event, now: float, *notes: Note) -> Decision:
    """No interpreter is left, or none is to be."""
    if memory.state is State.RELOADING:
        # A new version is about to start anyway; what became of the old one is not held against it.
        return Supervision(next_state(memory.state, Event.FAIL)), (TakeDown(),)
    actions: tuple[Action, ...] = (TakeDown(),) if memory.state in SERVING else ()
    return _follow(memory, event, now), (*actions, *notes)
