"""Deadlines: who is told, what is interrupted, and that the interpreter serves afterwards."""

from __future__ import annotations

import sys
import time
from contextlib import suppress

import pytest
from support import PATIENCE
from support.plugins import COMMON

from pyhost.errors import DeadlineExceededError, PluginError

LATE = (
    COMMON
    + """
import time

state = {"calls": 0, "cleaned": 0}
noted = []

@pyhost.export
def spin():
    while True:
        pass

@pyhost.export
def spin_in_generators():
    def numbers():
        number = 0
        while True:
            yield number
            number += 1
    return sum(numbers())

@pyhost.export
def spin_in_except():
    while True:
        try:
            int("not a number")
        except ValueError:
            pass

@pyhost.export
def spin_guarded():
    while True:
        try:
            while True:
                pass
        except Exception:
            pass

@pyhost.export
def spin_stubbornly():
    try:
        while True:
            pass
    except BaseException:
        pass
    while True:
        pass

@pyhost.export
def spin_twice_stubbornly():
    for _ in range(2):
        try:
            while True:
                pass
        except BaseException as error:
            noted.append(type(error).__name__)
    while True:
        pass

@pyhost.export
def spin_and_clean():
    try:
        while True:
            pass
    finally:
        state["cleaned"] += 1

@pyhost.export
def spin_then_answer():
    try:
        while True:
            pass
    except pyhost.DeadlineInterrupt:
        return "too late for that"

@pyhost.export
def spin_then_raise():
    try:
        while True:
            pass
    except pyhost.DeadlineInterrupt:
        raise ValueError("instead")

@pyhost.export
def spin_until(end):
    while time.monotonic() < end:
        pass
    return "in time"

@pyhost.export
def tell():
    state["calls"] += 1
    return dict(state)

@pyhost.export
def note(item):
    noted.append(item)

@pyhost.export
def notes():
    return list(noted)

@pyhost.export
def relay(name, *args):
    return pyhost.call(name, *args)

@pyhost.export
def slow_to_pickle():
    class Slow:
        def __reduce__(self):
            while True:
                pass
    return Slow()
"""
)


@pytest.fixture
def host(maker):
    return maker.start(late=LATE)


class TestInterrupting:
    @pytest.mark.parametrize(
        "name",
        [
            "spin",
            "spin_in_generators",
            pytest.param(
                "spin_in_except",
                marks=pytest.mark.skipif(
                    sys.version_info[:2] == (3, 15),
                    reason="CPython 3.15.0 loses an exception that arrives while C code formats another",
                ),
            ),
            "spin_guarded",
            "spin_stubbornly",
            "spin_twice_stubbornly",
            "spin_and_clean",
            "slow_to_pickle",
        ],
    )
    def test_a_busy_loop_ends_and_the_interpreter_serves_again(self, host, name):
        for _ in range(2):
            with pytest.raises(DeadlineExceededError, match=f"^late.{name} did not answer by its deadline$"):
                host.call(f"late.{name}", timeout=0.05)
            assert host.call("late.identity", 1) == 1

    def test_the_plugins_state_is_kept(self, host):
        assert host.call("late.tell") == {"calls": 1, "cleaned": 0}
        for count in range(1, 4):
            with pytest.raises(DeadlineExceededError):
                host.call("late.spin_and_clean", timeout=0.05)
            assert host.call("late.tell") == {"calls": count + 1, "cleaned": count}

    @pytest.mark.parametrize("name", ["spin_then_answer", "spin_then_raise"])
    def test_a_late_answer_is_for_nobody(self, host, name):
        with pytest.raises(DeadlineExceededError):
            host.call(f"late.{name}", timeout=0.05)
        assert host.call("late.identity", 1) == 1
        assert host.status("late").function(name).timeouts == 1

    def test_it_is_the_interrupt_that_is_raised(self, host):
        with pytest.raises(DeadlineExceededError):
            host.call("late.spin_twice_stubbornly", timeout=0.05)
        assert host.call("late.notes") == ["DeadlineInterrupt"] * 2

    def test_the_plugins_own_deadline_holds_where_the_caller_has_none(self, maker):
        maker.write("late", LATE, limits={"deadline": "100ms"})
        host = maker.start()
        with pytest.raises(DeadlineExceededError):
            host.call("late.spin")
        with pytest.raises(DeadlineExceededError):
            host.submit("late.spin").result(PATIENCE)
        assert host.call("late.identity", 1) == 1

    def test_an_interrupt_hits_no_other_call(self, host):
        # Calls that end just about when their deadline does: one that was meant for them must not hit the next one.
        for step in range(150):
            end = time.monotonic() + 0.003
            with suppress(DeadlineExceededError):  # as often as not
                assert host.call("late.spin_until", end, timeout=0.002 + 0.00002 * step) == "in time"
            for number in range(5):
                assert host.call("late.identity", number) == number


class TestWaiting:
    def test_what_blocks_outside_python_answers_its_caller_all_the_same(self, host, make_barrier):
        barrier = make_barrier()
        with pytest.raises(DeadlineExceededError):
            host.call("late.hold", barrier.keys, timeout=0.1)
        barrier.open()
        assert host.call("late.identity", 1) == 1

    def test_waiting_in_the_queue_counts(self, host, make_barrier):
        barrier = make_barrier()
        holding = host.submit("late.hold", barrier.keys)
        barrier.wait_arrived()
        with pytest.raises(DeadlineExceededError):
            host.call("late.note", "too late", timeout=0.05)
        barrier.open()
        holding.result(PATIENCE)
        assert host.call("late.notes") == []

    def test_a_call_that_is_late_in_the_queue_never_runs(self, host, make_barrier):
        barrier = make_barrier()
        holding = host.submit("late.hold", barrier.keys)
        barrier.wait_arrived()
        calls = [host.submit("late.note", index, timeout=PATIENCE if index % 2 else 0.05) for index in range(20)]
        for call in calls[::2]:
            with pytest.raises(DeadlineExceededError):
                call.result(PATIENCE)
        barrier.open()
        for call in [holding, *calls[1::2]]:
            call.result(PATIENCE)
        assert host.call("late.notes") == list(range(1, 20, 2))

    def test_a_busy_plugin_is_late_for_all_who_wait(self, host):
        spinning = host.submit("late.spin", timeout=0.3)
        with pytest.raises(DeadlineExceededError):
            host.call("late.identity", 1, timeout=0.05)
        with pytest.raises(DeadlineExceededError):
            spinning.result(PATIENCE)
        assert host.call("late.identity", 1) == 1


class TestNested:
    def test_the_inner_call_is_interrupted_with_the_outer_one(self, maker):
        host = maker.start(a=LATE, b=LATE)
        with pytest.raises(DeadlineExceededError):
            host.call("a.relay", "b.spin", timeout=0.1)
        assert host.call("a.identity", 1) == 1
        assert host.call("b.identity", 1) == 1

    def test_the_inner_deadline_alone_is_an_error_in_the_outer_call(self, maker):
        maker.write("b", LATE, limits={"deadline": "100ms"})
        host = maker.start(a=LATE)
        with pytest.raises(PluginError, match="DeadlineExceededError: b.spin did not answer by its deadline"):
            host.call("a.relay", "b.spin")
        assert host.call("a.relay", "b.identity", 1) == 1

    def test_through_many(self, maker):
        host = maker.start(a=LATE, b=LATE, c=LATE)
        with pytest.raises(DeadlineExceededError):
            host.call("a.relay", "b.relay", "c.spin", timeout=0.1)
        assert [host.call(f"{name}.identity", name) for name in "abc"] == ["a", "b", "c"]


def test_many_deadlines_at_once(maker):
    maker.write("late", LATE, interpreters=4)
    host = maker.start()
    calls = [host.submit("late.spin", timeout=0.05 + 0.01 * index) for index in range(12)]
    for call in calls:
        with pytest.raises(DeadlineExceededError):
            call.result(PATIENCE)
    assert list(host.map("late.identity", range(50))) == list(range(50))
