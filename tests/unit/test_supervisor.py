"""When a plugin is restarted, and when it is given up."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pyhost.lifecycle import SERVING, TRANSITIONS, Event, IllegalTransitionError, State
from pyhost.manifest import Restart
from pyhost.supervisor import (
    BASE,
    CAP,
    Arrived,
    Asked,
    InterpretersFailed,
    LoadAnew,
    Note,
    StartFailed,
    StartMissing,
    Supervision,
    TakeDown,
    TimePassed,
    decide,
    delay,
    recent,
    worn,
)

MIB = 1 << 20
DEFAULT = Restart()
RUNNING = Supervision(State.RUNNING, well_since=0.0)
STARTING = Supervision(State.STARTING)


def after(memory, *happenings, restart=DEFAULT, now=1.0, random=1.0):
    """What is remembered after these, and what was to be done at the last."""
    actions = ()
    for happening in happenings:
        memory, actions = decide(memory, happening, restart, now, random)
    return memory, actions


def crash_loop(memory, restart, *, ran, limit=100):
    """Fail, and again after each restart; the delays, and how it ended."""
    now, delays = 10.0, []
    for _ in range(limit):
        failure = InterpretersFailed("it broke", 0) if ran else StartFailed("it broke")
        memory, actions = decide(memory, failure, restart, now, 1.0)
        if memory.state not in {State.BACKOFF, *SERVING}:
            return delays, memory
        if StartMissing() in actions:
            delays.append(0.0)
            memory, _ = decide(memory, Arrived(), restart, now, 1.0)
            continue
        delays.append(memory.due - now)
        now = memory.due
        memory, actions = decide(memory, TimePassed(), restart, now, 1.0)
        assert actions == (LoadAnew(),)
        events = [Event.LOAD, Event.START, *([Event.READY] if ran else [])]
        memory, _ = after(memory, *events, restart=restart, now=now)
    return delays, memory


@pytest.mark.parametrize("intensity", [0, 1, 2, 5])
def test_exactly_as_many_restarts_as_the_intensity_are_made(intensity):
    restart = Restart(intensity=intensity)
    delays, memory = crash_loop(STARTING, restart, ran=False)
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6][:intensity])
    assert memory.state is State.FATAL
    delays, memory = crash_loop(RUNNING, restart, ran=True)
    assert delays == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8][:intensity])
    assert memory.state is State.FATAL


def test_restarts_further_apart_than_the_period_go_on_for_ever():
    delays, memory = crash_loop(STARTING, Restart(intensity=5, period=2.0), ran=False)
    assert memory.state in {State.STARTING, State.BACKOFF}
    assert delays[-1] == CAP


def test_a_plugin_that_ran_well_for_a_period_begins_anew():
    memory, actions = after(RUNNING, InterpretersFailed("it broke", 1), Arrived(), now=1000.0)
    assert StartMissing() not in actions
    assert memory.failures == 1
    memory, actions = after(memory, InterpretersFailed("it broke", 1), now=1059.0)
    assert actions == (Note("restarts in 100 ms (2 of 5)"),)
    memory, _ = after(memory, TimePassed(), Arrived(), now=1060.0)
    memory, actions = after(memory, InterpretersFailed("it broke", 1), now=1120.0)
    assert actions == (StartMissing(), Note("restarts at once (1 of 5)"))


def test_a_failed_start_is_never_tried_at_once():
    memory, actions = after(STARTING, StartFailed("no luck"))
    assert actions == (Note("restarts in 100 ms (1 of 5)"),)
    assert (memory.state, memory.due) == (State.BACKOFF, 1.1)
    memory, actions = after(RUNNING, StartFailed("no luck", left=1), now=1000.0)
    assert actions == (Note("restarts in 100 ms (1 of 5)"),)
    assert memory.state is State.RUNNING


def test_the_first_interpreter_that_fails_is_replaced_at_once_without_a_gap():
    memory, actions = after(RUNNING, InterpretersFailed("it broke", 0))
    assert actions == (StartMissing(), Note("restarts at once (1 of 5)"))
    assert (memory.state, memory.due, memory.restarts) == (State.RUNNING, None, (1.0,))


def test_the_last_interpreter_that_has_to_wait_takes_the_plugin_down():
    memory, actions = after(RUNNING, InterpretersFailed("it broke", 0), InterpretersFailed("it broke", 0))
    assert actions == (TakeDown(), Note("restarts in 100 ms (2 of 5)"))
    assert (memory.state, memory.due) == (State.BACKOFF, 1.1)


def test_what_fails_while_a_restart_waits_is_restarted_with_it():
    memory, _ = after(RUNNING, InterpretersFailed("it broke", 2), InterpretersFailed("it broke", 1))
    joined, actions = after(memory, InterpretersFailed("it broke", 1))
    assert actions == ()
    assert (joined.restarts, joined.due) == (memory.restarts, memory.due)
    joined, actions = after(memory, InterpretersFailed("it broke", 0))
    assert actions == (TakeDown(),)
    assert (joined.state, joined.restarts, joined.due) == (State.BACKOFF, memory.restarts, memory.due)


def test_a_restart_is_made_when_it_is_due_and_once():
    memory, _ = after(RUNNING, InterpretersFailed("it broke", 2), InterpretersFailed("it broke", 1))
    assert after(memory, TimePassed(), now=1.09) == (memory, ())
    made, actions = after(memory, TimePassed(), now=1.1)
    assert actions == (StartMissing(),)
    assert after(made, TimePassed(), now=5.0) == (made, ())


def test_a_restart_that_is_made_late_counts_from_then():
    memory, _ = after(RUNNING, InterpretersFailed("it broke", 2), InterpretersFailed("it broke", 1))
    assert after(memory, TimePassed(), now=3.0)[0].restarts == (1.0, 3.0)


class TestPolicies:
    @pytest.mark.parametrize("policy", ["on-failure", "never"])
    def test_an_exit_is_left_alone(self, policy):
        failure = StartFailed("SystemExit: 0", exited=True)
        memory, actions = after(STARTING, failure, restart=Restart(policy=policy))
        assert (memory.state, actions) == (State.STOPPED, (Note("stopped: SystemExit: 0"),))
        memory, actions = after(RUNNING, failure, restart=Restart(policy=policy))
        assert (memory.state, actions) == (State.STOPPED, (TakeDown(), Note("stopped: SystemExit: 0")))
        memory, actions = after(RUNNING, replace(failure, left=1), restart=Restart(policy=policy))
        assert (memory.state, actions) == (State.RUNNING, (Note("not restarted; interpreters left: 1"),))

    def test_always_restarts_what_exits(self):
        failure = StartFailed("SystemExit: 0", exited=True)
        memory, actions = after(STARTING, failure, restart=Restart(policy="always"))
        assert (memory.state, actions) == (State.BACKOFF, (Note("restarts in 100 ms (1 of 5)"),))

    def test_never_goes_on_with_the_others_and_ends_with_the_last(self):
        never = Restart(policy="never")
        memory, actions = after(RUNNING, InterpretersFailed("it broke", 1), restart=never)
        assert (memory.state, actions) == (State.RUNNING, (Note("not restarted; interpreters left: 1"),))
        memory, actions = after(memory, InterpretersFailed("it broke", 0), restart=never)
        assert (memory.state, actions) == (State.FATAL, (TakeDown(), Note("fatal: it broke")))

    def test_never_does_not_try_a_failed_start_again(self):
        memory, actions = after(STARTING, StartFailed("no luck"), restart=Restart(policy="never"))
        assert (memory.state, actions) == (State.FATAL, (Note("fatal: no luck"),))

    def test_too_many_restarts_take_down_what_is_left(self):
        memory, actions = after(RUNNING, InterpretersFailed("it broke", 1), restart=Restart(intensity=0, period=1.5))
        assert memory.state is State.FATAL
        assert actions == (TakeDown(), Note("fatal: it broke (restart.intensity is 0 within 1.50 s)"))


class TestReloading:
    RELOADING = replace(RUNNING, state=State.RELOADING, restarts=(0.5,), failures=1)

    def test_the_new_version_begins_anew(self):
        memory, _ = after(self.RELOADING, Event.READY, now=7.0)
        assert memory == Supervision(State.RUNNING, well_since=7.0)

    def test_a_version_that_is_refused_changes_nothing(self):
        memory, _ = after(self.RELOADING, Event.REFUSE)
        assert memory == replace(self.RELOADING, state=State.RUNNING)

    @pytest.mark.parametrize("restart", [Restart(), Restart(policy="never"), Restart(intensity=1)])
    def test_the_new_version_starts_alone_where_the_old_one_has_nothing_left(self, restart):
        memory, actions = after(self.RELOADING, InterpretersFailed("it broke", 0), restart=restart)
        assert (memory, actions) == (Supervision(State.STARTING), (TakeDown(),))


def test_whoever_asks_begins_anew():
    memory, _ = after(STARTING, StartFailed("no luck"))
    memory, _ = after(memory, Asked())
    assert memory == Supervision(State.BACKOFF)


def test_what_is_stopped_waits_for_no_restart():
    memory, _ = after(RUNNING, InterpretersFailed("it broke", 2), InterpretersFailed("it broke", 1))
    assert memory.due is not None
    memory, _ = after(memory, Event.DRAIN)
    assert memory.due is None
    memory, _ = after(STARTING, StartFailed("no luck"), Event.STOP)
    assert (memory.state, memory.due) == (State.STOPPED, None)


@pytest.mark.parametrize("state", State)
def test_only_what_has_interpreters_can_have_one_fail(state):
    for failure, allowed in (
        (StartFailed("no luck", left=1), {State.STARTING, *SERVING}),
        (InterpretersFailed("it broke", 1), SERVING),
    ):
        memory = Supervision(state)
        if state in allowed:
            decide(memory, failure, Restart(), 0.0, 0.0)
        else:
            with pytest.raises(IllegalTransitionError, match=f"a plugin that is {state} has no interpreter"):
                decide(memory, failure, Restart(), 0.0, 0.0)
        assert memory == Supervision(state)


def test_what_is_remembered_does_not_change():
    with pytest.raises(FrozenInstanceError):
        RUNNING.state = State.FATAL


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_a_delay_is_between_half_and_all_of_what_doubles(turn, random):
    whole = min(CAP, BASE * 2 ** (min(turn, 100) - 1))
    assert whole / 2 <= delay(turn, random) <= whole


def test_the_delays_are_spread():
    assert [delay(1, random) for random in (0.0, 0.5, 1.0)] == pytest.approx([0.05, 0.075, 0.1])


@pytest.mark.parametrize(
    ("restart", "calls", "growth", "why"),
    [
        (Restart(), 10**9, 10**12, ""),
        (Restart(max_calls=100), 99, None, ""),
        (Restart(max_calls=100), 101, None, "it has served 101 calls (restart.max_calls is 100)"),
        (Restart(max_memory_growth=MIB), 0, MIB, ""),
        (Restart(max_memory_growth=MIB), 0, None, ""),
        (Restart(max_memory_growth=MIB), 0, -MIB, ""),
        (
            Restart(max_memory_growth=MIB),
            0,
            3 * MIB,
            "it has grown by 3 MiB (restart.max_memory_growth is 1 MiB)",
        ),
    ],
)
def test_what_is_worn_is_recycled(restart, calls, growth, why):
    assert worn(restart, calls, growth) == why


class Plugin(RuleBasedStateMachine):
    """A plugin as ``supervised.py`` has it, with numbers for interpreters and a clock that the test turns."""

    @initialize(
        policy=st.sampled_from(["always", "on-failure", "never"]),
        intensity=st.integers(0, 4),
        period=st.sampled_from([0.05, 1.0, 60.0]),
        size=st.integers(1, 3),
    )
    def begin(self, policy, intensity, period, size):
        self.restart = Restart(policy=policy, intensity=intensity, period=period)
        self.size = size
        self.memory = Supervision()
        self.now = 0.0
        self.serving = 0
        self.coming = 0
        self.made: list[float] = []
        self.attention = 0.0

    def tell(self, happening, random=0.5):
        before = self.memory
        self.memory, actions = decide(before, happening, self.restart, self.now, random)
        allowed = {state for (first, _), state in TRANSITIONS.items() if first is before.state}
        assert self.memory.state in {before.state, *allowed}
        for action in actions:
            self.act(action)

    def act(self, action):
        match action:
            case StartMissing():
                assert self.memory.state in SERVING
                self.coming = self.size - self.serving
                self.made.append(self.now)
            case LoadAnew():
                assert self.memory.state is State.BACKOFF
                self.made.append(self.now)
                self.load()
            case TakeDown():
                self.serving = self.coming = 0
                if self.memory.state is State.STARTING:
                    self.made.clear()  # the version that somebody has asked for begins anew

    def load(self):
        self.tell(Event.LOAD)
        self.tell(Event.START)

    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0, 40.0, 100.0]))
    def wait(self, seconds):
        self.now += seconds
        self.tell(TimePassed())

    @precondition(lambda self: self.memory.state in {State.DISCOVERED, State.STOPPED, State.BACKOFF, State.FATAL})
    @rule()
    def ask(self):
        self.tell(Asked())
        self.made.clear()
        self.load()

    @precondition(lambda self: self.memory.state is State.RUNNING)
    @rule()
    def reload(self):
        self.tell(Event.RELOAD)

    @precondition(lambda self: self.memory.state in {State.STARTING, State.RELOADING})
    @rule()
    def become_ready(self):
        if self.memory.state is State.RELOADING:
            self.made.clear()
        self.tell(Event.READY)
        self.serving, self.coming = self.size, 0

    @precondition(lambda self: self.memory.state in {State.STARTING, State.RELOADING})
    @rule(exited=st.booleans(), random=st.floats(0, 1))
    def fail_to_start(self, exited, random):
        if self.memory.state is State.RELOADING:
            self.tell(Event.REFUSE)
        else:
            self.tell(StartFailed("no luck", exited=exited), random)

    @precondition(lambda self: self.coming > 0)
    @rule()
    def arrive(self):
        self.serving, self.coming = self.serving + 1, self.coming - 1
        self.tell(Arrived())

    @precondition(lambda self: self.coming > 0)
    @rule(exited=st.booleans(), random=st.floats(0, 1))
    def fail_to_arrive(self, exited, random):
        self.coming -= 1
        self.tell(StartFailed("no luck", self.serving + self.coming, exited), random)

    @precondition(lambda self: self.serving > 0)
    @rule(data=st.data(), random=st.floats(0, 1))
    def break_some(self, data, random):
        self.serving -= data.draw(st.integers(1, self.serving))
        self.tell(InterpretersFailed("it broke", self.serving + self.coming), random)

    @precondition(lambda self: self.memory.state in {State.STARTING, State.BACKOFF})
    @rule()
    def stop(self):
        self.tell(Event.STOP)

    @precondition(lambda self: self.memory.state is State.RUNNING)
    @rule()
    def drain(self):
        self.tell(Event.DRAIN)
        self.serving = self.coming = 0
        self.tell(Event.END)

    @rule(event=st.sampled_from(Event))
    def send_what_is_illegal(self, event):
        if (self.memory.state, event) not in TRANSITIONS:
            before = self.memory
            with pytest.raises(IllegalTransitionError):
                self.tell(event)
            assert self.memory is before

    @invariant()
    def no_period_has_more_restarts_than_the_intensity(self):
        made = [time for time in self.made if time > self.now - self.restart.period]
        assert len(made) <= self.restart.intensity
        assert len(recent(self.memory, self.restart, self.now)) <= self.restart.intensity

    @invariant()
    def never_means_never(self):
        assert not self.made or self.restart.policy != "never"

    @invariant()
    def whoever_serves_has_interpreters_and_nobody_else(self):
        has_some = self.serving + self.coming > 0
        assert has_some == (self.memory.state in SERVING)

    @invariant()
    def who_is_in_backoff_has_a_time_to_come_back(self):
        if self.memory.state is State.BACKOFF:
            assert self.memory.due is not None
            assert self.memory.due - self.now <= CAP

    @invariant()
    def nothing_waits_but_where_it_can_be_made(self):
        if self.memory.due is not None:
            assert self.memory.state in {State.BACKOFF, *SERVING}


TestEveryCourse = Plugin.TestCase
TestEveryCourse.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
