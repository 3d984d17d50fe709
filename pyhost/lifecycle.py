"""The states of a plugin, and the only table of the ways between them.

A plugin is known by its name: versions of it come and go, and so do interpreters. Pure: nothing here loads or stops
anything. ``supervisor.py`` sends the events, and ``supervised.py`` does what follows from them.
"""

from enum import StrEnum


class State(StrEnum):
    """Where a plugin stands."""

    DISCOVERED = "discovered"
    """It has been found in the folder."""
    LOADING = "loading"
    """Its files are read, and its interpreters created."""
    STARTING = "starting"
    """Its interpreters import it and run its on_start."""
    RUNNING = "running"
    """It takes calls."""
    RELOADING = "reloading"
    """It takes calls, while a new version of it starts."""
    DRAINING = "draining"
    """It takes no more calls, and finishes those that it has."""
    STOPPED = "stopped"
    """By request, or because it exited by itself with code 0."""
    BACKOFF = "backoff"
    """It failed, and is loaded again after a while."""
    FATAL = "fatal"
    """Its manifest is wrong, its dependencies are not installed, or it failed more often than it may: it waits for
    somebody to put that right.
    """


class Event(StrEnum):
    """What happens to a plugin."""

    LOAD = "load"
    """Somebody asks for it, or its time in backoff is over."""
    START = "start"
    """Its interpreters have been created."""
    READY = "ready"
    """All interpreters of the version that was starting are ready."""
    RELOAD = "reload"
    """A new version begins to start beside the one that serves."""
    REFUSE = "refuse"
    """The new version did not start; the one before serves on."""
    FAIL = "fail"
    """It did not start, or has no interpreter left."""
    EXIT = "exit"
    """It exited by itself with code 0, and is to stay so."""
    GIVE_UP = "give up"
    """It is not tried again."""
    DRAIN = "drain"
    """It is asked to stop while it takes calls."""
    STOP = "stop"
    """It is asked to stop while it takes none."""
    END = "end"
    """Its interpreters have ended, or have been set aside."""


class InterpreterState(StrEnum):
    """Where one interpreter stands. The C half keeps it (``host/interp.h``)."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    """It takes no more calls, and finishes those that it has."""
    STOPPED = "stopped"
    FAILED = "failed"
    """It never ran."""
    LOST = "lost"
    """It did not end, and has been set aside. Should its thread come back, it ends and is stopped."""


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.DISCOVERED, Event.LOAD): State.LOADING,
    (State.DISCOVERED, Event.GIVE_UP): State.FATAL,
    (State.LOADING, Event.START): State.STARTING,
    (State.LOADING, Event.STOP): State.STOPPED,
    (State.STARTING, Event.READY): State.RUNNING,
    (State.STARTING, Event.FAIL): State.BACKOFF,
    (State.STARTING, Event.EXIT): State.STOPPED,
    (State.STARTING, Event.GIVE_UP): State.FATAL,
    (State.STARTING, Event.STOP): State.STOPPED,
    (State.RUNNING, Event.RELOAD): State.RELOADING,
    (State.RUNNING, Event.FAIL): State.BACKOFF,
    (State.RUNNING, Event.EXIT): State.STOPPED,
    (State.RUNNING, Event.GIVE_UP): State.FATAL,
    (State.RUNNING, Event.DRAIN): State.DRAINING,
    (State.RELOADING, Event.READY): State.RUNNING,
    (State.RELOADING, Event.REFUSE): State.RUNNING,
    (State.RELOADING, Event.FAIL): State.STARTING,
    (State.DRAINING, Event.END): State.STOPPED,
    (State.STOPPED, Event.LOAD): State.LOADING,
    (State.STOPPED, Event.GIVE_UP): State.FATAL,
    (State.BACKOFF, Event.LOAD): State.LOADING,
    (State.BACKOFF, Event.STOP): State.STOPPED,
    (State.BACKOFF, Event.GIVE_UP): State.FATAL,
    (State.FATAL, Event.LOAD): State.LOADING,
}

SERVING = frozenset({State.RUNNING, State.RELOADING})
"""The states in which a plugin takes calls."""


class IllegalTransitionError(Exception):
    """An event that the state does not allow; the state is as it was."""


def next_state(state: State, event: Event) -> State:
    """The state after the event. Raises IllegalTransitionError."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransitionError(f"a plugin that is {state} cannot {event}") from None


def diagram() -> str:
    """The table as a Mermaid diagram, as ``docs/design.md`` has it."""
    ways: dict[tuple[State, State], list[Event]] = {}
    for (before, event), after in TRANSITIONS.items():
        ways.setdefault((before, after), []).append(event)
    lines = [f"    {before} --> {after}: {', '.join(events)}" for (before, after), events in ways.items()]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {State.DISCOVERED}", *lines])
