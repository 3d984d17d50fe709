"""How plugins end: their threads, atexit functions and destructors. None may kill the process, or keep it from ending."""

from __future__ import annotations

import time

import pytest
from support import PATIENCE
from support.plugins import COMMON
from support.programs import Program

from pyhost import _core, loader
from pyhost.errors import DeadlineExceededError
from pyhost.host import EXIT_LOST


@pytest.fixture(autouse=True)
def short_limit(monkeypatch):
    """What does not end by itself is interrupted soon."""
    monkeypatch.setattr(loader, "STOP_LIMIT", 0.2)


SPIN = "def spin():\n    while True:\n        pass\n"

# (code of the plugin, what standard error says)
INTERRUPTED = {
    "a thread that loops": (
        "import threading\nthreading.Thread(target=spin, name='worker').start()",
        "1 thread of the plugin had not ended in time and was interrupted: worker; end them in an on_stop function",
    ),
    "several threads that loop": (
        "import threading\nfor name in 'abc': threading.Thread(target=spin, name=name).start()",
        "3 threads of the plugin had not ended in time and were interrupted: a, b, c",
    ),
    "a thread that threading does not know": (
        "import _thread\n_thread.start_new_thread(spin, ())",
        "was interrupted: one without a name",
    ),
    "a thread of an executor": (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(2)\npool.submit(spin)",
        "was interrupted: ThreadPoolExecutor-0_0",
    ),
    "a thread that on_stop starts": (
        "import threading\n@pyhost.on_stop\ndef stop(): threading.Thread(target=spin, name='late').start()",
        "was interrupted: late",
    ),
    "a thread that cannot be joined": (
        (
            "import threading\nclass Stubborn(threading.Thread):\n    def join(self, *rest): raise SystemExit(4)\n"
            "Stubborn(target=spin, name='stubborn').start()"
        ),
        "was interrupted: stubborn",
    ),
    "on_stop": ("pyhost.on_stop(spin)", "DeadlineInterrupt"),
    "an atexit function": ("import atexit\natexit.register(spin)", "DeadlineInterrupt"),
    "a destructor": ("class Last:\n    def __del__(self): spin()\nlast = Last()", "DeadlineInterrupt"),
    "a destructor in a cycle": (
        "class Last:\n    def __del__(self): spin()\nlast = Last()\nlast.itself = last\ndel last",
        "DeadlineInterrupt",
    ),
    "a destructor that the standard library holds": (
        "import sys\nclass Last:\n    def __del__(self):\n        while True: pass\nsys.last_of_all = Last()",  # when sys.stderr has gone
        "",
    ),
}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_what_loops_at_the_end_is_interrupted(maker, capfd, caplog, name):
    code, message = INTERRUPTED[name]
    host = maker.start(plugin=COMMON + SPIN + code, other=COMMON)
    assert host.call("plugin.identity", 1) == 1
    host.stop_plugin("plugin")
    assert host.status("plugin").state == "stopped"
    assert _core.lost_count() == 0
    assert host.call("other.identity", 1) == 1
    host.reload_plugin("plugin")
    assert host.call("plugin.identity", 2) == 2
    host.close()  # every record has been read then
    assert message in capfd.readouterr().err + caplog.text


# (code of the plugin, what it prints while it ends); nothing is said on standard error
ENDING = {
    "a thread that has ended": ("import threading\nthreading.Thread(target=print, args=['ran']).start()", "ran"),
    "a thread that threading does not know": (
        "import _thread\ndef run():\n    sleep(0.05)\n    print('ran')\n_thread.start_new_thread(run, ())",
        "ran",
    ),
    "a thread that starts a thread in its end": (
        (
            "import threading\n"
            "def run(left):\n    if left: threading.Thread(target=run, args=[left - 1]).start()\n    else: print('last')\n"
            "threading.Thread(target=run, args=[30]).start()"
        ),
        "last",
    ),
    "two hundred threads that on_stop ends": (
        (
            "import threading\ngoing = threading.Event()\n"
            "for _ in range(200): threading.Thread(target=going.wait).start()\n@pyhost.on_stop\ndef stop(): going.set()"
        ),
        "",
    ),
    "a timer": ("import threading\nthreading.Timer(1000, print).start()", ""),
    "a timer that starts itself again": (
        "import threading\ndef again():\n    timer = threading.Timer(1000, again)\n    timer.start()\nagain()",
        "",
    ),
    "idle threads of an executor": (
        (
            "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(3)\n"
            "print(sum(pool.map(abs, [-1, -2])))"
        ),
        "3",
    ),
    "what an executor has accepted": (
        (
            "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)\n"
            "for number in range(3): pool.submit(print, number, flush=True)"
        ),
        "0 1 2",
    ),
    "atexit functions, last first": (
        "import atexit\natexit.register(print, 'second')\natexit.register(print, 'first')",
        "first second",
    ),
    "a finalizer": (
        "import weakref\nclass Thing: pass\nthing = Thing()\nweakref.finalize(thing, print, 'gone')",
        "gone",
    ),
    "logging": ("import logging\nlogging.basicConfig()", ""),
    "a destructor": ("class Last:\n    def __del__(self): print('gone')\nlast = Last()", "gone"),
    "a destructor that starts a thread": (
        (
            "import threading\nclass Last:\n    def __del__(self): threading.Thread(target=print, args=['ran']).start()\n"
            "last = Last()"
        ),
        "ran",
    ),
    "a destructor that calls another plugin": (
        "class Last:\n    def __del__(self): print(pyhost.call('other.identity', 'answered'))\nlast = Last()",
        "answered",
    ),
    "a destructor of frozen objects": (
        (
            "import gc\nclass Last:\n    def __del__(self): print('gone')\nlast = Last()\nlast.itself = last\ndel last\n"
            "gc.freeze()\ngc.disable()"
        ),
        "gone",
    ),
    "an object that resurrects itself": (
        "kept = []\nclass Lazarus:\n    def __del__(self): kept.append(self)\nlazarus = Lazarus()\nlazarus.itself = lazarus",
        "",
    ),
    "much garbage": (
        (
            "import gc\ngc.disable()\nclass Garbage:\n    def __del__(self): self.gone = True\n"
            "for _ in range(20_000):\n    garbage = Garbage()\n    garbage.itself = garbage"
        ),
        "",
    ),
}


@pytest.mark.parametrize("name", ENDING)
def test_what_can_end_ends(maker, capfd, caplog, monkeypatch, name):
    monkeypatch.setattr(loader, "STOP_LIMIT", PATIENCE)
    code, output = ENDING[name]
    host = maker.start(plugin=COMMON + "from time import sleep\n" + code, other=COMMON)
    assert host.call("plugin.identity", 1) == 1
    host.stop_plugin("plugin")
    assert host.status("plugin").state == "stopped"
    assert _core.lost_count() == 0
    host.close()  # every record has been read then
    captured = capfd.readouterr()
    assert (captured.err, caplog.text) == ("", "")
    assert captured.out.replace("plugin: ", "").split() == output.split()


def test_a_plugin_that_does_not_load_ends_with_its_threads(maker):
    code = SPIN + "import threading\nthreading.Thread(target=spin).start()\nraise LookupError"
    maker.write("plugin", code, restart={"policy": "never"})
    host = maker.start(other=COMMON)
    assert host.status("plugin").state == "fatal"
    assert _core.lost_count() == 0
    assert host.call("other.identity", 1) == 1


def test_failures_are_told_together(maker, caplog):
    hooks = (
        "@pyhost.on_stop\ndef one(): raise LookupError('first')\n@pyhost.on_stop\ndef two(): raise OSError('second')\n"
    )
    maker.start(plugin=COMMON + hooks).close()
    assert "several things failed while the plugin stopped (2 sub-exceptions)" in caplog.text
    assert "LookupError: first" in caplog.text
    assert "OSError: second" in caplog.text


def test_what_is_set_aside_ends_when_its_thread_does(maker, barrier, caplog):
    host = maker.start(
        plugin=COMMON
        + "import threading\n@pyhost.export\ndef start(keys): threading.Thread(target=hold, args=[keys], name='held').start()"
    )
    host.call("plugin.start", barrier.keys)
    barrier.wait_arrived()
    host.stop_plugin("plugin")
    assert _core.lost_count() == 1
    assert "was interrupted: held" in caplog.text
    host.reload_plugin("plugin")
    assert host.call("plugin.identity", "a new one serves") == "a new one serves"
    barrier.open()
    deadline = time.monotonic() + PATIENCE
    while _core.lost_count() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _core.lost_count() == 0


def test_what_is_set_aside_has_a_last_chance_when_the_host_closes(maker, barrier, monkeypatch):
    monkeypatch.setattr("pyhost.host.LAST_CHANCE", PATIENCE)
    maker.write("plugin", COMMON, limits={"deadline": "50ms", "grace": "10ms"})
    host = maker.start()
    with pytest.raises(DeadlineExceededError):
        host.call("plugin.hold", barrier.keys)
    barrier.wait_arrived()
    deadline = time.monotonic() + PATIENCE
    while not _core.lost_count() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _core.lost_count() == 1
    barrier.open()
    host.close()
    assert _core.lost_count() == 0


# Programs that end while a plugin's code blocks where nothing reaches it: (code of the plugin, what is said of it)
BLOCKED = {
    "ten threads": (
        "import threading, time\nfor _ in range(10): threading.Thread(target=time.sleep, args=[1000]).start()",
        "10 threads of the plugin had not ended in time and were interrupted",
    ),
    "an executor": (
        "import time\nfrom concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor(1).submit(time.sleep, 1000)",
        "ThreadPoolExecutor-0_0",
    ),
    "a thread of an atexit function": (
        (
            "import atexit, threading, time\n"
            "atexit.register(lambda: threading.Thread(target=time.sleep, args=[1000]).start())"
        ),
        "Thread-1 (sleep)",
    ),
    "on_stop": ("import time\n@pyhost.on_stop\ndef stop(): time.sleep(1000)", ""),
    "a destructor": ("import time\nclass Last:\n    def __del__(self): time.sleep(1000)\nlast = Last()", ""),
    "on_stop that swallows every exception": (
        (
            "@pyhost.on_stop\ndef stop():\n    while True:\n        try:\n            while True: pass\n"
            "        except BaseException: pass"
        ),
        "",
    ),
}
PROGRAM = """
loader.END_LIMIT = 1.5
maker.write("plugin", PLUGIN, limits={"deadline": "1s"})
host = maker.start(other=COMMON)
print(host.call("plugin.identity", 1))
host.stop_plugin("plugin")
print(_core.lost_count(), host.call("other.identity", 2))
host.reload_plugin("plugin")
print(host.call("plugin.identity", 3), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """All programs, started together: most of them only wait."""
    folder = tmp_path_factory.mktemp("programs")
    programs = {
        name: Program(folder / f"{index}", PROGRAM, PLUGIN=COMMON + code)
        for index, (name, (code, _)) in enumerate(BLOCKED.items())
    }
    yield {name: program.finish() for name, program in programs.items()}
    for program in programs.values():
        program.kill()


@pytest.mark.parametrize("name", BLOCKED)
def test_what_blocks_at_the_end_is_set_aside(outcomes, name):
    """Others serve, the plugin itself loads again, and the process ends."""
    outcome = outcomes[name]
    assert (outcome.code, outcome.output) == (EXIT_LOST, "1\n1 2\n3\n"), outcome.errors
    assert BLOCKED[name][1] in outcome.errors


class TestTheServer:
    @pytest.mark.parametrize(
        "code",
        [
            "import threading, time\nfor _ in range(10): threading.Thread(target=time.sleep, args=[1000]).start()",
            SPIN + "import threading\nthreading.Thread(target=spin).start()",
        ],
        ids=["threads that block", "a thread that loops"],
    )
    def test_it_ends_with_0_whatever_a_plugins_threads_do(self, tmp_path, start_server, code):
        (tmp_path / "plugins").mkdir()
        (tmp_path / "plugins" / "threaded.py").write_text(code)
        assert start_server(tmp_path / "plugins").stop() == 0

    def test_it_ends_although_a_plugin_blocks_the_signals_of_its_threads(self, tmp_path, start_server):
        (tmp_path / "plugins").mkdir()
        (tmp_path / "plugins" / "masked.py").write_text(
            "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())"
        )
        assert start_server(tmp_path / "plugins").stop() == 0

    def test_a_plugin_that_signals_the_process_stops_it(self, tmp_path, start_server):
        (tmp_path / "plugins").mkdir()
        (tmp_path / "plugins" / "killer.py").write_text(
            "import os, signal, pyhost\n@pyhost.export\ndef kill(): os.kill(os.getpid(), signal.SIGTERM)"
        )
        server = start_server(tmp_path / "plugins")
        with server.unix() as client:
            assert client.post("/call/killer/kill").status_code == 200
        assert server.wait() == 0
