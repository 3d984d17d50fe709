"""What an async plugin does to its own event loop: the loop goes on, and every call is answered."""

from __future__ import annotations

import pytest
from support.plugins import COMMON

from pyhost import _core, loader
from pyhost.errors import PluginError

PLUGIN = (
    COMMON
    + """
import asyncio
import sys

@pyhost.export
async def run(code):
    names = {"asyncio": asyncio, "sys": sys, "loop": asyncio.get_running_loop(), "kept": kept}
    lines = "".join(f"    {line}\\n" for line in code.splitlines())
    exec(compile(f"async def body():\\n{lines}", "<code>", "exec"), names)
    return await names["body"]()

kept = []

@pyhost.export
async def two():
    await asyncio.sleep(0)
    return 2
"""
)


@pytest.fixture(autouse=True)
def short_limit(monkeypatch):
    """What does not end by itself is interrupted soon."""
    monkeypatch.setattr(loader, "STOP_LIMIT", 0.5)


@pytest.fixture
def host(maker):
    return maker.start(plugin=PLUGIN)


def serves(host) -> bool:
    return [host.call("plugin.identity", 1), host.call("plugin.two"), host.call("plugin.two")] == [1, 2, 2]


# What would end the loop, or keep it from the next call.
ENDS = {
    "SystemExit in a callback": "loop.call_soon(sys.exit, 3)",
    "KeyboardInterrupt in a callback": "def interrupt(): raise KeyboardInterrupt\nloop.call_soon(interrupt)",
    "SystemExit in a task": "async def leave(): sys.exit(3)\nkept.append(asyncio.create_task(leave()))",
    "SystemExit in the exception handler": (
        "loop.set_exception_handler(lambda *rest: sys.exit(4))\nloop.call_soon(lambda: 1 / 0)"
    ),
    "an exception handler that raises": (
        "loop.set_exception_handler(lambda *rest: 1 / 0)\nloop.call_soon(lambda: 1 / 0)"
    ),
    "an interrupt while another exception is told": (
        "import logging, pyhost\n"
        "class Interrupted(logging.Handler):\n"
        "    def emit(self, record):\n"
        "        logging.getLogger('asyncio').removeHandler(self)\n"
        "        raise pyhost.DeadlineInterrupt\n"
        "logging.getLogger('asyncio').addHandler(Interrupted())\n"
        "loop.call_soon(sys.exit, 3)"
    ),
    "loop.stop": "loop.stop()",
    "loop.stop, again and again": "def stop():\n    loop.stop()\n    loop.call_soon(stop)\nstop()",
    "another loop": "asyncio.set_event_loop(None)",
    "an eager task factory": "loop.set_task_factory(asyncio.eager_task_factory)",
    "debug mode": "loop.set_debug(True)",
    "a background task": "async def wait(): await asyncio.sleep(1000)\nkept.append(asyncio.create_task(wait()))",
    "a background task that fails": "async def fail(): 1 / 0\nkept.append(asyncio.create_task(fail()))",
    "an async generator that is left open": (
        "async def numbers():\n    while True: yield 1\nkept.append(numbers())\nawait anext(kept[-1])"
    ),
    "a finished call of the default executor": "await asyncio.to_thread(abs, -1)",
}


@pytest.mark.parametrize("name", ENDS)
def test_the_loop_goes_on(host, name):
    assert host.call("plugin.run", ENDS[name]) is None
    assert serves(host)
    host.close()
    assert _core.lost_count() == 0


def test_cancelling_all_tasks_fails_the_calls_under_way_and_no_other(host):
    waiting = host.submit("plugin.run", "kept.append(1)\nawait asyncio.Event().wait()")
    while not host.call("plugin.run", "return len(kept)"):
        pass
    host.call("plugin.run", "for task in asyncio.all_tasks() - {asyncio.current_task()}: task.cancel()")
    with pytest.raises(PluginError, match="CancelledError"):
        waiting.result()
    assert serves(host)


# (the code, what its caller is told)
ERRORS = {
    "its own task is cancelled": ("asyncio.current_task().cancel()\nawait asyncio.sleep(1)", "CancelledError"),
    "closing the loop": ("loop.close()", "RuntimeError: Cannot close a running event loop"),
    "asyncio.run": ("asyncio.run(asyncio.sleep(0))", "cannot be called from a running event loop"),
    "a signal handler": ("loop.add_signal_handler(15, print)", "set_wakeup_fd only works in main thread"),
    "a group": (
        "async def fail(): 1 / 0\nasync with asyncio.TaskGroup() as group:\n    group.create_task(fail())",
        r"ExceptionGroup: unhandled errors in a TaskGroup \(1 sub-exception\)",
    ),
    "a bad awaitable": ("class Odd:\n    def __await__(self): yield 5\nawait Odd()", "Task got bad yield: 5"),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ERRORS)
def test_it_is_an_error_of_the_call(host, name):
    code, message = ERRORS[name]
    with pytest.raises(PluginError, match=message):
        host.call("plugin.run", code)
    assert serves(host)


def test_a_task_factory_that_raises_fails_the_calls(host):
    host.call("plugin.run", "loop.set_task_factory(lambda *rest, **options: 1 / 0)")
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        host.call("plugin.two")
    assert host.call("plugin.identity", 1) == 1


SWALLOW = """
while True:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        pass
"""
# What does not end when it is cancelled: (the code, what is said of it)
STUBBORN = {
    "a task that swallows its cancellation": (
        (
            f"async def wait():\n{''.join(f'    {line}' + chr(10) for line in SWALLOW.splitlines())}"
            "kept.append(asyncio.create_task(wait(), name='stubborn'))\nawait asyncio.sleep(0)"
        ),
        "after they were cancelled: stubborn",
    ),
    "an async generator that does not close": (
        (
            "async def numbers():\n    try:\n        while True: yield 1\n    finally: await asyncio.sleep(1000)\n"
            "kept.append(numbers())\nawait anext(kept[-1])"
        ),
        "TimeoutError",
    ),
}


@pytest.mark.parametrize("name", STUBBORN)
def test_what_does_not_end_is_left_behind(host, caplog, name):
    code, message = STUBBORN[name]
    host.call("plugin.run", code)
    host.close()
    assert _core.lost_count() == 0
    assert message in caplog.text


@pytest.mark.parametrize("start", ["asyncio.create_task(spin())", "loop.call_soon(lambda: spin().send(None))"])
def test_a_task_or_a_callback_that_never_yields_is_interrupted_at_the_end(host, start):
    host.call("plugin.run", f"async def spin():\n    while True: pass\nkept.append({start})")
    with pytest.raises(TimeoutError):
        host.call("plugin.two", timeout=0.1)
    host.close(grace=0.1)
    assert _core.lost_count() == 0


def test_a_call_that_swallows_its_cancellation_does_not_keep_the_plugin_from_ending(host):
    with pytest.raises(TimeoutError):
        host.call("plugin.run", SWALLOW, timeout=0.1)
    assert serves(host)
    host.close(grace=0.1)
    assert _core.lost_count() == 0


def test_a_hook_that_waits_for_ever_ends_at_its_limit(maker, caplog):
    maker.write(
        "starting",
        "import asyncio, pyhost\n@pyhost.on_start\nasync def start(): await asyncio.Event().wait()",
        limits={"start": "300ms"},
    )
    maker.write("stopping", "import asyncio, pyhost\n@pyhost.on_stop\nasync def stop(): await asyncio.Event().wait()")
    host = maker.start()
    assert host.status("starting").reason == "it was not ready within 0.3 s (limits.start)"
    host.close()
    assert _core.lost_count() == 0
    assert "DeadlineInterrupt" in caplog.text
