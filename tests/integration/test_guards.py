"""What would end or crash the whole process, or what CPython refuses in a plugin: each says so to the plugin."""

from __future__ import annotations

import os
import sys

import pytest
from support.plugins import COMMON

from pyhost.errors import PluginError

RUNNER = (
    COMMON
    + """
@pyhost.export
def run(code):
    names = {}
    exec(code, names)
    return names.get("result")
"""
)


@pytest.fixture(scope="module")
def host(module_maker):
    return module_maker.start(runner=RUNNER, other=COMMON)


# (the code, what its caller is told)
REFUSED = {
    "alarm": ("import signal\nsignal.alarm(1)", "the signal of a timer would end the host"),
    "setitimer": ("import signal\nsignal.setitimer(signal.ITIMER_PROF, 1)", "the signal of a timer would end the host"),
    "_current_frames": ("import sys\nsys._current_frames()", "would reach into the other interpreters"),
    "_current_exceptions": ("import sys\nsys._current_exceptions()", "would reach into the other interpreters"),
    "fork": ("import os\nos.fork()", "fork not supported"),
    "forkpty": ("import pty\npty.fork()", "fork not supported"),
    "multiprocessing, fork": (
        "import multiprocessing\nmultiprocessing.get_context('fork').Process(target=print).start()",
        "fork not supported",
    ),
    "execv": ("import os\nos.execv('/bin/true', ['true'])", "exec not supported"),
    "preexec_fn": ("import subprocess\nsubprocess.run(['true'], preexec_fn=print)", "preexec_fn not supported"),
    "signal": ("import signal\nsignal.signal(signal.SIGTERM, print)", "signal only works in main thread"),
    "set_wakeup_fd": ("import signal\nsignal.set_wakeup_fd(1)", "set_wakeup_fd only works in main thread"),
    "a daemon thread": (
        "import threading\nthreading.Thread(target=print, daemon=True).start()",
        "daemon threads are disabled",
    ),
    "multiprocessing.Pool": (
        "import multiprocessing\nmultiprocessing.get_context('spawn').Pool(1)",
        "daemon threads are disabled",
    ),
    "faulthandler": ("import faulthandler", "does not support loading in subinterpreters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(host, name):
    code, message = REFUSED[name]
    with pytest.raises(PluginError, match=message):
        host.call("runner.run", code)
    assert host.call("runner.identity", 1) == 1


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("fork", 'in a plugin: use subprocess, or multiprocessing\'s "spawn"'),
        ("execv", "in a plugin: use subprocess"),
        ("signal", "in a plugin: the host handles the signals of the process; use on_stop"),
        ("a daemon thread", "in a plugin: start it without daemon=True, and let an @pyhost.on_stop function end it"),
    ],
)
def test_what_cpython_refuses_comes_with_advice(host, name, advice):
    with pytest.raises(PluginError) as caught:
        host.call("runner.run", REFUSED[name][0])
    assert advice in caught.value.__notes__
    assert caught.value.notes == ()


def test_the_advice_is_in_the_reason_of_a_plugin_that_failed(maker):
    host = maker.start(plugin="import threading\nthreading.Thread(target=print, daemon=True).start()")
    assert host.status("plugin").reason.endswith(
        "; start it without daemon=True, and let an @pyhost.on_stop function end it"
    )


# (the code, its result)
ALLOWED = {
    "subprocess": ("import subprocess\nresult = subprocess.run(['echo', 'hi'], stdout=-1).stdout", b"hi\n"),
    "os.system": ("import os\nresult = os.system('exit 3') >> 8", 3),
    "posix_spawn": ("import os\nresult = os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)[1]", 0),
    "a broken pipe": (
        (
            "import os\nread, write = os.pipe()\nos.close(read)\n"
            "try: os.write(write, b'x')\nexcept BrokenPipeError: result = 'raised'\nos.close(write)"
        ),
        "raised",
    ),
    "trace functions": (
        (
            "import sys, threading\nthreading.settrace_all_threads(lambda *rest: None)\n"
            "result = sys.gettrace() is not None\nsys.settrace(None)\nsys.setprofile(None)"
        ),
        True,
    ),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_it_works(host, name):
    code, result = ALLOWED[name]
    assert host.call("runner.run", code) == result
    assert sys.gettrace() is None or name != "trace functions"
    assert host.call("other.identity", 1) == 1


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_of_multiprocessing(run_program, method):
    outcome = run_program(
        """
        if __name__ == "__main__":
            host = maker.start(plugin=RUNNER)
            print(host.call("plugin.run", START))
        """,
        RUNNER=RUNNER,
        START=f"import multiprocessing\nchild = multiprocessing.get_context({method!r}).Process(target=abs, args=(1,))\n"
        "child.start()\nchild.join()\nresult = child.exitcode",
    )
    assert (outcome.code, outcome.output) == (0, "0\n"), outcome.errors


def test_a_raising_trace_function_hits_its_own_plugin_only(host):
    host.call("runner.run", "import sys\ndef trace(*rest): raise ValueError('trace')\nsys.settrace(trace)")
    with pytest.raises(PluginError, match="ValueError: trace"):
        host.call("runner.identity", 1)
    assert host.call("other.identity", 1) == 1
    assert host.call("runner.identity", 1) == 1


# What is the process's own, and no guard covers: the documentation says so, and this says that it is so.
def test_the_working_folder_the_umask_and_the_environment_are_everybodys(run_program, tmp_path):
    outcome = run_program(
        """
        import subprocess
        host = maker.start(plugin=CHANGE)
        host.call("plugin.change", PLACE)
        print(os.getcwd() == PLACE, oct(os.umask(0o22)), os.environ.get("PYHOST_TEST"))
        print(subprocess.run(["printenv", "PYHOST_TEST"], stdout=subprocess.PIPE, text=True).stdout)
        """,
        PLACE=os.path.realpath(tmp_path),
        CHANGE="""
import os
import pyhost

@pyhost.export
def change(folder):
    os.chdir(folder)
    os.umask(0o77)
    os.environ["PYHOST_TEST"] = "a child's"
""",
    )
    assert (outcome.code, outcome.output) == (0, "True 0o77 None\na child's\n\n"), outcome.errors
