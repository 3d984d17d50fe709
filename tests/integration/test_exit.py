"""How a process with plugins ends: its exit code, and that it does. Each program has a process of its own."""

from __future__ import annotations

import signal

import pytest
from support.plugins import COMMON
from support.programs import Program

from pyhost.host import EXIT_LOST

PLUGIN = (
    COMMON
    + """
import _thread
import sys
import threading

@pyhost.export
def tell():
    return 1

@pyhost.export(direct=True)
def direct():
    return 2

@pyhost.export
def spin():
    while True:
        pass

@pyhost.export
def leave():
    sys.exit(9)

@pyhost.export
def start_thread(barrier):
    threading.Thread(target=hold, args=[barrier]).start()

@pyhost.export
def start_unknown_thread(barrier):
    _thread.start_new_thread(hold, (barrier,))
"""
)
BUSY_ON_STOP = """
import pyhost

@pyhost.on_stop
def spin():
    while True:
        pass
"""

# (the program, its exit code, what it prints, what it says on standard error)
PROGRAMS = {
    "closed": (
        """
        host = maker.start(plugin=COMMON)
        print(host.call("plugin.identity", 1))
        host.close()
        """,
        0,
        "1\n",
        "",
    ),
    "not closed": (
        """
        host = maker.start(plugin=COMMON)
        print(host.call("plugin.identity", 1))
        """,
        0,
        "1\n",
        "",
    ),
    "not closed, and forgotten": (
        """
        print(maker.start(plugin=COMMON).call("plugin.identity", 1))
        del maker
        """,
        0,
        "1\n",
        "",
    ),
    "several that are not closed": (
        """
        hosts = [maker.start(plugin=COMMON) for _ in range(3)]
        print([host.call("plugin.identity", 1) for host in hosts])
        """,
        0,
        "[1, 1, 1]\n",
        "",
    ),
    "scanned after it was closed": (
        """
        host = maker.start(plugin=PLUGIN)
        host.close()
        print(host.rescan().loaded)
        host.submit("plugin.spin", timeout=0.3)
        """,
        0,
        "('plugin',)\n",
        "",
    ),
    "not started": (
        """
        host = pyhost.Host()
        """,
        0,
        "",
        "",
    ),
    "not closed after calls of every kind": (
        """
        import asyncio, itertools
        host = maker.start(plugin=PLUGIN)
        print(host.submit("plugin.identity", 1).result(), host.call("plugin.direct"))
        print(asyncio.run(host.acall("plugin.identity", 3)))
        results = host.map("plugin.identity", itertools.count())
        print(next(results))
        """,
        0,
        "1 2\n3\n0\n",
        "",
    ),
    "not closed, with an exit code": (
        """
        host = maker.start(plugin=COMMON)
        sys.exit(7)
        """,
        7,
        "",
        "",
    ),
    "not closed, with an exception": (
        """
        host = maker.start(plugin=COMMON)
        raise LookupError("the end")
        """,
        1,
        "",
        "LookupError: the end",
    ),
    "a failed plugin": (
        """
        maker.write("plugin", "raise LookupError('no wares')", restart={"policy": "never"})
        print(maker.start().status("plugin").state)
        """,
        0,
        "fatal\n",
        "plugin plugin: fatal: LookupError: no wares",
    ),
    "a plugin that is tried again and again": (
        """
        maker.write("plugin", "raise LookupError('no wares')", restart={"intensity": 100})
        host = maker.start()
        while host.status("plugin").restarts_total < 3:
            pass
        print(host.call("plugin.tell") if host.status("plugin").state == "running" else "not yet")
        """,
        0,
        "not yet\n",
        "plugin plugin: restarts in ",
    ),
    "a broken change": (
        """
        host = maker.start(plugin=COMMON)
        maker.write("plugin", "import asyncio, json\\nraise LookupError('no wares')", interpreters=3)
        print(host.rescan().failed)
        """,
        0,
        "('plugin',)\n",
        "plugin plugin: version 0 did not start, the one before serves on: LookupError: no wares",
    ),
    "a host in a thread": (
        """
        import threading
        def run():
            host = maker.start(plugin=COMMON)
            print(host.call("plugin.identity", 1))
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        """,
        0,
        "1\n",
        "",
    ),
    "threads that call till the end": (
        """
        import threading
        host = maker.start(plugin=PLUGIN)
        started = threading.Barrier(5)
        def run(name):
            host.call(name)
            started.wait()
            try:
                while True:
                    host.call(name)
            except pyhost.CallError as error:
                pass
        for name in ("plugin.direct", "plugin.tell") * 2:
            threading.Thread(target=run, args=[name], daemon=True).start()
        started.wait()
        """,
        0,
        "",
        "",
    ),
    "a busy plugin": (
        """
        host = maker.start(plugin=PLUGIN)
        spinning = host.submit("plugin.spin")
        while not host.status("plugin").interpreters[0].running:
            pass
        host.close(grace=0.05)
        print(type(spinning.exception()).__name__)
        """,
        0,
        "CallCancelledError\n",
        "",
    ),
    "a busy on_stop": (
        """
        host = maker.start(plugin=BUSY_ON_STOP)
        """,
        0,
        "",
        "DeadlineInterrupt",
    ),
    "a plugin that sleeps outside Python": (
        """
        barrier = Barrier()
        host = maker.start(plugin=COMMON)
        holding = host.submit("plugin.hold", barrier.keys)
        barrier.wait_arrived()
        host.close(grace=0.05)
        print(type(holding.exception()).__name__, _core.lost_count())
        """,
        EXIT_LOST,
        "CallCancelledError 1\n",
        f"1 interpreter(s) did not end; the process ends without them, exit code {EXIT_LOST}",
    ),
    "a plugin's thread that never ends": (
        """
        barrier = Barrier()
        host = maker.start(plugin=PLUGIN)
        host.call("plugin.start_thread", barrier.keys)
        barrier.wait_arrived()
        host.close(grace=0.05)
        print(_core.lost_count())
        """,
        EXIT_LOST,
        "1\n",
        f"exit code {EXIT_LOST}",
    ),
    "a plugin's thread that threading does not know": (
        """
        barrier = Barrier()
        host = maker.start(plugin=PLUGIN)
        host.call("plugin.start_unknown_thread", barrier.keys)
        barrier.wait_arrived()
        host.close(grace=0.05)
        print(_core.lost_count())
        """,
        EXIT_LOST,
        "1\n",
        f"exit code {EXIT_LOST}",
    ),
    "what has come back is not lost": (
        """
        import threading
        barrier = Barrier()
        host = maker.start(plugin=COMMON)
        host.submit("plugin.hold", barrier.keys)
        barrier.wait_arrived()
        host.close(grace=0.05)
        print(_core.lost_count())
        barrier.open()
        while _core.lost_count():
            pass
        """,
        0,
        "1\n",
        "",
    ),
    "a plugin that exits": (
        """
        host = maker.start(plugin=PLUGIN)
        try:
            host.call("plugin.leave")
        except pyhost.PluginError as error:
            print(error.type_name)
        """,
        0,
        "SystemExit\n",
        "",
    ),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """All programs, started together: most of them only wait."""
    folder = tmp_path_factory.mktemp("programs")
    programs = {
        name: Program(folder / f"{index}", code, PLUGIN=PLUGIN, BUSY_ON_STOP=BUSY_ON_STOP)
        for index, (name, (code, *_)) in enumerate(PROGRAMS.items())
    }
    yield {name: program.finish() for name, program in programs.items()}
    for program in programs.values():
        program.kill()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_ends(outcomes, name):
    _, code, output, errors = PROGRAMS[name]
    outcome = outcomes[name]
    assert (outcome.code, outcome.output) == (code, output), outcome.errors
    assert errors in outcome.errors
    assert outcome.errors == "" or errors


def test_x_tracemalloc_is_refused(run_program):
    outcome = run_program("pyhost.Host()", options=("-X", "tracemalloc"))
    assert outcome.code == 1
    assert "ConfigurationError: tracemalloc is tracing, and crashes with sub-interpreters" in outcome.errors
    assert "run without -X tracemalloc" in outcome.errors


# Says so when the plugin has been called and the main thread sleeps, from where only an answer or a signal wakes it.
TELL = """
import threading

def tell():
    barrier.wait_arrived()
    state = Path(f"/proc/self/task/{threading.main_thread().native_id}/stat")
    while state.read_text().rpartition(")")[2].split()[0] != "S":
        pass
    print("asleep", flush=True)

barrier = Barrier()
threading.Thread(target=tell).start()
"""


class TestSigint:
    @pytest.mark.parametrize(
        "wait",
        [
            "host.call('plugin.hold', barrier.keys)",
            "host.submit('plugin.hold', barrier.keys).result()",
            "next(host.map('plugin.hold', [barrier.keys]))",
            "asyncio.run(host.acall('plugin.hold', barrier.keys))",
            "host.submit('plugin.hold', barrier.keys) and host.close(grace=60)",
        ],
    )
    def test_interrupts_every_way_of_waiting(self, start_program, wait):
        program = start_program(
            f"""
            import asyncio

            exec(TELL)
            host = maker.start(plugin=COMMON)
            try:
                {wait}
            except KeyboardInterrupt:
                print("interrupted", flush=True)
            barrier.open()
            host.close()
            host.start()
            print(host.call("plugin.identity", "serves again"))
            maker.close()
            """,
            TELL=TELL,
        )
        assert program.output.readline() == "asleep\n"
        program.process.send_signal(signal.SIGINT)
        outcome = program.finish()
        assert (outcome.code, outcome.output) == (0, "interrupted\nserves again\n"), outcome.errors

    def test_that_nobody_catches_ends_the_program_as_it_ends_any(self, start_program):
        program = start_program("""
            barrier = Barrier()
            host = maker.start(plugin=COMMON)
            barrier.open()
            print("calling", flush=True)
            while True:
                host.call("plugin.identity", 1)
        """)
        assert program.output.readline() == "calling\n"
        program.process.send_signal(signal.SIGINT)
        outcome = program.finish()
        assert outcome.code == -signal.SIGINT
        assert outcome.errors.endswith("KeyboardInterrupt\n")
