"""The states of a plugin, and the only table of the ways between them.

Pure: nothing here loads or stops anything. Whoever does sends an event and acts on the state that it leads to.
"""

from enum import StrEnum


class State(StrEnum):
    """Where a plugin stands."""

    DISCOVERED = "discovered"
    """Its manifest has been read."""
    LOADING = "loading"
    """Its interpreters import it and run its on_start."""
    RUNNING = "running"
    """It takes calls."""
    DRAINING = "draining"
    """It takes no more calls, and finishes those that it has."""
    STOPPED = "stopped"
    """Its interpreters have ended, or have been set aside."""
    FAILED = "failed"
    """Its manifest is wrong, its import or on_start failed, or its last interpreter could not be replaced."""


class Event(StrEnum):
    """What happens to a plugin."""

    LOAD = "load"
    LOADED = "loaded"
    FAIL = "fail"
    DRAIN = "drain"
    END = "end"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.DISCOVERED, Event.LOAD): State.LOADING,
    (State.DISCOVERED, Event.FAIL): State.FAILED,
    (State.LOADING, Event.LOADED): State.RUNNING,
    (State.LOADING, Event.FAIL): State.FAILED,
    (State.RUNNING, Event.DRAIN): State.DRAINING,
    (State.RUNNING, Event.FAIL): State.FAILED,
    (State.DRAINING, Event.END): State.STOPPED,
}


class IllegalTransitionError(Exception):
    """An event that the state does not allow; the state is as it was."""


def next_state(state: State, event: Event) -> State:
    """The state after the event. Raises IllegalTransitionError."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransitionError(f"a plugin that is {state} cannot {event}") from None
