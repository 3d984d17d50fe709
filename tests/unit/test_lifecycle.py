"""The states of a plugin: every pair of state and event."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from pyhost.lifecycle import SERVING, TRANSITIONS, Event, IllegalTransitionError, State, diagram, next_state

# Said a second time, so that a change of the table is a change here, too.
LEGAL = {
    ("discovered", "load"): "loading",
    ("discovered", "give up"): "fatal",
    ("loading", "start"): "starting",
    ("loading", "stop"): "stopped",
    ("starting", "ready"): "running",
    ("starting", "fail"): "backoff",
    ("starting", "exit"): "stopped",
    ("starting", "give up"): "fatal",
    ("starting", "stop"): "stopped",
    ("running", "reload"): "reloading",
    ("running", "fail"): "backoff",
    ("running", "exit"): "stopped",
    ("running", "give up"): "fatal",
    ("running", "drain"): "draining",
    ("reloading", "ready"): "running",
    ("reloading", "refuse"): "running",
    ("reloading", "fail"): "starting",
    ("draining", "end"): "stopped",
    ("stopped", "load"): "loading",
    ("stopped", "give up"): "fatal",
    ("backoff", "load"): "loading",
    ("backoff", "stop"): "stopped",
    ("backoff", "give up"): "fatal",
    ("fatal", "load"): "loading",
}


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)), ids=lambda item: item.value)
def test_every_event_in_every_state(state, event):
    if (state, event) in LEGAL:
        assert next_state(state, event) is State(LEGAL[state, event])
    else:
        with pytest.raises(IllegalTransitionError, match=f"^a plugin that is {state} cannot {event}$"):
            next_state(state, event)


def test_every_state_is_reached_from_the_first_one():
    reached = {State.DISCOVERED}
    for _ in State:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(State)


def test_no_state_is_the_last():
    for state in State:
        reached = {state}
        for _ in State:
            reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
        assert State.RUNNING in reached


def test_every_event_is_of_use():
    assert {event for _, event in TRANSITIONS} == set(Event)


def test_only_what_starts_comes_to_serve():
    entered = {before for (before, _), after in TRANSITIONS.items() if after in SERVING and before not in SERVING}
    assert entered == {State.STARTING}


def test_the_diagram_in_the_design_is_the_table_s():
    design = Path(__file__).parents[2] / "docs" / "design.md"
    drawn = design.read_text(encoding="utf-8").split("```mermaid\n")[1].split("\n```")[0]
    assert drawn == diagram(), "print(pyhost.lifecycle.diagram()) is what docs/design.md should have"
