"""Direct calls: on the caller's thread, in the plugin's interpreter."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import PATIENCE
from support.plugins import COMMON

from pyhost.errors import (
    ArgumentsError,
    DeadlineExceededError,
    PluginError,
    PluginNotFoundError,
    PluginUnavailableError,
    ResultEncodingError,
)

DIRECT = (
    COMMON
    + """
import threading
import _thread

local = threading.local()
alive = []

class Mark:
    def __init__(self):
        alive.append(1)
    def __del__(self):
        alive.pop()

@pyhost.export(direct=True)
def direct_identity(value):
    return value

@pyhost.export(direct=True)
def thread():
    return _thread.get_native_id()

@pyhost.export
def owner_thread():
    return _thread.get_native_id()

@pyhost.export(direct=True)
def count():
    local.number = getattr(local, "number", 0) + 1
    if local.number == 1:
        local.mark = Mark()
    return local.number

@pyhost.export
def marks():
    return len(alive)

@pyhost.export(direct=True)
def direct_hold(barrier, value=None):
    return hold(barrier, value)

@pyhost.export(direct=True)
def fail(text):
    raise LookupError(text)

@pyhost.export(direct=True)
def generator():
    return (item for item in "abc")

@pyhost.export(direct=True)
def spin():
    while True:
        pass

@pyhost.export(direct=True)
def spin_stubbornly():
    try:
        while True:
            pass
    except BaseException:
        while True:
            pass

@pyhost.export(direct=True)
def direct_relay(name, *args):
    return pyhost.call(name, *args)

@pyhost.export(direct=True)
def recurse(depth=1):
    try:
        return pyhost.call("plugin.recurse", depth + 1)
    except RecursionError:
        return depth

@pyhost.export
def relay(name, *args):
    return pyhost.call(name, *args)

@pyhost.export
def relay_and_spin(name, *args):
    pyhost.call(name, *args)
    while True:
        pass

spun_out = False

@pyhost.export(direct=True)
def spin_for(seconds):
    import time
    global spun_out
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    spun_out = True

@pyhost.export
def has_spun_out():
    return spun_out
"""
)


@pytest.fixture
def host(maker):
    return maker.start(direct=DIRECT)


class TestThreads:
    def test_runs_on_the_callers(self, host):
        assert host.call("direct.thread") == threading.get_native_id()
        assert host.call("direct.owner_thread") != threading.get_native_id()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(host.call, "direct.thread").result() == pool.submit(threading.get_native_id).result()

    def test_a_future_runs_on_the_plugins_own(self, host):
        assert host.submit("direct.thread").result(PATIENCE) == host.call("direct.owner_thread")

    def test_each_has_a_state_of_its_own_that_lasts(self, host):
        def many(_):
            return [host.call("direct.count") for _ in range(100)]

        with ThreadPoolExecutor(4) as pool:
            barrier = threading.Barrier(4)
            list(pool.map(lambda _: barrier.wait(PATIENCE), range(4)))
            results = list(pool.map(lambda _: (barrier.wait(PATIENCE), many(_))[1], range(4)))
        assert results == [list(range(1, 101))] * 4

    def test_the_state_of_a_thread_ends_with_it(self, host):
        assert host.call("direct.count") == 1
        for _ in range(5):
            thread = threading.Thread(target=host.call, args=["direct.count"])
            thread.start()
            thread.join(PATIENCE)
        assert host.call("direct.marks") == 1

    def test_many_threads_that_come_and_go(self, host):
        results = []
        for _ in range(20):
            threads = [
                threading.Thread(target=lambda: results.append(host.call("direct.direct_identity", 1)))
                for _ in range(10)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
        assert results == [1] * 200

    def test_a_plugin_ends_while_threads_have_states_in_it(self, maker):
        first, second = maker.start(direct=DIRECT), None
        closed, finished = threading.Event(), []
        called = threading.Barrier(5)

        def work():
            finished.append(first.call("direct.count"))
            called.wait(PATIENCE)
            assert closed.wait(PATIENCE)
            finished.append(second.call("direct.count"))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        called.wait(PATIENCE)
        first.close()
        second = maker.start()
        closed.set()
        for thread in threads:
            thread.join(PATIENCE)
        assert finished == [1] * 8
        second.close()

    def test_threads_end_while_their_plugin_does(self, maker):
        for _ in range(10):
            host = maker.start(direct=DIRECT)
            threads = [threading.Thread(target=host.call, args=["direct.count"]) for _ in range(8)]
            for thread in threads:
                thread.start()
            while host.status("direct").function("count").calls < 8:
                pass
            host.close()
            for thread in threads:
                thread.join(PATIENCE)
                assert not thread.is_alive()

    def test_a_plugin_waits_for_those_inside(self, host, make_barrier):
        barrier = make_barrier()
        with ThreadPoolExecutor(2) as pool:
            inside = pool.submit(host.call, "direct.direct_hold", barrier.keys, "out")
            barrier.wait_arrived()
            closing = pool.submit(host.close)
            while host.status("direct").state == "running" and not closing.done():
                try:
                    host.call("direct.direct_identity", 1)
                except (PluginUnavailableError, PluginNotFoundError):
                    break
            assert not inside.done()
            barrier.open()
            assert inside.result(PATIENCE) == "out"
            closing.result(PATIENCE)


class TestLikeOthers:
    def test_a_direct_call_passes_by_a_waiting_queue(self, host, make_barrier):
        barrier = make_barrier()
        holding = host.submit("direct.hold", barrier.keys)
        barrier.wait_arrived()
        assert host.call("direct.direct_identity", {"x": [1]}) == {"x": [1]}
        barrier.open()
        holding.result(PATIENCE)

    def test_several_at_once(self, host, make_barrier):
        barrier = make_barrier()
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(host.call, "direct.direct_hold", barrier.keys, index) for index in range(4)]
            barrier.wait_arrived(4)
            assert host.status("direct").interpreters[0].running == 4
            barrier.open(4)
            assert [call.result(PATIENCE) for call in calls] == [0, 1, 2, 3]

    def test_errors(self, host):
        with pytest.raises(PluginError, match=r"direct.fail raised LookupError: text") as caught:
            host.call("direct.fail", "text")
        assert "direct.py" in caught.value.traceback_text
        with pytest.raises(ArgumentsError):
            host.call("direct.fail")
        with pytest.raises(ResultEncodingError, match="cannot pickle 'generator' object"):
            host.call("direct.generator")

    def test_an_error_in_one_thread_is_no_others(self, host):
        def work(index):
            if index % 3:
                return host.call("direct.direct_identity", index)
            with pytest.raises(PluginError, match=f"LookupError: {index}$"):
                host.call("direct.fail", index)
            return index

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(500))) == list(range(500))

    def test_counters(self, host):
        for index in range(5):
            host.call("direct.direct_identity", index)
        with pytest.raises(PluginError):
            host.call("direct.fail", "text")
        status = host.status("direct")
        assert status.function("direct_identity").calls == 5
        assert status.function("fail").errors == 1
        assert status.interpreters[0].served == 6

    def test_an_async_function_cannot_be_direct(self, maker):
        host = maker.start(
            mixed="""
            import pyhost

            @pyhost.export(direct=True)
            async def fetch(): ...
            """
        )
        assert host.status("mixed").reason == (
            "TypeError: fetch is async, and a direct call has no event loop: drop direct=True"
        )

    def test_beside_async_ones(self, maker):
        host = maker.start(mixed=DIRECT + "\n@pyhost.export\nasync def double(number):\n    return 2 * number\n")
        assert host.call("mixed.direct_identity", 1) == 1
        assert host.call("mixed.double", 2) == 4


class TestNested:
    def test_a_calls_b_calls_a(self, maker):
        host = maker.start(a=DIRECT, b=DIRECT)
        chain = ["a.direct_relay", "b.direct_relay"] * 10
        assert host.call(*chain, "a.direct_identity", 5) == 5
        assert host.call("a.relay", *chain[1:], "b.direct_identity", 6) == 6

    def test_an_error_comes_all_the_way(self, maker):
        host = maker.start(a=DIRECT, b=DIRECT)
        with pytest.raises(PluginError) as caught:
            host.call("a.direct_relay", "b.direct_relay", "a.fail", "deep")
        assert "LookupError: deep" in caught.value.message
        assert host.call("a.direct_relay", "b.direct_identity", 1) == 1

    def test_itself(self, host):
        assert host.call("direct.relay", "direct.direct_identity", 5) == 5
        assert host.call("direct.direct_relay", "direct.direct_relay", "direct.direct_identity", 6) == 6

    def test_a_queued_call_from_a_direct_one(self, maker):
        host = maker.start(a=DIRECT, b=DIRECT)
        assert host.call("a.direct_relay", "b.identity", 5) == 5
        assert host.call("a.direct_relay", "a.identity", 5) == 5
        # On a's own thread, though, that call would wait for itself.
        with pytest.raises(PluginError, match="ReentrantCallError"):
            host.call("a.relay", "b.direct_relay", "a.identity", 5)
        assert host.call("a.relay", "b.direct_relay", "b.identity", 5) == 5

    def test_recursion_without_end_is_an_error_at_its_deepest(self, run_program):
        # In a process of its own: it must not run out of stack.
        outcome = run_program(
            """
            host = maker.start(plugin=PLUGIN)
            print(host.call("plugin.recurse") > 100)
            print(host.call("plugin.identity", 1))
            maker.close()
        """,
            PLUGIN=DIRECT,
        )
        assert (outcome.code, outcome.output) == (0, "True\n1\n"), outcome.errors[-2000:]


class TestDeadlines:
    @pytest.mark.parametrize("name", ["spin", "spin_stubbornly"])
    def test_a_loop_is_interrupted(self, host, name):
        for _ in range(3):
            with pytest.raises(DeadlineExceededError):
                host.call(f"direct.{name}", timeout=0.05)
            assert host.call("direct.direct_identity", 1) == 1

    def test_on_several_threads_at_once(self, host):
        def work(index):
            with pytest.raises(DeadlineExceededError):
                host.call("direct.spin", timeout=0.05 * (index + 1))
            return host.call("direct.direct_identity", index)

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, range(4))) == [0, 1, 2, 3]

    def test_only_the_late_one_is_interrupted(self, host):
        def work(index):
            if index % 2:
                with pytest.raises(DeadlineExceededError):
                    host.call("direct.spin", timeout=0.02)
            return host.call("direct.direct_identity", index)

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, range(40))) == list(range(40))

    def test_a_loop_after_a_direct_call_of_itself_is_interrupted(self, run_program):
        # In a process of its own, as its interpreter might be lost.
        outcome = run_program(
            """
            host = maker.start(plugin=PLUGIN)
            try:
                host.call("plugin.relay_and_spin", "plugin.direct_identity", 1, timeout=0.2)
            except pyhost.DeadlineExceededError:
                print("late")
            print(host.call("plugin.identity", "serves again", timeout=5))
            print(host.call("plugin.direct_identity", 1))
            host.close(0.1)
            print(_core.lost_count())
        """,
            PLUGIN=DIRECT,
        )
        assert (outcome.code, outcome.output) == (0, "late\nserves again\n1\n0\n"), outcome.errors

    def test_bounds_the_direct_calls_that_it_makes(self, maker):
        host = maker.start(a=DIRECT, b=DIRECT)
        with pytest.raises(DeadlineExceededError):
            host.call("a.direct_relay", "b.spin_for", 3, timeout=0.2)
        assert not host.call("b.has_spun_out"), "the inner call ran on past the outer one's deadline"

    def test_bounds_the_queued_calls_that_it_makes(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(a=DIRECT, b=DIRECT)
        opener = threading.Timer(3, barrier.open)
        opener.start()
        try:
            with pytest.raises(DeadlineExceededError):
                host.call("a.direct_relay", "b.hold", barrier.keys, timeout=0.2)
            # Had the call waited for the barrier, b would have left it by now.
            assert host.status("b").interpreters[0].served == 0, "the outer call waited past its deadline"
        finally:
            opener.cancel()
            opener.join()
