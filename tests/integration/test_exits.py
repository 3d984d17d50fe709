"""What a plugin raises or calls to end something: the process goes on, and whoever asked is told."""

from __future__ import annotations

import signal

import pytest
from support.plugins import COMMON

from pyhost.errors import PluginError

# Compiled first: text that is executed and raises KeyboardInterrupt marks the whole process as interrupted.
RUNNER = (
    COMMON
    + """
import threading

def run(code):
    names = {"pyhost": pyhost}
    exec(compile(code, "<code>", "exec"), names)
    return names.get("result")

export = pyhost.export(run, name="plain")

@pyhost.export(direct=True)
def direct(code):
    return run(code)

@pyhost.export
def in_thread(code):
    thread = threading.Thread(target=run, args=[code])
    thread.start()
    thread.join()
"""
)
ASYNC_RUNNER = (
    RUNNER
    + """
@pyhost.export
async def task(code):
    return run(code)
"""
)

# (the code, the type of what arrives, how its message begins)
EXITS = {
    "sys.exit": ("import sys\nsys.exit(3)", "SystemExit", "3"),
    "exit": ("exit(3)", "SystemExit", "3"),
    "SystemExit": ("raise SystemExit", "SystemExit", ""),
    "os._exit": ("import os\nos._exit(3)", "SystemExit", "os._exit(3) would end the host with every other plugin"),
    "os._exit by name": ("import os\nos._exit(status=3)", "SystemExit", "os._exit(3) would end the host"),
    "os.abort": ("import os\nos.abort()", "SystemExit", "os.abort() would end the host with every other plugin"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
    "GeneratorExit": ("raise GeneratorExit('left')", "GeneratorExit", "left"),
    "CancelledError": (
        "import asyncio\nraise asyncio.CancelledError('no more')",
        "asyncio.exceptions.CancelledError",
        "no more",
    ),
    "a class of its own": ("class End(BaseException):\n    pass\nraise End('now')", "builtins.End", "now"),
}


@pytest.fixture(scope="module")
def host(module_maker):
    return module_maker.start(runner=RUNNER, loop=ASYNC_RUNNER, other=COMMON)


@pytest.mark.parametrize("function", ["runner.plain", "runner.direct", "loop.plain", "loop.task"])
@pytest.mark.parametrize("name", EXITS)
def test_in_a_call_it_ends_the_call_only(host, function, name):
    code, type_name, message = EXITS[name]
    with pytest.raises(PluginError) as caught:
        host.call(function, code)
    assert caught.value.type_name.endswith(type_name.removeprefix("builtins."))
    assert caught.value.message.startswith(message)
    assert host.call(function.partition(".")[0] + ".identity", 1) == 1
    assert host.call("other.identity", 2) == 2


@pytest.mark.parametrize("name", EXITS)
def test_in_a_thread_of_the_plugin_it_ends_the_thread_only(host, name):
    host.call("runner.in_thread", EXITS[name][0])
    assert host.call("runner.identity", 1) == 1


@pytest.mark.parametrize("name", EXITS)
@pytest.mark.parametrize("place", ["import", "on_start"])
def test_at_the_start_it_is_why_the_plugin_failed(maker, name, place):
    code, type_name, message = EXITS[name]
    if place == "on_start":
        code = "@pyhost.on_start\ndef start():\n" + indented(code)
    maker.write("plugin", COMMON + "\n" + code, restart={"policy": "never"})
    host = maker.start(other=COMMON)
    status = host.status("plugin")
    assert status.state == ("stopped" if name == "SystemExit" else "fatal")  # without a code it is no failure
    assert type_name.rpartition(".")[2] in status.reason
    assert message in status.reason
    assert host.call("other.identity", 1) == 1


@pytest.mark.parametrize("name", EXITS)
@pytest.mark.parametrize("place", ["on_stop", "atexit", "__del__"])
def test_at_the_end_it_is_reported_and_the_end_goes_on(maker, capfd, caplog, name, place):
    code, type_name, message = EXITS[name]
    heads = {
        "on_stop": "@pyhost.on_stop\ndef last():\n",
        "atexit": "import atexit\n@atexit.register\ndef last():\n",
        "__del__": "class Last:\n  def __del__(self):\n",
    }
    tail = "\nlast = Last()" if place == "__del__" else ""
    after = "\n@pyhost.on_stop\ndef after():\n    print('the next one ran')\n"
    host = maker.start(plugin=COMMON + "\n" + heads[place] + indented(code) + tail + after, other=COMMON)
    host.stop_plugin("plugin")
    assert host.call("other.identity", 1) == 1
    host.close()  # every record has been read then
    captured = capfd.readouterr()
    assert captured.out == "plugin: the next one ran\n"
    assert type_name.rpartition(".")[2] in captured.err + caplog.text
    assert message in captured.err + caplog.text


def indented(code: str) -> str:
    return "".join(f"    {line}\n" for line in code.splitlines())


KILL = "\n@pyhost.export\ndef kill(number): os.kill(os.getpid(), number)\n"


# What the system does to the process cannot be guarded against.
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_ends_the_host(run_program, number):
    outcome = run_program(
        """
        host = maker.start(plugin=COMMON + KILL)
        host.call("plugin.kill", number)
        """,
        KILL=KILL,
        number=int(number),
    )
    assert outcome.code == -number


def test_sigint_reaches_the_programs_main_thread(run_program):
    outcome = run_program(
        """
        import signal, time
        host = maker.start(plugin=COMMON + KILL)
        try:
            host.call("plugin.kill", signal.SIGINT)
            time.sleep(60)
        except KeyboardInterrupt:
            print(host.call("plugin.identity", "serves on"))
        """,
        KILL=KILL,
    )
    assert (outcome.code, outcome.output) == (0, "serves on\n"), outcome.errors


# What is raised when an exception is described, and when its value is encoded.
EXCEPTIONS = {
    "str() raises": ("def __str__(self): raise ValueError", "(its str() raised ValueError)"),
    "str() exits": ("def __str__(self): raise SystemExit(4)", "(its str() raised SystemExit)"),
    "str() is none": ("def __str__(self): return 5", "(its str() raised TypeError)"),
    "no attributes": ("def __getattribute__(self, name): raise ValueError(name)", "x"),
    "bad notes": ("__notes__ = property(lambda self: 1 / 0)", "x"),
    "notes that raise": ("@property\n  def __notes__(self): return [type(self)()] * 3", "x"),
    "a module that is none": ("__module__ = 5", "x"),
    "a long text": ("def __str__(self): return 'x' * 5_000_000", "x"),
}


class TestExceptionsThatMisbehave:
    @pytest.mark.parametrize("function", ["runner.plain", "runner.direct", "loop.task"])
    @pytest.mark.parametrize("name", EXCEPTIONS)
    def test_it_arrives_as_far_as_it_can_be_described(self, host, function, name):
        body, message = EXCEPTIONS[name]
        with pytest.raises(PluginError) as caught:
            host.call(function, f"class Odd(Exception):\n  {body}\nraise Odd('x')")
        assert "Odd" in caught.value.type_name
        assert caught.value.message.startswith(message)
        assert len(caught.value.message) < 1_100_000
        assert len(caught.value.traceback_text) < 1_100_000
        assert host.call(function.partition(".")[0] + ".identity", 1) == 1

    def test_a_long_text_says_what_is_left_out(self, host):
        with pytest.raises(PluginError, match=r"x\n\[1424 characters are left out\]\nx"):
            host.call("runner.plain", "raise ValueError('x' * 1_050_000)")

    @pytest.mark.parametrize("function", ["runner.plain", "runner.direct", "loop.task"])
    def test_a_chain_of_a_thousand_arrives(self, host, function):
        code = """
error = None
for number in range(1000):
    caught = ValueError(number)
    caught.__cause__ = error
    error = caught
raise error
"""
        with pytest.raises(PluginError, match="ValueError: 999"):
            host.call(function, code)

    @pytest.mark.parametrize("function", ["runner.plain", "runner.direct", "loop.plain", "loop.task"])
    @pytest.mark.parametrize(
        ("method", "last"),
        [("__str__", "raise Odd"), ("__repr__", "raise KeyError(Odd())"), ("__reduce__", "result = Odd()")],
    )
    def test_one_that_hangs_is_interrupted_at_the_deadline(self, host, function, method, last):
        """While its text is made, or the value that is returned is encoded."""
        code = f"class Odd(Exception):\n  def {method}(self, *rest):\n    while True: pass\n{last}"
        with pytest.raises((TimeoutError, PluginError)):
            host.call(function, code, timeout=0.2)
        assert host.call(function.partition(".")[0] + ".identity", 1) == 1

    def test_a_stop_iteration_from_a_coroutine(self, host):
        with pytest.raises(PluginError, match="RuntimeError: coroutine raised StopIteration"):
            host.call("loop.task", "raise StopIteration(4)")
