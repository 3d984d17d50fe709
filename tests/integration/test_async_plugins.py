"""Plugins with async exports: many calls in flight on one thread."""

from __future__ import annotations

import asyncio

import pytest
from support import PATIENCE
from support.logs import printed
from support.plugins import COMMON, NEVER

from pyhost.errors import (
    ArgumentsError,
    CallCancelledError,
    DeadlineExceededError,
    PluginError,
    ResultEncodingError,
)

# `wait` ends when `release` has been called with the same key.
ASYNC = (
    COMMON
    + """
import asyncio

events = {}
log = []

@pyhost.export
async def wait(key, result=None):
    log.append(("start", key))
    try:
        await events.setdefault(key, asyncio.Event()).wait()
    except asyncio.CancelledError:
        log.append(("cancelled", key))
        raise
    log.append(("end", key))
    return result

@pyhost.export
async def release(key):
    events.setdefault(key, asyncio.Event()).set()

@pyhost.export
def release_plainly(key):
    events.setdefault(key, asyncio.Event()).set()

@pyhost.export
async def entries():
    return list(log)

@pyhost.export
async def spin_then_answer():
    try:
        while True:
            pass
    except pyhost.DeadlineInterrupt:
        return "too late for that"

@pyhost.export
async def double(number):
    return 2 * number

@pyhost.export
def plain_double(number):
    return 2 * number

@pyhost.export
async def fail():
    await asyncio.sleep(0)
    raise LookupError("nothing here")

@pyhost.export
async def relay(name, *args):
    return await pyhost.acall(name, *args)

@pyhost.export
async def relay_many(name, count):
    return await asyncio.gather(*(pyhost.acall(name, number) for number in range(count)))

@pyhost.export
async def catch(name, *args, timeout_of_call=None):
    try:
        return await pyhost.acall(name, *args, timeout=timeout_of_call)
    except pyhost.PyhostError as error:
        return type(error).__name__

@pyhost.export
def relay_plainly(name, *args):
    return pyhost.call(name, *args)

@pyhost.export
async def wait_then_relay_plainly(name, *args):
    await asyncio.sleep(0)
    return pyhost.call(name, *args)

@pyhost.export
async def spin():
    while True:
        pass

@pyhost.export
def spin_plainly():
    while True:
        pass

@pyhost.export
async def stubborn(key):
    try:
        await events.setdefault(key, asyncio.Event()).wait()
    except asyncio.CancelledError:
        return "did not give up"

async def unexported():
    pass

@pyhost.export
def unawaited():
    return unexported()

@pyhost.export
async def unawaited_too():
    return unexported()

@pyhost.export
async def stream():
    yield 1
"""
)


@pytest.fixture
def host(maker):
    return maker.start(aio=ASYNC)


class TestMany:
    def test_in_flight_at_once(self, host):
        calls = [host.submit("aio.wait", key, key) for key in range(500)]
        for key in reversed(range(500)):
            host.call("aio.release", key)
        assert [call.result(PATIENCE) for call in calls] == list(range(500))

    def test_each_ends_when_it_is_ready(self, host):
        first, second = host.submit("aio.wait", 1, "first"), host.submit("aio.wait", 2, "second")
        host.call("aio.release", 2)
        assert second.result(PATIENCE) == "second"
        assert not first.done()
        host.call("aio.release", 1)
        assert first.result(PATIENCE) == "first"

    def test_status_counts_those_that_are_under_way(self, host):
        calls = [host.submit("aio.wait", key) for key in range(5)]
        host.call("aio.double", 1)  # comes after those
        assert host.status("aio").interpreters[0].running == 5
        for key in range(5):
            host.call("aio.release", key)
        for call in calls:
            call.result(PATIENCE)
        assert host.status("aio").interpreters[0].running == 0

    def test_plain_functions_run_between_them(self, host):
        waiting = host.submit("aio.wait", 1, "done")
        assert host.call("aio.plain_double", 4) == 8
        host.call("aio.release_plainly", 1)
        assert waiting.result(PATIENCE) == "done"

    def test_ten_thousand(self, host):
        async def main():
            return await asyncio.gather(*(host.acall("aio.double", number) for number in range(1000)))

        for _ in range(10):
            assert asyncio.run(main()) == [2 * number for number in range(1000)]

    def test_a_map(self, host):
        assert list(host.map("aio.double", range(3000))) == [2 * number for number in range(3000)]


class TestErrors:
    def test_an_exception(self, host):
        with pytest.raises(PluginError, match=r"aio.fail raised LookupError: nothing here") as caught:
            host.call("aio.fail")
        assert "aio.py" in caught.value.traceback_text

    def test_arguments_that_do_not_fit(self, host):
        with pytest.raises(ArgumentsError, match="double.. missing 1 required positional argument"):
            host.call("aio.double")

    @pytest.mark.parametrize(
        ("name", "kind"), [("unawaited", "coroutine"), ("unawaited_too", "coroutine"), ("stream", "async_generator")]
    )
    def test_a_result_that_would_have_to_be_awaited(self, host, name, kind):
        with pytest.raises(ResultEncodingError, match=f"TypeError: cannot pickle '{kind}' object"):
            host.call(f"aio.{name}")


class TestDeadlines:
    def test_cancels_the_task_and_answers_the_caller(self, host):
        with pytest.raises(DeadlineExceededError):
            host.call("aio.wait", "late", timeout=0.1)
        # The loop may get round to it a little after the caller has its answer.
        while ("cancelled", "late") not in host.call("aio.entries"):
            pass
        assert ("end", "late") not in host.call("aio.entries")

    def test_the_others_go_on(self, host):
        waiting = host.submit("aio.wait", "kept", "kept")
        with pytest.raises(DeadlineExceededError):
            host.call("aio.wait", "late", timeout=0.1)
        host.call("aio.release", "kept")
        assert waiting.result(PATIENCE) == "kept"

    def test_a_task_that_swallows_its_cancellation_answers_nobody(self, host):
        with pytest.raises(DeadlineExceededError):
            host.call("aio.stubborn", "late", timeout=0.1)
        assert host.call("aio.double", 2) == 4

    def test_a_late_answer_is_for_nobody(self, host):
        for _ in range(5):
            with pytest.raises(DeadlineExceededError):
                host.call("aio.spin_then_answer", timeout=0.05)
        assert host.call("aio.double", 2) == 4

    def test_a_plain_function_that_runs_too_long_is_interrupted(self, host):
        waiting = host.submit("aio.wait", 1, "kept")
        with pytest.raises(DeadlineExceededError):
            host.call("aio.spin_plainly", timeout=0.1)
        host.call("aio.release", 1)
        assert waiting.result(PATIENCE) == "kept"

    def test_a_coroutine_that_never_awaits_is_interrupted(self, run_program):
        # In a process of its own, as its interpreter might be lost.
        outcome = run_program(
            """
            host = maker.start(plugin=PLUGIN)
            try:
                host.call("plugin.spin", timeout=0.1)
            except pyhost.DeadlineExceededError:
                print("late")
            print(host.call("plugin.identity", "serves again", timeout=5))
            host.close(0.1)
            print(_core.lost_count())
        """,
            PLUGIN=ASYNC,
        )
        assert (outcome.code, outcome.output) == (0, "late\nserves again\n0\n"), outcome.errors


class TestGivingUp:
    def test_a_cancelled_call_cancels_its_task(self, host):
        async def main():
            call = asyncio.ensure_future(host.acall("aio.wait", "given up"))
            while ("start", "given up") not in await host.acall("aio.entries"):
                pass
            call.cancel()
            while ("cancelled", "given up") not in await host.acall("aio.entries"):
                pass
            assert call.cancelled()

        asyncio.run(main())

    def test_a_cancelled_future_cancels_its_task(self, host):
        future = host.submit("aio.wait", "given up")
        while ("start", "given up") not in host.call("aio.entries"):
            pass
        assert future.cancel()
        while ("cancelled", "given up") not in host.call("aio.entries"):
            pass

    def test_a_host_that_closes_cancels_what_does_not_end(self, host):
        waiting = host.submit("aio.wait", "for ever")
        host.call("aio.double", 1)
        host.close(grace=0.05)
        with pytest.raises(CallCancelledError):
            waiting.result(PATIENCE)

    def test_a_host_that_closes_waits_for_what_ends(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(aio=ASYNC, other=COMMON)
        waiting = host.submit("aio.relay", "other.hold", barrier.keys, "in time")
        barrier.wait_arrived()
        barrier.open()
        host.close()
        assert waiting.result(PATIENCE) == "in time"


class TestBetweenPlugins:
    def test_awaiting_another_plugin(self, maker):
        host = maker.start(a=ASYNC, b=ASYNC, plain=COMMON)
        assert host.call("a.relay", "b.double", 4) == 8
        assert host.call("a.relay", "plain.identity", 5) == 5
        assert host.call("a.relay", "b.relay", "a.double", 5) == 10
        assert host.call("a.relay_many", "b.double", 500) == [2 * number for number in range(500)]

    def test_awaiting_itself(self, host):
        assert host.call("aio.relay", "aio.double", 4) == 8
        assert host.call("aio.relay", "aio.relay", "aio.plain_double", 4) == 8
        assert host.call("aio.relay_many", "aio.double", 500) == [2 * number for number in range(500)]

    def test_a_plain_call_of_itself_is_refused(self, host):
        with pytest.raises(PluginError, match="ReentrantCallError"):
            host.call("aio.relay_plainly", "aio.double", 4)

    def test_errors(self, maker):
        host = maker.start(a=ASYNC, b=ASYNC)
        assert host.call("a.catch", "b.fail") == "PluginError"
        assert host.call("a.catch", "z.fail") == "PluginNotFoundError"
        assert host.call("a.catch", "b.wait", 1, timeout_of_call=0.05) == "DeadlineExceededError"

    def test_what_is_given_up_gives_up_what_it_awaits(self, maker):
        host = maker.start(a=ASYNC, b=ASYNC)
        future = host.submit("a.relay", "b.wait", "far")
        while ("start", "far") not in host.call("b.entries"):
            pass
        future.cancel()
        while ("cancelled", "far") not in host.call("b.entries"):
            pass

    def test_a_deadline_reaches_what_it_awaits(self, maker):
        host = maker.start(a=ASYNC, b=ASYNC)
        with pytest.raises(DeadlineExceededError):
            host.call("a.relay", "b.wait", "far", timeout=0.3)
        while host.call("b.entries") == [("start", "far")]:
            pass
        assert host.call("b.entries") in ([], [("start", "far"), ("cancelled", "far")])

    def test_a_deadline_bounds_a_plain_call_that_a_coroutine_makes(self, maker, make_barrier):
        barrier = make_barrier()
        maker.write("b", COMMON, limits={"deadline": "1h"})
        host = maker.start(a=ASYNC)
        with pytest.raises(DeadlineExceededError, match="^a.wait_then_relay_plainly did not answer by its deadline"):
            host.call("a.wait_then_relay_plainly", "b.hold", barrier.keys, timeout=0.3)
        # b stands at the barrier still, but a waits for it no more.
        assert host.call("a.double", 2) == 4


HOOKS = """
import asyncio
import pyhost

steps = []

@pyhost.on_start
async def begin():
    await asyncio.sleep(0)
    steps.append("begin")

@pyhost.on_start
def begin_plainly():
    steps.append("begin plainly")

@pyhost.on_stop
async def finish():
    await asyncio.sleep(0)
    print("finish", len(steps), flush=True)

@pyhost.export
{kind}def said():
    return steps
"""


class TestHooks:
    @pytest.mark.parametrize("kind", ["", "async "], ids=["plain", "async"])
    def test_may_be_async_with_any_exports(self, maker, kind):
        host = maker.start(hooks=HOOKS.replace("{kind}", kind))
        assert host.call("hooks.said") == ["begin", "begin plainly"]
        host.close()
        assert printed(host, "hooks") == ["finish 2"]

    def test_a_failing_async_on_start_fails_the_plugin(self, maker):
        code = """
            import asyncio
            import pyhost

            @pyhost.on_start
            async def begin():
                await asyncio.sleep(0)
                raise LookupError("no wares")
            """
        maker.write("hooks", code, restart=NEVER)
        status = maker.start().status("hooks")
        assert (status.state, status.reason) == ("fatal", "LookupError: no wares")
        assert "in begin" in status.traceback_text

    def test_a_background_task_lives_from_start_to_stop(self, maker):
        host = maker.start(
            hooks="""
            import asyncio
            import pyhost

            ticks = 0
            task = None

            async def tick():
                global ticks
                try:
                    while True:
                        ticks += 1
                        await asyncio.sleep(0)
                finally:
                    print("cleaned up", flush=True)

            @pyhost.on_start
            async def begin():
                global task
                task = asyncio.create_task(tick())

            @pyhost.export
            async def count():
                return ticks
            """
        )
        before = host.call("hooks.count")
        while host.call("hooks.count") <= before:
            pass
        host.close()
        assert printed(host, "hooks") == ["cleaned up"]


def test_threads_of_its_own_executor_end_with_it(maker):
    host = maker.start(
        aio=ASYNC
        + """
@pyhost.export
async def in_thread(number):
    return await asyncio.to_thread(abs, number)
"""
    )
    assert host.call("aio.in_thread", -5) == 5
    host.close()


def test_several_interpreters_have_a_loop_each(maker):
    maker.write("aio", ASYNC, interpreters=3)
    host = maker.start()
    assert list(host.map("aio.double", range(600))) == [2 * number for number in range(600)]
    assert all(item.served for item in host.status("aio").interpreters)
    assert host.call("aio.relay", "aio.double", 4) == 8
