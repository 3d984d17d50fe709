"""The states of a plugin: every pair of state and event."""

from __future__ import annotations

from itertools import product

import pytest

from pyhost.lifecycle import TRANSITIONS, Event, IllegalTransitionError, State, next_state

# Said a second time, so that a change of the table is a change here, too.
LEGAL = {
    ("discovered", "load"): "loading",
    ("discovered", "fail"): "failed",
    ("loading", "loaded"): "running",
    ("loading", "fail"): "failed",
    ("running", "drain"): "draining",
    ("running", "fail"): "failed",
    ("draining", "end"): "stopped",
}


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)), ids=lambda item: item.value)
def test_every_event_in_every_state(state, event):
    if (state, event) in LEGAL:
        assert next_state(state, event) is State(LEGAL[state, event])
    else:
        with pytest.raises(IllegalTransitionError, match=f"a plugin that is {state} cannot {event}"):
            next_state(state, event)


def test_every_state_is_reached_from_the_first_one():
    reached = {State.DISCOVERED}
    for _ in State:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(State)


def test_nothing_follows_the_end():
    assert set(State) - {before for before, _ in TRANSITIONS} == {State.STOPPED, State.FAILED}


def test_every_event_is_of_use():
    assert {event for _, event in TRANSITIONS} == set(Event)
