"""The host: what it starts, what it reports, and how it ends."""

from __future__ import annotations

import re
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import PATIENCE
from support.plugins import COMMON, NEVER, touch_with, write_plugin

import pyhost
from pyhost import _core, loader
from pyhost.errors import (
    CallCancelledError,
    CallError,
    ConfigurationError,
    ManifestError,
    PluginLoadError,
    PluginNotFoundError,
    PluginUnavailableError,
)

# (code of the module, what the reason says)
BAD_CODE = {
    "syntax": ("def broken(:\n", r"^SyntaxError: .*\(syntax.py, line 1\)$"),
    "missing": ("import nothing_such", r"^ModuleNotFoundError: No module named 'nothing_such'$"),
    "raises": ("raise LookupError('no wares')", r"^LookupError: no wares$"),
    "exits": ("import sys; sys.exit(3)", r"^SystemExit: 3$"),
    "exits_at_once": ("raise SystemExit", r"^SystemExit$"),
    "interrupts": ("raise KeyboardInterrupt", r"^KeyboardInterrupt$"),
    "interrupts_deadline": ("import pyhost\nraise pyhost.DeadlineInterrupt", r"."),
    "hungry": ("bytes(1 << 60)", r"^MemoryError$"),
    "deep": ("def f():\n    f()\nf()", r"^RecursionError: maximum recursion depth exceeded"),
    "mute": (
        "class E(Exception):\n    def __str__(self): 1/0\nraise E",
        r"^mute.E: \(its str\(\) raised ZeroDivisionError\)$",
    ),
    "start_raises": (
        "import pyhost\n@pyhost.on_start\ndef start(): raise LookupError('no wares')",
        r"^LookupError: no wares$",
    ),
    "start_exits": ("import pyhost\n@pyhost.on_start\ndef start(): exit(4)", r"^SystemExit: 4$"),
    "start_needs_more": (
        "import pyhost\n@pyhost.on_start\ndef start(state, who): ...",
        r"^TypeError: start\(\) missing 1 required",
    ),
    "marks_a_class": ("import pyhost\n@pyhost.export\nclass Shop: ...", r"cannot mark .*; write a def that calls it"),
    "direct_async": ("import pyhost\n@pyhost.export(direct=True)\nasync def f(): ...", r"^TypeError: f is async"),
    "nameless": ("import pyhost\n@pyhost.export(name='')\ndef f(): ...", r"^ValueError: f is exported as ''"),
    "numbered": ("import pyhost\n@pyhost.export(name=5)\ndef f(): ...", r"^ValueError: f is exported as 5"),
    "cut_short": (
        "import pyhost\n@pyhost.export(name='a\\0b')\ndef f(): ...",
        r"^ValueError: f is exported as 'a\\x00b'",
    ),
    "surrogate": (
        "import pyhost\n@pyhost.export(name='\\udc80')\ndef f(): ...",
        r"^ValueError: f is exported as '\\udc80'",
    ),
    "extension": (
        "import _tracemalloc",
        r"^ImportError: module _tracemalloc does not support loading in subinterpreters: its C code works in no plugin; ",
    ),
    "not_utf8": ("name = '\udcff'", r"^SyntaxError: .*(codec can't decode|Non-UTF-8 code)"),
    "forgets_itself": (
        "import sys; del sys.modules[__name__]; import pyhost; raise ValueError('gone')",
        r"^ValueError: gone$",
    ),
}

# Odd, but what a plugin may do.
ODD_CODE = {
    "empty": "",
    "only_a_comment": "# nothing",
    "annotated_oddly": "import pyhost\n@pyhost.export\ndef f(x: '\\udc80', y: '(' * 300, z: 'int | ' * 3000 + 'int'): ...",
    "documented_oddly": "import pyhost\n@pyhost.export\ndef f(): ...\n__doc__ = f.__doc__ = '\\udc80\\0'",
    "default_oddly": "import pyhost\n@pyhost.export\ndef f(x='\\udc80\\0', y=object(), z=lambda: 0): ...",
    "replaces_builtins": "import builtins\nbuiltins.open = None\nbuiltins.len = None",
    "deletes_names": "import sys\nfor name in list(sys.modules):\n    if name.startswith('pyhost'):\n        del sys.modules[name]",
    "prints": "print('said at import')",
    "recursion_limit": "import sys\nsys.setrecursionlimit(10**6)",
}


class TestStarting:
    def test_one_bad_plugin_never_stops_the_others(self, maker):
        for name, (code, _) in BAD_CODE.items():
            maker.write(name, code, restart=NEVER)
        maker.write("good", COMMON)
        maker.write("wrong_manifest", COMMON, interpreters=0)
        maker.write("no_module", COMMON, module="elsewhere", restart=NEVER)
        maker.write("no_toml", COMMON)
        (maker.folder / "no_toml" / "plugin.toml").write_text("[plugin\n")
        host = maker.start()
        assert host.call("good.identity", 1) == 1
        states = {plugin.name: plugin.state for plugin in host.plugins()}
        wrong = [*BAD_CODE, "wrong_manifest", "no_module", "no_toml"]
        assert states == dict.fromkeys(wrong, "fatal") | {"good": "running", "exits_at_once": "stopped"}

    @pytest.mark.parametrize("name", BAD_CODE)
    def test_a_bad_one_says_why(self, maker, name):
        code, reason = BAD_CODE[name]
        maker.write(name, code, restart=NEVER)
        host = maker.start()
        status = host.status(name)
        assert status.state == ("stopped" if name == "exits_at_once" else "fatal")
        assert status.source == str(maker.folder / name / "plugin.toml")
        assert re.search(reason, status.reason), status.reason
        assert status.functions == ()
        with pytest.raises(PluginUnavailableError, match=f"^plugin '{name}' is not running$"):
            host.call(f"{name}.f")

    @pytest.mark.parametrize("name", ["raises", "start_raises", "missing"])
    def test_and_shows_where(self, maker, name):
        touch_with(maker.folder / f"{name}.py", BAD_CODE[name][0])
        text = maker.start().status(name).traceback_text
        assert f"{name}.py" in text
        assert text.startswith("Traceback (most recent call last):")

    @pytest.mark.parametrize("name", ODD_CODE)
    def test_an_odd_one_runs(self, maker, name):
        touch_with(maker.folder / f"{name}.py", ODD_CODE[name])
        host = maker.start(good=COMMON)
        assert (host.status(name).state, host.status(name).reason) == ("running", "")
        assert host.call("good.identity", 1) == 1

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("[plugin\n", "is not TOML"),
            ("[plugin]\n", "plugin.name is missing"),
            ('[plugin]\nname = "a b"\n', "plugin.name is 'a b'"),
            ('[plugin]\nname = "bad"\ninterpreters = 0\n', "plugin.interpreters is 0"),
            ('[plugin]\nname = "bad"\nmodule = "json"\n', "a name taken by the standard library's json"),
            ('[plugin]\nname = "bad"\nmodule = "pyhost.errors"\n', "a name taken by pyhost itself"),
        ],
    )
    def test_a_bad_manifest_says_what_is_wrong(self, maker, text, reason):
        touch_with(maker.folder / "bad" / "plugin.toml", text)
        touch_with(maker.folder / "bad" / "bad.py", COMMON)
        host = maker.start(good=COMMON)
        status = host.status("bad")
        assert status.state == "fatal"
        assert reason in status.reason
        assert str(maker.folder / "bad" / "plugin.toml") in status.reason
        assert host.call("good.identity", 1) == 1

    @pytest.mark.parametrize(
        "code", ["while True:\n    pass", "import pyhost\n@pyhost.on_start\ndef start():\n    while True: pass"]
    )
    def test_one_that_does_not_get_ready_fails(self, maker, code):
        maker.write("slow", code, limits={"start": "200ms"}, restart=NEVER)
        host = maker.start(good=COMMON)
        assert host.status("slow").state == "fatal"
        assert host.status("slow").reason == "it was not ready within 0.2 s (limits.start)"
        assert host.call("good.identity", 1) == 1

    def test_one_that_blocks_outside_python_fails_and_is_set_aside_until_it_comes_back(
        self, maker, make_barrier, monkeypatch
    ):
        monkeypatch.setattr(loader, "STOP_LIMIT", 0.2)
        barrier = make_barrier()
        arrived, opened = barrier.keys
        code = f"import os\nos.write({arrived}, b'.')\nos.read({opened}, 1)"
        maker.write("slow", code, limits={"start": "200ms"}, restart=NEVER)
        host = maker.start(good=COMMON)
        assert host.status("slow").reason == "it was not ready within 0.2 s (limits.start)"
        barrier.wait_arrived()
        while not host.status("slow").lost:
            pass
        assert [item.state for item in host.status("slow").interpreters] == ["lost"]
        assert host.call("good.identity", 1) == 1
        barrier.open()
        while host.status("slow").lost:
            pass
        assert _core.lost_count() == 0
        assert host.status("slow").interpreters == ()
        host.close()

    def test_one_interpreter_that_fails_fails_its_plugin(self, maker, tmp_path):
        code = f"""
        import os
        # The second one to come finds the file.
        os.close(os.open({str(tmp_path / "first")!r}, os.O_CREAT | os.O_EXCL))
        """
        maker.write("pair", code, interpreters=2, restart=NEVER)
        host = maker.start()
        assert host.status("pair").state == "fatal"
        assert host.status("pair").reason.startswith("FileExistsError")

    def test_all_interpreters_run_on_start_before_the_first_call(self, maker):
        code = """
        import pyhost
        started = []

        @pyhost.on_start
        def first():
            started.append("first")

        @pyhost.on_start
        def second():
            started.append("second")

        @pyhost.export
        def order():
            return started
        """
        maker.write("hooks", code, interpreters=3)
        host = maker.start()
        assert [host.call("hooks.order") for _ in range(6)] == [["first", "second"]] * 6

    def test_the_folder_must_be_there(self, tmp_path):
        with pytest.raises(
            ConfigurationError, match="the plugins folder .* does not exist; make it or name another one"
        ):
            pyhost.Host(tmp_path / "missing")
        with pytest.raises(ConfigurationError, match="is a file; name the folder that holds it"):
            pyhost.Host(touch_with(tmp_path / "file", ""))

    def test_an_empty_folder_and_none_at_all(self, tmp_path):
        for folder in (tmp_path, str(tmp_path), None):
            with pyhost.Host(folder) as host:
                assert host.plugins() == []
                assert host.rescan().loaded == ()
                with pytest.raises(PluginNotFoundError):
                    host.call("shop.sell")

    def test_tracemalloc_is_refused(self):
        tracemalloc.start()
        try:
            with pytest.raises(ConfigurationError, match="tracemalloc is tracing, and crashes with sub-interpreters"):
                pyhost.Host()
        finally:
            tracemalloc.stop()

    def test_a_host_that_is_not_started_has_no_plugins(self, maker):
        maker.write("good", COMMON)
        host = pyhost.Host(maker.folder)
        assert host.plugins() == []
        with pytest.raises(PluginNotFoundError):
            host.call("good.identity", 1)
        host.close()


class TestStatus:
    def test_tells_what_a_plugin_says_of_itself(self, maker):
        code = '''
        """Counts.

        Words and lines.
        """
        import pyhost

        @pyhost.export(direct=True)
        def count(text: str, top: int = 10) -> dict[str, int]:
            """Count the words."""

        @pyhost.export
        async def later(): ...
        '''
        maker.write("counter", code, version="1.2.3", interpreters=2)
        status = maker.start().status("counter")
        assert (status.name, status.version, status.state, status.reason) == ("counter", "1.2.3", "running", "")
        assert status.doc == "Counts.\n\nWords and lines."
        assert status.source == str(maker.folder / "counter" / "plugin.toml")
        count, later = (function.description for function in status.functions)
        assert (count.name, count.doc, count.direct, count.is_async) == ("count", "Count the words.", True, False)
        assert count.signature == "(text: str, top: int = 10) -> dict[str, int]"
        assert (later.name, later.is_async, later.signature) == ("later", True, "()")
        assert [(item.state, item.queued, item.running, item.served) for item in status.interpreters] == [
            ("running", 0, 0, 0)
        ] * 2
        assert len({item.id for item in status.interpreters}) == 2

    def test_of_all_plugins_comes_by_name(self, maker):
        host = maker.start(b=COMMON, a=COMMON, c=COMMON)
        assert [plugin.name for plugin in host.plugins()] == ["a", "b", "c"]

    def test_of_an_unknown_plugin(self, maker):
        with pytest.raises(PluginNotFoundError, match="there is no plugin 'shop'"):
            maker.start().status("shop")


class TestClosing:
    def test_finishes_what_was_accepted(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(good=COMMON)
        calls = [host.submit("good.hold", barrier.keys, "held"), *(host.submit("good.identity", n) for n in range(100))]
        barrier.wait_arrived()
        with ThreadPoolExecutor(1) as pool:
            closing = pool.submit(host.close, PATIENCE)
            while not refuses(host):
                pass
            assert not closing.done()
            barrier.open()
            closing.result(PATIENCE)
        assert [call.result(0) for call in calls] == ["held", *range(100)]

    def test_finishes_calls_between_plugins(self, maker, make_barrier):
        barrier = make_barrier()
        relay = "\n@pyhost.export\ndef relay(barrier, name, value):\n    hold(barrier)\n    return pyhost.call(name, value)\n"
        host = maker.start(a=COMMON + relay, b=COMMON + relay, c=COMMON)
        calls = [host.submit(f"{name}.relay", barrier.keys, "c.identity", name) for name in "ab"]
        barrier.wait_arrived(2)
        with ThreadPoolExecutor(1) as pool:
            closing = pool.submit(host.close, PATIENCE)
            while not refuses(host, "c"):
                pass
            # Both must still reach c, though the host takes nothing new.
            barrier.open(2)
            closing.result(PATIENCE)
        assert [call.result(0) for call in calls] == ["a", "b"]

    def test_gives_up_what_takes_longer_than_its_grace(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(good=COMMON)
        running = host.submit("good.hold", barrier.keys)
        waiting = [host.submit("good.identity", number) for number in range(5)]
        barrier.wait_arrived()
        with ThreadPoolExecutor(1) as pool:
            closing = pool.submit(host.close, 0.05)
            for call in waiting:
                with pytest.raises(CallCancelledError):
                    call.result(PATIENCE)
            barrier.open()
            closing.result(PATIENCE)
        assert running.done()
        assert _core.lost_count() == 0

    def test_interrupts_a_busy_loop_after_its_grace(self, maker):
        host = maker.start(busy="import pyhost\n@pyhost.export\ndef spin():\n    while True: pass\n")
        spinning = host.submit("busy.spin")
        while not host.status("busy").interpreters[0].running:
            pass
        host.close(grace=0.05)
        with pytest.raises(CallCancelledError):
            spinning.result(PATIENCE)
        assert _core.lost_count() == 0

    def test_a_caller_that_waits_in_another_thread_is_told(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(good=COMMON)
        with ThreadPoolExecutor(2) as pool:
            holding = pool.submit(host.call, "good.hold", barrier.keys)
            barrier.wait_arrived()
            waiting = pool.submit(host.call, "good.identity", 1)
            while not host.status("good").interpreters[0].queued:
                pass
            closer = threading.Thread(target=host.close, args=[0.05])
            closer.start()
            with pytest.raises(CallCancelledError):
                waiting.result(PATIENCE)
            barrier.open()
            closer.join(PATIENCE)
            assert isinstance(holding.exception(PATIENCE), CallCancelledError | None)

    def test_can_be_done_again(self, maker):
        host = maker.start(good=COMMON)
        for _ in range(3):
            host.close()
        assert host.plugins() == []
        with pytest.raises(PluginNotFoundError):
            host.call("good.identity", 1)

    def test_a_closed_host_can_start_again(self, maker):
        host = maker.start(good=COMMON)
        for number in range(3):
            assert host.call("good.identity", number) == number
            assert host.submit("good.identity", number).result(PATIENCE) == number
            host.close()
            host.start()
        assert host.call("good.identity", 1) == 1

    def test_a_handle_of_a_plugin_outlives_a_restart(self, maker):
        host = maker.start(good=COMMON)
        plugin, function = host.plugin("good"), host.function("good.identity")
        assert (plugin.identity(1), function(1)) == (1, 1)
        host.close()
        host.start()
        assert (plugin.identity(2), function(2)) == (2, 2)

    def test_while_others_call_every_call_ends(self, maker):
        for _ in range(20):
            host = maker.start(good=COMMON)
            answered = []

            def work(host=host, answered=answered):
                while True:
                    try:
                        answered.append(host.call("good.identity", 1))
                    except CallError:
                        return

            def submit(host=host, answered=answered):
                futures = []
                while True:
                    try:
                        futures.append(host.submit("good.identity", 1))
                    except CallError:
                        break
                for future in futures:
                    answered.append(future.result(PATIENCE))

            threads = [threading.Thread(target=work) for _ in range(2)]
            threads += [threading.Thread(target=submit) for _ in range(2)]
            for thread in threads:
                thread.start()
            while len(answered) < 10:
                pass
            host.close()
            for thread in threads:
                thread.join(PATIENCE)
                assert not thread.is_alive()
            assert set(answered) == {1}

    def test_the_callback_of_a_future_may_do_it(self, maker):
        host = maker.start(good=COMMON)
        closed = threading.Event()

        def close(_future):
            host.close()
            closed.set()

        host.submit("good.identity", 1).add_done_callback(close)
        assert closed.wait(PATIENCE)
        assert host.plugins() == []

    def test_an_exception_in_the_block_closes_it_too(self, maker):
        maker.write("good", COMMON)

        def fail():
            with pyhost.Host(maker.folder) as host:
                host.call("good.identity", 1)
                raise LookupError(host)

        with pytest.raises(LookupError) as caught:
            fail()
        assert caught.value.args[0].plugins() == []


def refuses(host, name="good"):
    """Whether the host takes no more calls."""
    try:
        host.call(f"{name}.nothing_such")
    except PluginUnavailableError:
        return True
    except CallError:
        return False


class TestSeveral:
    def test_hosts_at_once(self, maker):
        first, second = maker.start(good=COMMON), maker.start()
        assert first.call("good.identity", 1) == second.call("good.identity", 1) == 1
        ids = [host.status("good").interpreters[0].id for host in (first, second)]
        assert ids[0] != ids[1]
        first.close()
        assert second.call("good.identity", 2) == 2

    def test_a_host_in_a_thread(self, maker):
        maker.write("good", COMMON)

        def run(number):
            with pyhost.Host(maker.folder) as host:
                return host.call("good.identity", number)

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(run, range(8))) == list(range(8))

    def test_a_host_one_after_the_other(self, maker):
        maker.write("good", COMMON)
        for number in range(10):
            with pyhost.Host(maker.folder) as host:
                assert host.call("good.identity", number) == number

    def test_a_host_inside_a_plugin_is_refused(self, maker):
        host = maker.start(inner="import pyhost\n@pyhost.export\ndef start(): pyhost.Host()\n")
        with pytest.raises(pyhost.PluginError):
            host.call("inner.start")


def test_the_working_folder_may_change(maker, monkeypatch, tmp_path):
    maker.write("good", COMMON)
    monkeypatch.chdir(maker.folder.parent)
    with pyhost.Host(Path("plugins")) as host:
        monkeypatch.chdir(tmp_path.parent)
        assert host.rescan().unchanged == ("good",)
        assert host.call("good.identity", 1) == 1


class TestPluginsFromAnywhere:
    def test_one_is_loaded_loaded_anew_and_unloaded(self, maker, tmp_path):
        host = maker.start(good=COMMON)
        place = write_plugin(tmp_path / "elsewhere", "stray", COMMON)
        assert host.load_plugin(place).state == "running"
        assert host.call("stray.identity", 1) == 1
        assert host.rescan().removed == ()
        touch_with(place / "stray.py", COMMON + "\n@pyhost.export\ndef new(): return 2\n")
        assert host.load_plugin(place / "plugin.toml").state == "running"
        assert host.call("stray.new") == 2
        host.unload_plugin("stray")
        assert [plugin.name for plugin in host.plugins()] == ["good"]
        with pytest.raises(PluginNotFoundError):
            host.call("stray.identity", 1)

    def test_what_does_not_load_can_be_unloaded(self, maker, tmp_path):
        host = maker.start(good=COMMON)
        place = write_plugin(tmp_path / "elsewhere", "stray", "raise LookupError('no wares')", restart=NEVER)
        with pytest.raises(PluginLoadError, match="no wares"):
            host.load_plugin(place)
        assert host.status("stray").reason == "LookupError: no wares"
        host.unload_plugin("stray")
        with pytest.raises(PluginNotFoundError):
            host.unload_plugin("stray")

    def test_a_name_that_is_taken_is_refused(self, maker, tmp_path):
        host = maker.start(good=COMMON)
        place = write_plugin(tmp_path / "elsewhere", "good", COMMON)
        with pytest.raises(ManifestError, match=r"the name 'good' is taken by .*/plugins/good/plugin.toml"):
            host.load_plugin(place)
        assert host.call("good.identity", 1) == 1
