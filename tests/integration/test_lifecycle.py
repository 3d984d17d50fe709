"""Plugins that come, change and go while their host runs."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import PATIENCE
from support.logs import printed
from support.plugins import COMMON, NEVER, remove_plugin, touch_with

from pyhost.errors import ManifestError, PluginLoadError, PluginNotFoundError, PluginUnavailableError
from pyhost.host import ScanReport


def version(number, extra=""):
    return f"{COMMON}\n@pyhost.export\ndef version():\n    return {number}\n{extra}"


def report(**names):
    return ScanReport(**{"loaded": (), "replaced": (), "removed": (), "failed": (), "unchanged": ()} | names)


class TestRescan:
    def test_every_kind_of_change_at_once(self, maker):
        host = maker.start(kept=version(1), changed=version(1), gone=version(1), broken=version(1))
        maker.write("changed", version(2))
        maker.write("broken", "import nothing_such")
        maker.write("new", version(1))
        maker.write("bad", "import nothing_such", restart=NEVER)
        remove_plugin(maker.folder, "gone")
        assert host.rescan() == report(
            loaded=("new",), replaced=("changed",), removed=("gone",), failed=("bad", "broken"), unchanged=("kept",)
        )
        assert {plugin.name: plugin.state for plugin in host.plugins()} == {
            "bad": "fatal",
            "broken": "running",
            "changed": "running",
            "kept": "running",
            "new": "running",
        }
        assert [host.call(f"{name}.version") for name in ("kept", "changed", "new", "broken")] == [1, 2, 1, 1]
        with pytest.raises(PluginNotFoundError):
            host.call("gone.version")
        with pytest.raises(PluginUnavailableError):
            host.call("bad.version")

    def test_nothing_new(self, maker):
        host = maker.start(one=version(1), two=version(1))
        ids = [plugin.interpreters[0].id for plugin in host.plugins()]
        for _ in range(3):
            assert host.rescan() == report(unchanged=("one", "two"))
        assert [plugin.interpreters[0].id for plugin in host.plugins()] == ids

    def test_a_broken_change_says_why_while_the_old_version_serves(self, maker):
        host = maker.start(shop=version(1))
        maker.write("shop", "raise LookupError('no wares')")
        assert host.rescan() == report(failed=("shop",))
        status = host.status("shop")
        assert (status.state, status.reason) == ("running", "LookupError: no wares")
        assert "no wares" in status.traceback_text
        assert host.call("shop.version") == 1
        maker.write("shop", version(2))
        assert host.rescan() == report(replaced=("shop",))
        assert (host.status("shop").reason, host.status("shop").traceback_text) == ("", "")
        assert host.call("shop.version") == 2

    def test_a_broken_change_is_tried_again(self, maker):
        host = maker.start(shop=version(1))
        maker.write("shop", "raise LookupError('no wares')")
        for _ in range(3):
            assert host.rescan() == report(failed=("shop",))
        assert host.call("shop.version") == 1

    def test_a_change_that_is_taken_back_is_none(self, maker):
        host = maker.start(shop=version(1))
        module = maker.folder / "shop" / "shop.py"
        before = module.read_text(), module.stat().st_mtime_ns
        maker.write("shop", "raise LookupError('no wares')")
        manifest = maker.folder / "shop" / "plugin.toml"
        assert host.rescan() == report(failed=("shop",))
        module.write_text(before[0])
        os.utime(module, ns=(before[1], before[1]))
        os.utime(manifest, ns=(before[1] - 10**9, before[1] - 10**9))
        assert host.rescan().failed == ()
        assert host.status("shop").reason == ""

    @pytest.mark.parametrize("text", ["[plugin\n", '[plugin]\nname = "shop"\ninterpreters = 0\n'])
    def test_a_broken_manifest_of_a_running_plugin(self, maker, text):
        host = maker.start(shop=version(1))
        touch_with(maker.folder / "shop" / "plugin.toml", text)
        assert host.rescan() == report(failed=("shop",))
        assert host.status("shop").state == "running"
        assert str(maker.folder / "shop" / "plugin.toml") in host.status("shop").reason
        assert host.call("shop.version") == 1
        maker.write("shop", version(2))
        assert host.rescan() == report(replaced=("shop",))
        assert host.call("shop.version") == 2

    def test_what_failed_is_tried_again(self, maker, tmp_path):
        maker.write("shop", f"import os\nos.stat({str(tmp_path / 'needed')!r})\n{version(1)}", restart=NEVER)
        host = maker.start()
        assert host.status("shop").state == "fatal"
        assert host.rescan() == report(failed=("shop",))
        (tmp_path / "needed").touch()
        assert host.rescan() == report(loaded=("shop",))
        assert host.call("shop.version") == 1

    def test_a_bad_manifest_is_read_again(self, maker):
        host = maker.start()
        touch_with(maker.folder / "shop" / "plugin.toml", "[plugin\n")
        assert host.rescan() == report(failed=("shop",))
        maker.write("shop", version(1))
        assert host.rescan() == report(loaded=("shop",))

    def test_a_plugin_that_is_renamed(self, maker):
        host = maker.start(shop=version(1))
        touch_with(maker.folder / "shop" / "plugin.toml", '[plugin]\nname = "market"\nmodule = "shop"\n')
        assert host.rescan() == report(loaded=("market",), removed=("shop",))
        assert host.call("market.version") == 1

    def test_other_numbers_of_interpreters(self, maker):
        host = maker.start(shop=version(1))
        for count in (3, 1, 2):
            maker.write("shop", version(1), interpreters=count)
            assert host.rescan() == report(replaced=("shop",))
            assert len(host.status("shop").interpreters) == count
            assert host.call("shop.version") == 1

    def test_other_functions(self, maker):
        host = maker.start(shop=version(1))
        handle = host.function("shop.version")
        assert handle() == 1
        maker.write("shop", COMMON)
        host.rescan()
        with pytest.raises(LookupError, match="plugin 'shop' exports no function 'version'"):
            handle()
        maker.write("shop", version(3))
        host.rescan()
        assert handle() == 3

    def test_single_files(self, maker):
        host = maker.start()
        file = touch_with(maker.folder / "shop.py", version(1))
        assert host.rescan() == report(loaded=("shop",))
        touch_with(file, version(2))
        assert host.rescan() == report(replaced=("shop",))
        assert host.call("shop.version") == 2
        file.unlink()
        assert host.rescan() == report(removed=("shop",))

    def test_a_change_within_the_same_second_is_a_change(self, run_program):
        # Python's bytecode cache goes by whole seconds and the size: it must not bring the old code back.
        outcome = run_program("""
            def write(number, moment):
                file = maker.folder / "shop.py"
                file.parent.mkdir(exist_ok=True)
                file.write_text(f"import pyhost\\n@pyhost.export\\ndef version():\\n    return {number}\\n")
                os.utime(file, ns=(moment, moment))

            second = 1_700_000_000 * 10**9
            write(1, second)
            host = maker.start()
            print(host.call("shop.version"))
            write(2, second + 10**8)
            print(host.rescan().replaced, host.call("shop.version"))
            maker.close()
        """)
        assert (outcome.code, outcome.output) == (0, "1\n('shop',) 2\n"), outcome.errors


class TestWhileCalled:
    @pytest.mark.parametrize("mark", ["@pyhost.export", "@pyhost.export(direct=True)"])
    def test_no_call_is_dropped(self, maker, mark):
        def version(number):
            return f"import pyhost\n{mark}\ndef version():\n    return {number}\n"

        host = maker.start(shop=version(0))
        stop = threading.Event()

        def work(_):
            seen = []
            while not stop.is_set():
                seen.append(host.call("shop.version"))
            return seen

        with ThreadPoolExecutor(4) as pool:
            workers = pool.map(work, range(4))
            for number in range(1, 11):
                maker.write("shop", version(number))
                assert host.rescan() == report(replaced=("shop",))
            stop.set()
            results = list(workers)
        for seen in results:
            assert seen == sorted(seen), "an old version answered after a new one"
            assert set(seen) <= set(range(11))
        assert host.call("shop.version") == 10

    def test_a_call_under_way_is_finished_by_the_version_that_has_it(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(shop=version(1))
        holding = host.submit("shop.hold", barrier.keys, "old")
        waiting = host.submit("shop.version")
        barrier.wait_arrived()
        maker.write("shop", version(2))
        with ThreadPoolExecutor(1) as pool:
            scan = pool.submit(host.rescan)
            while host.status("shop").interpreters[0].running:
                pass
            assert host.call("shop.version") == 2
            assert not holding.done()
            barrier.open()
            assert scan.result(PATIENCE) == report(replaced=("shop",))
        assert (holding.result(PATIENCE), waiting.result(PATIENCE)) == ("old", 1)

    def test_a_removed_plugin_finishes_what_it_has(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(shop=version(1))
        calls = [host.submit("shop.hold", barrier.keys, "old"), host.submit("shop.version")]
        barrier.wait_arrived()
        remove_plugin(maker.folder, "shop")
        with ThreadPoolExecutor(1) as pool:
            scan = pool.submit(host.rescan)
            while "shop" in [plugin.name for plugin in host.plugins()]:
                pass
            barrier.open()
            assert scan.result(PATIENCE) == report(removed=("shop",))
        assert [call.result(PATIENCE) for call in calls] == ["old", 1]

    def test_plugins_find_each_others_new_versions(self, maker):
        relay = f"{COMMON}\n@pyhost.export\ndef relay(name):\n    return pyhost.call(name)\n"
        host = maker.start(shop=version(1), caller=relay)
        assert host.call("caller.relay", "shop.version") == 1
        maker.write("shop", version(2))
        host.rescan()
        assert host.call("caller.relay", "shop.version") == 2


HOOKS = """
import atexit
import pyhost

@pyhost.on_stop
def first():
    print("first", flush=True)
    FIRST

@pyhost.on_stop
def second():
    print("second", flush=True)

atexit.register(lambda: print("atexit", flush=True))

@pyhost.export
def identity(value):
    return value
"""


class TestStopping:
    def test_hooks_run_once_and_in_order(self, maker):
        host = maker.start(hooks=HOOKS.replace("FIRST", ""))
        assert host.call("hooks.identity", 1) == 1
        host.close()
        assert printed(host, "hooks") == ["first", "second", "atexit"]

    def test_a_failing_hook_is_reported_and_the_others_run(self, maker, caplog):
        host = maker.start(hooks=HOOKS.replace("FIRST", "raise LookupError('no keys')"))
        host.close()
        assert printed(host, "hooks") == ["first", "second", "atexit"]
        assert "plugin hooks: on_stop failed:" in caplog.text
        assert "LookupError: no keys" in caplog.text
        assert "hooks.py" in caplog.text

    @pytest.mark.parametrize("statement", ["exit(3)", "raise KeyboardInterrupt", "raise SystemExit"])
    def test_a_hook_that_exits_ends_nothing_else(self, maker, statement):
        host = maker.start(hooks=HOOKS.replace("FIRST", statement), other=COMMON)
        remove_plugin(maker.folder, "hooks")
        assert host.rescan() == report(removed=("hooks",), unchanged=("other",))
        assert host.call("other.identity", 1) == 1
        host.close()
        assert printed(host, "hooks") == ["first", "second", "atexit"]

    def test_each_interpreter_runs_them(self, maker, capfd):
        maker.write("hooks", HOOKS.replace("FIRST", ""), interpreters=3)
        maker.start().close()
        assert capfd.readouterr().out.count("first") == 3

    def test_a_plugin_that_failed_to_start_has_nothing_to_stop(self, maker, capfd):
        host = maker.start(hooks=HOOKS.replace("FIRST", "") + "\nraise LookupError('no wares')")
        host.close()
        assert "first" not in capfd.readouterr().out

    def test_a_replaced_version_runs_them_after_its_last_call(self, maker):
        host = maker.start(hooks=HOOKS.replace("FIRST", ""))
        maker.write("hooks", COMMON)
        assert host.rescan() == report(replaced=("hooks",))
        assert printed(host, "hooks", 3) == ["first", "second", "atexit"]

    def test_hooks_may_call_other_plugins(self, maker):
        hooks = HOOKS.replace("FIRST", "print(pyhost.call('other.identity', 5), flush=True)")
        host = maker.start(hooks=hooks, other=COMMON)
        remove_plugin(maker.folder, "hooks")
        host.rescan()
        assert printed(host, "hooks", 4) == ["first", "5", "second", "atexit"]

    def test_what_a_plugin_leaves_behind_is_taken_down_quietly(self, maker, capfd, caplog):
        code = """
        import asyncio, decimal, hashlib, json, logging, re, sqlite3, ssl, threading, zoneinfo, ctypes
        import pyhost

        connection = sqlite3.connect(":memory:")
        zone = zoneinfo.ZoneInfo("Europe/Paris")
        cycle = []
        cycle.append(cycle)

        class Noisy:
            def __del__(self):
                pass

        noisy = Noisy()
        """
        for _ in range(3):
            maker.start(left=code).close()
        assert (capfd.readouterr().err, caplog.text) == ("", "")


class TestOnePlugin:
    def test_a_reload_brings_the_new_version_and_leaves_the_others_alone(self, maker):
        host = maker.start(shop=version(1), other=version(1))
        before = host.status("other").interpreters
        maker.write("shop", version(2))
        assert host.reload_plugin("shop").state == "running"
        assert host.call("shop.version") == 2
        assert [item.id for item in host.status("other").interpreters] == [item.id for item in before]

    def test_a_reload_without_a_change_begins_anew(self, maker):
        host = maker.start(
            shop=COMMON + "count = []\n@pyhost.export\ndef add():\n    count.append(1)\n    return len(count)"
        )
        assert [host.call("shop.add"), host.call("shop.add")] == [1, 2]
        host.reload_plugin("shop")
        assert host.call("shop.add") == 1

    def test_a_version_that_does_not_load_leaves_the_old_one_serving(self, maker):
        host = maker.start(shop=version(1))
        maker.write("shop", "raise LookupError('no wares')")
        with pytest.raises(PluginLoadError, match="plugin 'shop' did not start: LookupError: no wares"):
            host.reload_plugin("shop")
        assert (host.call("shop.version"), host.status("shop").reason) == (1, "LookupError: no wares")
        maker.write("shop", version(3))
        assert host.reload_plugin("shop").reason == ""
        assert host.call("shop.version") == 3

    def test_a_manifest_that_is_wrong_leaves_the_old_version_serving(self, maker):
        host = maker.start(shop=version(1))
        maker.write("shop", version(2), interpreters=0)
        with pytest.raises(ManifestError, match="plugin.interpreters is 0"):
            host.reload_plugin("shop")
        assert host.call("shop.version") == 1

    def test_a_plugin_cannot_change_its_name_by_a_reload(self, maker):
        host = maker.start(shop=version(1))
        touch_with(maker.folder / "shop" / "plugin.toml", '[plugin]\nname = "store"\nmodule = "shop"\n')
        with pytest.raises(ManifestError, match="plugin.name is now 'store'; rescan the folder"):
            host.reload_plugin("shop")
        assert host.call("shop.version") == 1

    def test_no_call_is_lost_while_it_is_reloaded_over_and_over(self, maker):
        host = maker.start(shop=version(1))
        stop = threading.Event()

        def call():
            answers = []
            while not stop.is_set():
                answers.append(host.call("shop.version"))
            return answers

        with ThreadPoolExecutor(4) as pool:
            callers = [pool.submit(call) for _ in range(4)]
            for _ in range(20):
                host.reload_plugin("shop")
            stop.set()
        assert {answer for caller in callers for answer in caller.result()} == {1}

    def test_a_stopped_plugin_is_unavailable_and_stays_so_until_it_is_started(self, maker, tmp_path):
        stopped = tmp_path / "stopped"
        on_stop = f"@pyhost.on_stop\ndef leave():\n    open({str(stopped)!r}, 'w').close()\n"
        host = maker.start(shop=version(1, on_stop), other=version(1))
        assert host.stop_plugin("shop").state == "stopped"
        assert stopped.exists()
        with pytest.raises(PluginUnavailableError):
            host.call("shop.version")
        maker.write("shop", version(2))
        assert host.rescan() == report(unchanged=("other", "shop"))
        assert host.stop_plugin("shop").state == "stopped"
        assert host.start_plugin("shop").state == "running"
        assert host.call("shop.version") == 2

    def test_stopping_finishes_the_calls_under_way(self, maker, barrier):
        host = maker.start(shop=COMMON)
        running = host.submit("shop.hold", barrier.keys, "first")
        barrier.wait_arrived()
        waiting = host.submit("shop.identity", "second")
        thread = threading.Thread(target=host.stop_plugin, args=("shop",))
        thread.start()
        barrier.open()
        thread.join(PATIENCE)
        assert (running.result(), waiting.result()) == ("first", "second")

    def test_starting_one_that_runs_changes_nothing(self, maker):
        host = maker.start(shop=version(1))
        before = host.status("shop").interpreters[0].id
        assert host.start_plugin("shop").interpreters[0].id == before

    def test_a_restart_ends_the_old_version_before_the_new_one_begins(self, maker, tmp_path):
        log = tmp_path / "log"
        hooks = f"""
def write(word):
    with open({str(log)!r}, "a") as file:
        file.write(word)

@pyhost.on_start
def begin():
    write("start ")

@pyhost.on_stop
def leave():
    write("stop ")
"""
        host = maker.start(shop=version(1, hooks))
        assert host.restart_plugin("shop").state == "running"
        assert log.read_text() == "start stop start "

    def test_one_that_failed_is_started_when_it_has_been_put_right(self, maker):
        host = maker.start(shop="import nothing_such")
        with pytest.raises(PluginLoadError):
            host.start_plugin("shop")
        maker.write("shop", version(1))
        assert host.start_plugin("shop").state == "running"
        assert host.call("shop.version") == 1

    def test_one_with_a_wrong_manifest_is_started_when_it_has_been_put_right(self, maker):
        maker.write("shop", version(1), interpreters=0)
        host = maker.start()
        with pytest.raises(ManifestError):
            host.start_plugin("shop")
        maker.write("shop", version(1))
        assert host.start_plugin("shop").state == "running"
        assert [plugin.name for plugin in host.plugins()] == ["shop"]

    @pytest.mark.parametrize("action", ["reload_plugin", "start_plugin", "stop_plugin", "restart_plugin"])
    def test_a_plugin_that_is_not_there_is_said_so(self, maker, action):
        host = maker.start(shop=version(1))
        with pytest.raises(PluginNotFoundError, match="there is no plugin 'shopp'"):
            getattr(host, action)("shopp")
