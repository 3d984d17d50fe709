"""Memory limits: what a plugin beyond its own meets, and that nobody else does."""

from __future__ import annotations

import json
import threading

import pytest
from support.plugins import COMMON, NEVER

from pyhost.errors import MemoryLimitError, PluginError, PluginUnavailableError

MEBIBYTE = 1 << 20
LIMIT = 24 * MEBIBYTE

HOG = (
    COMMON
    + """
import asyncio
import threading

kept = []
state = []

@pyhost.export
def append():
    things = []
    while True:
        things.append(object())

@pyhost.export
def at_once(size):
    return len(bytes(size))

@pyhost.export
def in_c():
    return list(range(10**9))

@pyhost.export
def leak_in_thread():
    raised = []
    def leak():
        try:
            while True:
                kept.append(bytes(1000))
        except MemoryError as error:
            raised.append(type(error).__name__)
    thread = threading.Thread(target=leak)
    thread.start()
    thread.join()
    return raised

@pyhost.export
def handle():
    things = []
    try:
        while True:
            things.append(bytes(10_000))
    except MemoryError as error:
        things.clear()
        return str(error)

@pyhost.export
def swallow():
    things = []
    refused = 0
    while refused < 50:
        try:
            while True:
                things.append(bytes(10_000))
        except pyhost.MemoryLimitReached:
            pass
        except MemoryError:
            refused += 1
    return refused

@pyhost.export
def swallow_for_ever(barrier):
    things = []
    told = False
    while True:
        try:
            while True:
                things.append(bytes(10_000))
        except pyhost.MemoryLimitReached:
            pass
        except MemoryError:
            if not told:
                os.write(barrier[0], b".")
            told = True

@pyhost.export
async def append_in_steps():
    things = []
    while True:
        things.append(bytes(1000))
        if len(things) % 1000 == 0:
            await asyncio.sleep(0)

@pyhost.export(direct=True)
def append_directly():
    append()

@pyhost.export
def remember(value):
    state.append(value)
    return list(state)
"""
)
SYNCHRONOUS_HOG = HOG.replace("async def append_in_steps", "def append_in_steps").replace(
    "await asyncio.sleep(0)", "pass"
)


ONCE = {"intensity": 1}
"""A replacement that does not start is fatal."""


def start(maker, code=SYNCHRONOUS_HOG, name="hog", **manifest):
    maker.write(name, code, limits={"memory": LIMIT, "deadline": 30}, **manifest)
    return maker.start()


def identities(host, plugin="hog"):
    return [item.id for item in host.status(plugin).interpreters]


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("append", ()),
        ("at_once", (10**10,)),
        ("at_once", (LIMIT,)),
        ("in_c", ()),
        ("append_directly", ()),
        ("append_in_steps", ()),
    ],
)
def test_a_call_beyond_the_limit_ends_and_the_interpreter_serves_on(maker, function, args):
    host = start(maker)
    before = identities(host)
    host.call("hog.remember", 1)
    with pytest.raises(MemoryLimitError) as caught:
        host.call(f"hog.{function}", *args)
    assert (caught.value.limit, caught.value.plugin) == (LIMIT, "hog")
    assert caught.value.peak <= LIMIT + LIMIT // 4
    assert "plugin 'hog' is over its memory limit of 24.0 MiB (peak " in str(caught.value)
    assert f"in {function.removesuffix('_directly')}" in caught.value.traceback_text
    assert host.call("hog.remember", 2) == [1, 2]
    assert identities(host) == before


def test_a_coroutine_beyond_the_limit_ends_and_the_others_go_on(maker):
    host = start(maker, HOG)
    with pytest.raises(MemoryLimitError):
        host.call("hog.append_in_steps")
    assert host.call("hog.remember", 1) == [1]


def test_a_plugin_can_handle_the_error_and_go_on(maker):
    host = start(maker)
    for _ in range(3):
        assert host.call("hog.handle") == "the plugin holds more memory than limits.memory allows"
    (interpreter,) = host.status("hog").interpreters
    assert (interpreter.memory.raised, interpreter.memory.refused) == (3, 0)


def test_a_thread_of_the_plugin_that_leaks_gets_the_error_itself(maker):
    host = start(maker)
    assert host.call("hog.leak_in_thread") == ["MemoryLimitReached"]
    assert host.call("hog.identity", 1) == 1


def wait_replaced(host, count=1, plugin="hog"):
    """Wait until so many interpreters were replaced, and the plugin serves."""
    while host.status(plugin).replaced < count:
        pass
    return host.call(f"{plugin}.identity", "there")


def test_an_interpreter_past_the_hard_limit_is_replaced(maker):
    host = start(maker)
    (old,) = identities(host)
    host.call("hog.remember", 1)
    assert host.call("hog.swallow") == 50
    assert wait_replaced(host) == "there"
    assert host.call("hog.remember", 2) == [2]
    assert identities(host) != [old]
    status = host.status("hog")
    assert (status.state, status.replaced, status.reason) == ("running", 1, "")
    assert (status.function("swallow").calls, status.function("remember").calls) == (1, 2)


def test_the_interpreter_is_replaced_while_its_call_still_runs(maker, barrier):
    host = start(maker)
    (old,) = identities(host)
    call = host.submit("hog.swallow_for_ever", barrier.keys, timeout=2)
    barrier.wait_arrived()
    assert wait_replaced(host) == "there"
    assert identities(host) != [old]
    assert not call.done()
    call.cancel()


def test_calls_that_wait_for_a_condemned_interpreter_end_with_the_error(maker, barrier):
    host = start(maker)
    running = host.submit("hog.swallow_for_ever", barrier.keys, timeout=2)
    waiting = [host.submit("hog.identity", i) for i in range(5)]
    for call in waiting:
        with pytest.raises(MemoryLimitError, match="over its memory limit of 24.0 MiB") as caught:
            call.result()
        assert caught.value.traceback_text == ""
    running.cancel()
    assert wait_replaced(host) == "there"


def test_the_plugin_s_other_interpreters_serve_meanwhile(maker):
    host = start(maker, interpreters=2)
    before = set(identities(host))
    host.call("hog.swallow")
    wait_replaced(host)
    assert len(before & set(identities(host))) == 1
    assert len(identities(host)) == 2


def test_a_replacement_that_does_not_start_fails_the_plugin_and_a_rescan_brings_it_back(maker):
    flag = maker.folder.parent / "flag"
    code = f"import os\nif os.path.exists({str(flag)!r}):\n    raise RuntimeError('not now')\n" + SYNCHRONOUS_HOG
    host = start(maker, code, restart=ONCE)
    flag.touch()
    host.call("hog.swallow")
    while host.status("hog").state != "fatal":
        pass
    assert host.status("hog").reason == "RuntimeError: not now"
    with pytest.raises(PluginUnavailableError):
        host.call("hog.identity", 1)
    flag.unlink()
    assert host.rescan().loaded == ("hog",)
    assert host.call("hog.identity", 1) == 1


def test_exports_that_have_changed_are_not_called_by_their_old_places(maker):
    host = start(maker, restart=ONCE)
    file = maker.folder / "hog" / "hog.py"
    file.write_text(
        file.read_text().replace("def append():", "def added():\n    return 0\n\n@pyhost.export\ndef append():")
    )
    host.call("hog.swallow")
    while host.status("hog").state != "fatal":
        pass
    assert "exports have changed since it was loaded; reload it" in host.status("hog").reason


def test_importing_beyond_the_limit_fails_the_plugin_with_the_limit(maker):
    host = start(maker, "kept = [bytes(1000) for _ in range(10**6)]", restart=NEVER)
    status = host.status("hog")
    assert status.state == "fatal"
    assert status.reason.startswith("limits.memory is 24 MiB, and importing it took 24")
    assert "MemoryLimitReached" in status.traceback_text


def test_a_limit_below_an_empty_interpreter_is_a_manifest_error(maker):
    manifest = maker.write("hog", COMMON, limits={"memory": "1MiB"}, restart=NEVER) / "plugin.toml"
    host = maker.start(other=COMMON)
    status = host.status("hog")
    assert status.state == "fatal"
    assert status.reason.startswith(f"{manifest}: limits.memory is 1 MiB; allowed: more than ")
    assert host.call("other.identity", 1) == 1


def test_a_plugin_s_memory_error_of_its_own_is_no_limit(maker):
    host = start(maker, COMMON + "@pyhost.export\ndef fail():\n    raise MemoryError('mine')\n")
    with pytest.raises(PluginError, match="MemoryError: mine"):
        host.call("hog.fail")


HOGS = {
    "a list that grows": ("append", ()),
    "ten gigabytes at once": ("at_once", (10**10,)),
    "a leak in a thread": ("leak_in_thread", ()),
    "one that goes on": ("swallow", ()),
}


@pytest.mark.parametrize("hog", HOGS)
def test_the_process_stays_within_the_limit_and_other_plugins_see_nothing(run_program, hog):
    function, args = HOGS[hog]
    outcome = run_program(
        """
        import json, threading

        def high_water():
            with open("/proc/self/status") as lines:
                return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024

        maker.write("hog", HOG, limits={"memory": "64MiB", "deadline": 20})
        host = maker.start(other=COMMON)
        calls = [host.submit("other.identity", i) for i in range(100)]
        before = high_water()
        try:
            host.call("hog." + FUNCTION, *json.loads(ARGS))
            error = ""
        except pyhost.MemoryLimitError as caught:
            error = str(caught)
        calls += [host.submit("other.identity", i) for i in range(100, 200)]
        answers = [call.result() for call in calls]
        print(json.dumps([answers == list(range(200)), error, high_water() - before]))
        maker.close()
        """,
        HOG=SYNCHRONOUS_HOG,
        FUNCTION=function,
        ARGS=json.dumps(args),
    )
    assert outcome.code == 0, outcome.errors
    right, error, grown = json.loads(outcome.output)
    assert right
    assert bool(error) == (function in ("append", "at_once"))
    assert grown <= (64 + 32) * MEBIBYTE


def test_hogs_on_many_threads_end_one_by_one_and_the_plugin_goes_on(maker):
    host = start(maker, interpreters=2)
    outcomes = []

    def hog():
        try:
            host.call("hog.append")
        except MemoryLimitError as error:
            outcomes.append(error.limit)

    threads = [threading.Thread(target=hog) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [LIMIT] * 8
    assert host.call("hog.identity", 1) == 1


def test_a_slow_rescan_does_not_hold_up_a_replacement(maker, barrier):
    host = start(maker)
    slow = COMMON + f"os.write({barrier.keys[0]}, b'.')\nos.read({barrier.keys[1]}, 1)\n"
    maker.write("slow", slow)
    rescan = threading.Thread(target=host.rescan)
    rescan.start()
    barrier.wait_arrived()
    host.call("hog.swallow")
    assert wait_replaced(host) == "there"
    assert rescan.is_alive()
    barrier.open()
    rescan.join()


def test_closing_waits_for_its_grace_and_not_for_the_deadline_of_a_condemned_call(run_program):
    outcome = run_program(
        """
        import time
        maker.write("hog", HOG, limits={"memory": "24MiB", "deadline": "600s"})
        host = maker.start()
        barrier = Barrier()
        call = host.submit("hog.swallow_for_ever", barrier.keys)
        barrier.wait_arrived()
        while not host.status("hog").replaced:
            pass
        host.close(grace=0.1)
        try:
            call.result()
        except pyhost.CallError as error:
            print(type(error).__name__)
        """,
        HOG=SYNCHRONOUS_HOG,
    )
    assert outcome.output == "MemoryLimitError\n", outcome.errors


def test_describing_an_exception_cannot_pass_the_limit_by(maker):
    code = """
kept = []

class Hungry(Exception):
    def __str__(self):
        kept.extend(bytes(10_000) for _ in range(100_000))
        return "fed"

@pyhost.export
def fail():
    raise Hungry
"""
    host = start(maker, COMMON + code)
    (interpreter,) = host._plugins["hog"]._version.members
    with pytest.raises(PluginError):
        host.call("hog.fail")
    assert interpreter.memory[1] <= LIMIT + LIMIT // 4 + 8 * MEBIBYTE


ENDING = (
    COMMON
    + """
class Last:
    def __init__(self):
        self.call = pyhost.call

    def __del__(self):
        self.call("keeper.keep", 20_000)

last = Last()
"""
)
KEEPER = (
    COMMON
    + """
kept = []

@pyhost.export(direct=True)
def keep(count):
    kept.append([[i] for i in range(count)])

@pyhost.export
def sum_all():
    return sum(item[0] for part in kept for item in part)
"""
)


def test_a_destructor_that_calls_directly_while_its_interpreter_ends_harms_nobody(run_program):
    outcome = run_program(
        """
        host = maker.start(ending=ENDING, keeper=KEEPER)
        for _ in range(3):
            host.restart_plugin("ending")
        total = host.call("keeper.sum_all")
        print(total > 0 and total % sum(range(20_000)) == 0)
        maker.close()
        """,
        ENDING=ENDING,
        KEEPER=KEEPER,
    )
    assert (outcome.code, outcome.output) == (0, "True\n"), outcome.errors
