"""Plugins that fail while their host runs: what is restarted, what is given up, and that no caller is left waiting."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import PATIENCE
from support.plugins import COMMON, NEVER, touch_with

from pyhost import _core
from pyhost.errors import (
    CallCancelledError,
    CallError,
    DeadlineExceededError,
    PluginLoadError,
    PluginUnavailableError,
)
from pyhost.loader import LoadedPlugin
from pyhost.supervised import TIMELINE_LENGTH

LIMITS = {"deadline": "200ms", "grace": "50ms"}
LONG_LIMITS = {"deadline": "60s"}


def wait_until(condition):
    """Wait until it holds; a test that waits in vain is ended by the guard against hanging."""
    while not condition():
        pass


def wait_state(host, state, plugin="shop"):
    wait_until(lambda: host.status(plugin).state == state)
    return host.status(plugin)


def texts(host, plugin="shop"):
    return [entry.text for entry in host.status(plugin).timeline]


def identities(host, plugin="shop"):
    return [item.id for item in host.status(plugin).interpreters]


class Counter:
    """Counts how often plugin code came by, from whichever interpreter: ``line`` is that code."""

    def __init__(self, file):
        self._file = file
        self.line = f"with open({str(file)!r}, 'a') as file:\n    file.write('.')\n"

    @property
    def count(self):
        return len(self._file.read_text()) if self._file.exists() else 0


@pytest.fixture
def loads(tmp_path):
    return Counter(tmp_path / "loads")


class TestCrashLoops:
    @pytest.mark.parametrize("intensity", [0, 1, 3])
    def test_a_plugin_that_does_not_start_is_fatal_after_exactly_its_intensity(self, maker, loads, intensity):
        maker.write("shop", loads.line + "raise LookupError('no wares')", restart={"intensity": intensity})
        host = maker.start(other=COMMON)
        status = wait_state(host, "fatal")
        assert loads.count == 1 + intensity
        assert (status.reason, status.next_start) == ("LookupError: no wares", None)
        assert (status.restarts, status.restarts_total, status.intensity) == (intensity, intensity, intensity)
        assert "no wares" in status.traceback_text
        assert texts(host).count("did not start: LookupError: no wares") == 1 + intensity
        assert sum(text.startswith("restarts in ") for text in texts(host)) == intensity
        assert texts(host)[-1] == f"fatal: LookupError: no wares (restart.intensity is {intensity} within 60.0 s)"
        assert host.call("other.identity", 1) == 1

    def test_an_interpreter_that_breaks_again_and_again_is_fatal_after_exactly_its_intensity(self, maker, barrier):
        maker.write("shop", COMMON, limits=LIMITS, restart={"intensity": 2})
        host = maker.start()
        while host.status("shop").state != "fatal":
            # In backoff it is unavailable, and a call that waits for an interpreter which breaks then is given up.
            with pytest.raises((DeadlineExceededError, PluginUnavailableError, CallCancelledError)):
                host.call("shop.hold", barrier.keys)
        status = host.status("shop")
        assert (status.restarts_total, status.lost) == (2, 3)
        assert "has a call that runs on after its deadline" in status.reason
        assert texts(host)[-1].startswith("fatal: interpreter ")
        with pytest.raises(PluginUnavailableError):
            host.call("shop.identity", 1)
        barrier.release()
        wait_until(lambda: not host.status("shop").lost)
        assert host.status("shop").interpreters == ()

    def test_calls_in_backoff_are_refused_at_once(self, maker):
        maker.write("shop", "raise LookupError('no wares')", restart={"intensity": 100})
        host = maker.start()
        wait_until(lambda: host.status("shop").restarts_total == 4)
        wait_until(lambda: host.status("shop").next_start)
        assert host.status("shop").state == "backoff"
        with pytest.raises(PluginUnavailableError):
            host.call("shop.identity", 1)

    def test_what_is_put_right_comes_back_by_itself(self, maker, tmp_path):
        needed = tmp_path / "needed"
        maker.write("shop", f"import os\nos.stat({str(needed)!r})\n{COMMON}", restart={"intensity": 100})
        host = maker.start()
        assert host.status("shop").reason.startswith("FileNotFoundError")
        needed.touch()
        assert wait_state(host, "running").reason == ""
        assert host.call("shop.identity", 1) == 1

    def test_a_retry_reads_the_manifest_again(self, maker):
        maker.write("shop", "raise LookupError('no wares')", restart={"intensity": 100})
        host = maker.start()
        maker.write("shop", COMMON, interpreters=2)
        assert len(wait_state(host, "running").interpreters) == 2
        assert host.rescan().unchanged == ("shop",)

    def test_a_manifest_that_is_wrong_by_then_is_fatal(self, maker):
        maker.write("shop", "raise LookupError('no wares')", restart={"intensity": 100})
        host = maker.start()
        touch_with(maker.folder / "shop" / "plugin.toml", "[plugin\n")
        assert "is not TOML" in wait_state(host, "fatal").reason
        maker.write("shop", COMMON)
        assert host.rescan().loaded == ("shop",)

    def test_the_timeline_keeps_the_latest(self, maker):
        host = maker.start(shop=COMMON)
        for _ in range(TIMELINE_LENGTH + 5):
            host.reload_plugin("shop")
        timeline = host.status("shop").timeline
        assert len(timeline) == TIMELINE_LENGTH
        assert [entry.time for entry in timeline] == sorted(entry.time for entry in timeline)
        assert all(entry.text.startswith("reloaded in ") for entry in timeline)


class TestPolicies:
    def test_never_is_fatal_at_once(self, maker, loads):
        maker.write("shop", loads.line + "raise LookupError('no wares')", restart=NEVER)
        host = maker.start()
        assert (host.status("shop").state, loads.count) == ("fatal", 1)

    def test_never_goes_on_with_the_other_interpreters_until_there_is_none(self, maker, barrier):
        maker.write("shop", COMMON, limits=LIMITS, restart=NEVER, interpreters=2)
        host = maker.start()
        for left in (1, 0):
            with pytest.raises(DeadlineExceededError):
                host.call("shop.hold", barrier.keys)
            wait_until(lambda left=left: host.status("shop").lost == 2 - left)
            if left:
                assert host.status("shop").state == "running"
                assert host.call("shop.identity", 1) == 1
        status = host.status("shop")
        assert (status.state, status.restarts_total) == ("fatal", 0)
        assert "has a call that runs on after its deadline" in status.reason
        barrier.release()
        wait_until(lambda: not host.status("shop").lost)

    @pytest.mark.parametrize("policy", ["on-failure", "never"])
    @pytest.mark.parametrize("leave", ["sys.exit()", "sys.exit(0)", "raise SystemExit(None)"])
    def test_an_exit_with_code_0_stops_the_plugin(self, maker, policy, leave):
        maker.write("shop", f"import sys\n{leave}", restart={"policy": policy})
        host = maker.start()
        status = host.status("shop")
        assert status.state == "stopped"
        assert status.reason.startswith("SystemExit")
        assert host.rescan().unchanged == ("shop",)
        maker.write("shop", COMMON)
        assert host.rescan().loaded == ("shop",)

    def test_an_exit_in_on_start_stops_the_plugin_too(self, maker):
        host = maker.start(shop=COMMON + "@pyhost.on_start\ndef start():\n    exit(0)\n")
        assert (host.status("shop").state, host.status("shop").reason) == ("stopped", "SystemExit: 0")

    def test_always_restarts_what_exits(self, maker, loads):
        maker.write("shop", loads.line + "raise SystemExit(0)", restart={"policy": "always", "intensity": 2})
        host = maker.start()
        assert wait_state(host, "fatal").reason == "SystemExit: 0"
        assert loads.count == 3


class TestLostInterpreters:
    def test_one_with_a_call_that_does_not_end_is_replaced_and_its_waiting_calls_go_on(self, maker, barrier):
        maker.write("shop", COMMON, limits=LIMITS)
        host = maker.start()
        (before,) = identities(host)
        runaway = host.submit("shop.hold", barrier.keys)
        barrier.wait_arrived()
        waiting = [host.submit("shop.identity", number, timeout=PATIENCE) for number in range(20)]
        with pytest.raises(DeadlineExceededError):
            runaway.result(PATIENCE)
        assert [call.result(PATIENCE) for call in waiting] == list(range(20))
        status = host.status("shop")
        assert (status.state, status.lost, status.restarts) == ("running", 1, 1)
        assert [(item.state, item.id == before) for item in status.interpreters] == [("running", False), ("lost", True)]
        assert f"interpreter {before} has a call that runs on after its deadline" in texts(host)
        barrier.open()
        wait_until(lambda: not host.status("shop").lost)
        assert len(identities(host)) == 1
        assert host.call("shop.identity", 1) == 1

    def test_the_processor_time_of_one_that_comes_back_is_kept(self, maker, barrier):
        code = f"{COMMON}\nimport time\n@pyhost.export\ndef work(barrier):\n    time.sleep(0)\n"
        code += "    end = time.thread_time() + 0.05\n    while time.thread_time() < end:\n        pass\n    hold(barrier)\n"
        maker.write("shop", code, limits={"deadline": "1s", "grace": "50ms"})
        host = maker.start()
        with pytest.raises(DeadlineExceededError):
            host.call("shop.work", barrier.keys)
        wait_until(lambda: host.status("shop").lost)
        barrier.open()
        wait_until(lambda: not host.status("shop").lost)
        assert host.status("shop").cpu >= 0.05

    def test_the_plugin_s_other_interpreters_take_its_waiting_calls(self, maker, barrier):
        maker.write("shop", COMMON, limits=LIMITS, interpreters=2)
        host = maker.start()
        runaways = [host.submit("shop.hold", barrier.keys) for _ in range(2)]
        barrier.wait_arrived(2)
        waiting = [host.submit("shop.identity", number, timeout=PATIENCE) for number in range(20)]
        assert [call.result(PATIENCE) for call in waiting] == list(range(20))
        for runaway in runaways:
            assert isinstance(runaway.exception(PATIENCE), DeadlineExceededError)
        wait_until(lambda: len([item for item in host.status("shop").interpreters if item.state == "running"]) == 2)
        barrier.release()
        wait_until(lambda: not host.status("shop").lost)

    def test_one_that_is_lost_stays_known_through_a_reload(self, maker, barrier):
        maker.write("shop", COMMON, limits=LIMITS)
        host = maker.start()
        with pytest.raises(DeadlineExceededError):
            host.call("shop.hold", barrier.keys)
        wait_until(lambda: host.status("shop").lost)
        assert host.reload_plugin("shop").lost == 1
        barrier.open()
        wait_until(lambda: not host.status("shop").lost)
        assert _core.lost_count() == 0

    def test_an_event_loop_that_a_task_keeps_from_its_calls_is_replaced(self, maker, barrier):
        code = f"""{COMMON}
import asyncio

@pyhost.export
async def answer():
    return 1

@pyhost.export
async def begin(barrier):
    asyncio.get_running_loop().call_soon(hold, barrier)
"""
        maker.write("shop", code, limits=LIMITS)
        host = maker.start()
        host.call("shop.begin", barrier.keys)
        barrier.wait_arrived()
        assert host.call("shop.answer", timeout=PATIENCE) == 1
        assert host.status("shop").lost == 1
        assert any("has an event loop that something keeps from its calls" in text for text in texts(host))
        barrier.open()
        wait_until(lambda: not host.status("shop").lost)


class TestReloading:
    def test_a_reload_answers_while_the_old_version_finishes_its_calls(self, maker, barrier, tmp_path):
        stopped = tmp_path / "stopped"
        on_stop = f"@pyhost.on_stop\ndef leave():\n    open({str(stopped)!r}, 'w').close()\n"
        maker.write("shop", COMMON + on_stop, limits=LONG_LIMITS)
        host = maker.start()
        held = host.submit("shop.hold", barrier.keys, "old")
        barrier.wait_arrived()
        maker.write("shop", COMMON, limits=LONG_LIMITS)
        assert host.reload_plugin("shop").state == "running"
        assert host.call("shop.identity", "new") == "new"
        assert not held.done()
        assert not stopped.exists()
        barrier.open()
        assert held.result(PATIENCE) == "old"
        wait_until(stopped.exists)

    def test_the_next_reload_waits_for_the_end_of_the_version_before(self, maker, barrier):
        maker.write("shop", COMMON, limits=LONG_LIMITS)
        host = maker.start()
        held = host.submit("shop.hold", barrier.keys, "first")
        barrier.wait_arrived()
        host.reload_plugin("shop")
        with ThreadPoolExecutor(1) as pool:
            second = identities(host)
            reload = pool.submit(host.reload_plugin, "shop")
            assert host.call("shop.identity", 1) == 1
            assert (identities(host), reload.done()) == (second, False)
            barrier.open()
            assert reload.result(PATIENCE).state == "running"
        assert held.result(PATIENCE) == "first"
        assert identities(host) != second

    def test_a_failing_on_stop_of_the_old_version_is_told_in_the_timeline(self, maker):
        host = maker.start(shop=COMMON + "@pyhost.on_stop\ndef leave():\n    raise LookupError('no keys')\n")
        host.reload_plugin("shop")
        wait_until(lambda: "on_stop failed: LookupError: no keys" in texts(host))

    def test_a_version_that_does_not_start_is_no_failure(self, maker):
        host = maker.start(shop=COMMON)
        maker.write("shop", "raise LookupError('no wares')")
        assert host.rescan().failed == ("shop",)
        status = host.status("shop")
        assert (status.state, status.restarts, status.next_start) == ("running", 0, None)
        assert texts(host)[-1] == "version 0 did not start, the one before serves on: LookupError: no wares"

    def test_the_old_version_is_replaced_meanwhile_if_it_breaks(self, maker, make_barrier, tmp_path):
        old, new = make_barrier(), make_barrier()
        maker.write("shop", COMMON, limits=LIMITS)
        host = maker.start()
        # The first interpreter that comes by is the new version's; a replacement of the old one's is not held up.
        first = f"if not os.path.exists({str(tmp_path / 'first')!r}):\n    os.mkdir({str(tmp_path / 'first')!r})\n"
        maker.write("shop", f"{COMMON}\n{first}    hold({new.keys!r})\n", limits=LIMITS)
        with ThreadPoolExecutor(1) as pool:
            reload = pool.submit(host.reload_plugin, "shop")
            new.wait_arrived()
            assert host.status("shop").state == "reloading"
            with pytest.raises(DeadlineExceededError):
                host.call("shop.hold", old.keys)
            assert host.call("shop.identity", 1, timeout=PATIENCE) == 1
            wait_until(lambda: host.status("shop").lost == 1)
            new.open()
            assert reload.result(PATIENCE).state == "running"
        old.release()
        wait_until(lambda: not host.status("shop").lost)


class TestRequests:
    def test_who_asks_for_a_fatal_plugin_begins_anew(self, maker, loads):
        maker.write("shop", loads.line + "raise LookupError('no wares')", restart={"intensity": 1})
        host = maker.start()
        wait_state(host, "fatal")
        for action in (host.start_plugin, host.reload_plugin, host.restart_plugin):
            before = loads.count
            with pytest.raises(PluginLoadError, match="no wares"):
                action("shop")
            wait_state(host, "fatal")
            assert loads.count == before + 2
        maker.write("shop", COMMON)
        assert host.start_plugin("shop").restarts == 0

    def test_who_asks_for_one_in_backoff_need_not_wait(self, maker):
        maker.write("shop", "raise LookupError('no wares')", restart={"intensity": 100})
        host = maker.start()
        wait_until(lambda: host.status("shop").restarts_total == 3)
        maker.write("shop", COMMON)
        assert host.start_plugin("shop").state == "running"

    def test_one_that_is_stopped_in_backoff_is_not_tried_again(self, maker):
        maker.write("shop", "raise LookupError('no wares')", restart={"intensity": 100})
        host = maker.start()
        status = host.stop_plugin("shop")
        assert (status.state, status.reason, status.next_start) == ("stopped", "", None)
        maker.write("shop", COMMON)
        assert host.rescan().unchanged == ("shop",)

    def test_one_that_is_stopped_while_it_is_tried_again(self, maker, barrier, tmp_path):
        needed = tmp_path / "needed"
        code = f"{COMMON}\nif not os.path.exists({str(needed)!r}):\n    raise LookupError('no wares')\n"
        maker.write("shop", f"{code}\nhold({barrier.keys!r})\nwhile True: pass\n")
        host = maker.start()
        needed.touch()
        barrier.wait_arrived()
        barrier.open()
        assert host.status("shop").state == "starting"
        assert host.stop_plugin("shop").state == "stopped"
        assert _core.lost_count() == 0

    def test_draining_waits_for_the_calls_as_long_as_they_take(self, maker, barrier):
        maker.write("shop", COMMON, limits={"deadline": "1ms", "grace": "60s"})
        host = maker.start()
        held = host.submit("shop.hold", barrier.keys, "held", timeout=PATIENCE)
        barrier.wait_arrived()
        with ThreadPoolExecutor(1) as pool:
            draining = pool.submit(host.drain_plugin, "shop")
            assert wait_state(host, "draining").interpreters[0].running == 1
            with pytest.raises(PluginUnavailableError):
                host.call("shop.identity", 1)
            assert not draining.done()
            barrier.open()
            assert draining.result(PATIENCE).state == "stopped"
        assert held.result(PATIENCE) == "held"

    def test_draining_gives_up_what_takes_longer_than_its_timeout(self, maker):
        maker.write("shop", COMMON + "@pyhost.export\ndef spin():\n    while True: pass\n", limits=LONG_LIMITS)
        host = maker.start()
        spinning = host.submit("shop.spin")
        wait_until(lambda: host.status("shop").interpreters[0].running)
        assert host.drain_plugin("shop", timeout=0.05).state == "stopped"
        assert isinstance(spinning.exception(PATIENCE), CallCancelledError)

    def test_requests_to_one_plugin_do_not_wait_for_another(self, maker, barrier):
        maker.write("shop", COMMON, limits=LONG_LIMITS)
        host = maker.start(other=COMMON)
        host.submit("shop.hold", barrier.keys)
        barrier.wait_arrived()
        with ThreadPoolExecutor(1) as pool:
            draining = pool.submit(host.drain_plugin, "shop")
            wait_state(host, "draining")
            assert host.reload_plugin("other").state == "running"
            assert not draining.done()
            barrier.open()
            draining.result(PATIENCE)


class TestClosing:
    def test_a_host_with_plugins_in_every_state_closes(self, maker):
        maker.write("fatal", "raise LookupError", restart=NEVER)
        maker.write("backoff", "raise LookupError", restart={"intensity": 100})
        maker.write("stopped", "raise SystemExit(0)")
        maker.write("wrong", COMMON, interpreters=0)
        host = maker.start(running=COMMON)
        host.close()
        assert host.plugins() == []
        host.start()
        assert host.call("running.identity", 1) == 1

    def test_a_retry_that_does_not_come_back_is_cut_short(self, maker, barrier, tmp_path):
        needed = tmp_path / "needed"
        code = f"{COMMON}\nif not os.path.exists({str(needed)!r}):\n    raise LookupError('no wares')\n"
        maker.write("shop", f"{code}\nos.write({barrier.keys[0]}, b'.')\nwhile True: pass\n")
        host = maker.start()
        needed.touch()
        barrier.wait_arrived()
        host.close()
        assert (host.plugins(), _core.lost_count()) == ([], 0)

    def test_a_retry_that_has_only_begun_is_waited_for(self, maker, monkeypatch):
        maker.write("shop", "raise LookupError('no wares')", restart={"intensity": 100})
        host = maker.start()
        has_begun, may_go_on, begin = threading.Event(), threading.Event(), LoadedPlugin.begin

        def hold(self, **options):
            has_begun.set()
            may_go_on.wait()
            begin(self, **options)

        monkeypatch.setattr(LoadedPlugin, "begin", hold)
        has_begun.wait()
        before = _core.ends()[0]
        with ThreadPoolExecutor(1) as pool:
            closing = pool.submit(host.close)
            wait_until(lambda: host.status("shop").state == "stopped")
            with pytest.raises(TimeoutError):
                closing.result(0.1)
            may_go_on.set()
            closing.result(PATIENCE)
        assert _core.ends()[0] == before + 1

    def test_a_drain_without_end_is_cut_short(self, maker):
        maker.write("shop", COMMON + "@pyhost.export\ndef spin():\n    while True: pass\n", limits=LONG_LIMITS)
        host = maker.start()
        spinning = host.submit("shop.spin")
        wait_until(lambda: host.status("shop").interpreters[0].running)
        with ThreadPoolExecutor(1) as pool:
            draining = pool.submit(host.drain_plugin, "shop")
            wait_state(host, "draining")
            host.close(grace=0.05)
            assert draining.result(PATIENCE).state == "stopped"
        assert isinstance(spinning.exception(PATIENCE), CallCancelledError)


class TestRecycling:
    def test_an_interpreter_that_has_served_enough_is_replaced_and_no_call_is_lost(self, maker):
        maker.write("shop", COMMON, restart={"max_calls": 50}, interpreters=2)
        host = maker.start()
        before = set(identities(host))
        stop = threading.Event()

        def work(number):
            answers = 0
            while not stop.is_set():
                assert host.call("shop.identity", number) == number
                answers += 1
            return answers

        with ThreadPoolExecutor(3) as pool:
            workers = [pool.submit(work, number) for number in range(3)]
            wait_until(lambda: not before & set(identities(host)) or any(worker.done() for worker in workers))
            stop.set()
        assert all(worker.result() > 0 for worker in workers)
        status = host.status("shop")
        assert (status.state, status.restarts_total, status.reason) == ("running", 0, "")
        assert any("is recycled: it has served " in text for text in texts(host))
        assert any(" takes the place of " in text for text in texts(host))

    def test_its_on_stop_runs_and_a_failure_of_it_is_told(self, maker, caplog):
        on_stop = "@pyhost.on_stop\ndef leave():\n    raise LookupError('no keys')\n"
        maker.write("shop", COMMON + on_stop, restart={"max_calls": 1})
        host = maker.start()
        assert host.call("shop.identity", 1) == 1
        wait_until(lambda: "on_stop failed: LookupError: no keys" in texts(host))
        assert caplog.text.count("plugin shop: on_stop failed:\nTraceback") == 1

    def test_one_that_has_grown_enough_is_replaced(self, maker):
        code = COMMON + "kept = []\n@pyhost.export\ndef keep(size):\n    kept.append(bytes(size))\n"
        maker.write("shop", code, restart={"max_memory_growth": "4MiB"})
        host = maker.start()
        (before,) = identities(host)
        host.call("shop.keep", 1 << 20)
        host.call("shop.keep", 8 << 20)
        wait_until(lambda: before not in identities(host))
        assert any("(restart.max_memory_growth is 4 MiB)" in text for text in texts(host))
        assert host.status("shop").interpreters[0].memory.current < 8 << 20

    def test_a_successor_that_does_not_start_leaves_the_worn_one_serving(self, maker):
        maker.write("shop", COMMON, restart={"max_calls": 1})
        host = maker.start()
        before = identities(host)
        file = maker.folder / "shop" / "shop.py"
        touch_with(file, "raise LookupError('no wares')")
        assert host.call("shop.identity", 1) == 1
        wait_until(lambda: host.status("shop").reason)
        status = host.status("shop")
        assert (status.state, status.reason, status.restarts) == ("running", "LookupError: no wares", 0)
        assert identities(host)[0] == before[0]
        assert host.call("shop.identity", 2) == 2

    def test_a_call_under_way_is_finished_by_the_worn_one(self, maker, barrier):
        maker.write("shop", COMMON, limits=LONG_LIMITS, restart={"max_calls": 1}, interpreters=1)
        host = maker.start()
        (before,) = identities(host)
        assert host.call("shop.identity", 1) == 1
        held = host.submit("shop.hold", barrier.keys, "held")
        barrier.wait_arrived()
        wait_until(lambda: before not in identities(host))
        assert host.call("shop.identity", 2) == 2
        barrier.release()
        assert held.result(PATIENCE) == "held"


def test_every_call_is_answered_while_interpreters_break(maker, barrier):
    maker.write("shop", COMMON, limits=LIMITS, restart={"intensity": 1000}, interpreters=2)
    host = maker.start()
    outcomes = []

    def work():
        while len(outcomes) < 2000:
            try:
                outcomes.append(host.call("shop.identity", 7, timeout=PATIENCE))
            except CallError as error:
                outcomes.append(type(error).__name__)

    with ThreadPoolExecutor(3) as pool:
        workers = [pool.submit(work) for _ in range(3)]
        for _ in range(3):
            runaway = host.submit("shop.hold", barrier.keys)
            assert isinstance(
                runaway.exception(PATIENCE), (DeadlineExceededError, PluginUnavailableError, CallCancelledError)
            )
        for worker in workers:
            worker.result(PATIENCE)
    assert set(outcomes) <= {7, "PluginUnavailableError", "CallCancelledError"}
    barrier.release()
    wait_until(lambda: not host.status("shop").lost)
