"""What plugins print and log, as their host gets it."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import signal
import subprocess
import threading

import httpx
import pytest
from support import PATIENCE
from support.logs import printed, wait_records
from support.plugins import COMMON, NEVER

from pyhost import logs
from pyhost.exit_codes import ExitCode
from pyhost.logs import KEPT_RECORDS

TALKER = (
    COMMON
    + """
import sys
import threading

@pyhost.export
def say(*words):
    print(*words)

@pyhost.export(direct=True)
def say_directly(word):
    print(word)

@pyhost.export
def say_twice(word):
    print(word)
    print(word, file=sys.stderr)

@pyhost.export
def begin(word):
    print(word, end="")

@pyhost.export
def run(code):
    exec(code, globals())

@pyhost.export
def evaluate(expression):
    return eval(expression)

@pyhost.export
def relay(function, *args):
    print("before")
    value = pyhost.call(function, *args)
    print("after")
    return value
"""
)


@pytest.fixture
def host(maker):
    maker.write("talker", TALKER, version="1.5")
    return maker.start()


class TestPrints:
    def test_each_line_is_a_record_that_says_where_it_is_from(self, host):
        host.call("talker.say", "hello", 1)
        host.call("talker.say_twice", "again")
        first, second, third = wait_records(host, "talker", 3)
        (interpreter,) = host.status("talker").interpreters
        assert (first.message, first.logger, first.level) == ("hello 1", "stdout", logging.INFO)
        assert (second.message, second.logger, second.level) == ("again", "stdout", logging.INFO)
        assert (third.message, third.logger, third.level) == ("again", "stderr", logging.WARNING)
        for record in (first, second, third):
            assert (record.plugin, record.version, record.interpreter) == ("talker", "1.5", interpreter.id)
        assert first.call != second.call == third.call
        assert [first.number, second.number, third.number] == [1, 2, 3]

    def test_outside_of_calls_there_is_no_call(self, maker):
        host = maker.start(
            plugin="""
            import threading
            import pyhost

            print("import")

            @pyhost.on_start
            def start():
                print("start")
                thread = threading.Thread(target=print, args=["thread"])
                thread.start()
                thread.join()

            @pyhost.on_stop
            def stop():
                print("stop")
            """
        )
        host.close()
        records, _ = host.logs.read("plugin")
        assert [record.message for record in records] == ["import", "start", "thread", "stop"]
        assert {record.call for record in records} == {None}

    def test_a_direct_call_is_its_plugins_and_has_a_number_of_its_own(self, maker):
        host = maker.start(talker=TALKER, other=TALKER)
        host.call("talker.say_directly", "from the host")
        host.call("other.relay", "talker.say_directly", "from a plugin")
        host.call("talker.say_directly", "again")
        mine = wait_records(host, "talker", 3)
        before, after = wait_records(host, "other", 2)
        assert [record.message for record in mine] == ["from the host", "from a plugin", "again"]
        assert before.call == after.call
        assert len({before.call, *(record.call for record in mine)}) == 4

    def test_a_line_that_is_begun_ends_with_its_call(self, host):
        host.call("talker.begin", "one")
        host.call("talker.begin", "two")
        host.call("talker.run", "print('three', end='', flush=True); print('four')")
        assert printed(host, "talker", 4) == ["one", "two", "three", "four"]

    def test_a_begun_line_stands_before_what_is_logged_after_it(self, host):
        host.call("talker.run", "import logging; print('begun', end=''); logging.warning('logged')")
        assert printed(host, "talker", 2) == ["begun", "logged"]

    def test_what_async_calls_print_is_not_mixed(self, maker):
        host = maker.start(
            talker="""
            import asyncio
            import pyhost

            both = []

            @pyhost.export
            async def say(name):
                both.append(name)
                while len(both) < 2:
                    await asyncio.sleep(0)
                for _ in range(3):
                    print(name, end="")
                    await asyncio.sleep(0)
                    print(name)
            """
        )
        calls = [host.submit("talker.say", name) for name in "ab"]
        for call in calls:
            call.result(PATIENCE)
        host.close()
        records, _ = host.logs.read("talker")
        assert {record.call: set(record.message) for record in records} in (
            {records[0].call: {"a"}, records[-1].call: {"b"}},
            {records[0].call: {"b"}, records[-1].call: {"a"}},
        )

    def test_what_threads_print_is_not_mixed(self, host):
        host.call(
            "talker.run",
            "def say(letter):\n"
            "    for _ in range(100):\n"
            "        print(letter, end=''); print(letter, end=''); print(letter)\n"
            "threads = [threading.Thread(target=say, args=[letter]) for letter in 'abcd']\n"
            "for thread in threads: thread.start()\n"
            "for thread in threads: thread.join()\n",
        )
        messages = printed(host, "talker", 400)
        assert sorted(messages) == sorted(letter * 3 for letter in "abcd" for _ in range(100))

    def test_the_streams_are_what_python_programs_expect(self, host):
        assert host.call("talker.evaluate", "sys.stdout is sys.__stdout__ and sys.stderr is sys.__stderr__")
        for name, number in (("stdout", 1), ("stderr", 2)):
            assert host.call("talker.evaluate", f"sys.{name}.fileno()") == number
            assert host.call("talker.evaluate", f"sys.{name}.isatty()") is False
            assert host.call("talker.evaluate", f"sys.{name}.encoding") == "utf-8"
            assert host.call("talker.evaluate", f"sys.{name}.name") == f"<{name}>"
            assert host.call("talker.evaluate", f"(sys.{name}.writable(), sys.{name}.readable())") == (True, False)
            assert host.call("talker.evaluate", f"sys.{name}.write('four')") == 4
            assert host.call("talker.evaluate", f"sys.{name}.buffer.write(b'bytes')") == 5
            with pytest.raises(Exception, match="TypeError: write\\(\\) argument must be str, not int"):
                host.call("talker.run", f"sys.{name}.write(4)")
            with pytest.raises(Exception, match="TypeError"):
                host.call("talker.run", f"sys.{name}.buffer.write('text')")

    def test_whatever_is_written_arrives(self, host):
        host.call(
            "talker.run",
            "sys.stdout.buffer.write(b'bytes \\xff\\n'); print('\\udc80 \\0 é'); sys.stdout.writelines(['a\\n', 'b'])",
        )
        host.call("talker.run", "sys.stdout.reconfigure(line_buffering=True, errors='replace'); print('\\udc80')")
        assert printed(host, "talker", 5) == ["bytes \ufffd", "\\udc80 \0 é", "a", "b", "?"]

    def test_a_long_line_is_cut_and_says_so(self, host):
        host.call("talker.say", "x" * 70_000)
        (message,) = printed(host, "talker", 1)
        assert message == "x" * 65_536 + "… (4464 bytes more were cut)"

    def test_a_traceback_is_one_record(self, host):
        host.call(
            "talker.run",
            "import traceback\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    traceback.print_exc()\nprint('next', file=sys.stderr)",
        )
        first, second = printed(host, "talker", 2)
        assert first.startswith("Traceback (most recent call last):\n")
        assert first.endswith("\nZeroDivisionError: division by zero")
        assert second == "next"

    def test_what_is_printed_at_the_very_end_arrives_and_harms_nothing(self, maker):
        host = maker.start(
            plugin="""
            import atexit, sys

            class Last:
                def __del__(self):
                    print("deleted")
                    print("deleted", file=sys.stderr)

            last = Last()
            last.cycle = last
            atexit.register(print, "atexit")
            """
        )
        host.close()
        assert sorted(printed(host, "plugin")) == ["atexit", "deleted", "deleted"]


class TestLogging:
    def test_needs_no_configuration(self, host):
        host.call(
            "talker.run",
            "import logging\nlogger = logging.getLogger('app.db')\n"
            "logger.debug('no')\nlogger.info('%d rows', 3)\nlogger.error('bad')\nlogging.log(25, 'between')",
        )
        records = wait_records(host, "talker", 3)
        assert [(record.logger, record.level, record.message) for record in records] == [
            ("app.db", logging.INFO, "3 rows"),
            ("app.db", logging.ERROR, "bad"),
            ("root", 25, "between"),
        ]
        assert len({record.call for record in records}) == 1

    def test_a_level_that_the_plugin_sets_wins(self, host):
        host.call("talker.run", "import logging; logging.getLogger().setLevel('DEBUG'); logging.debug('yes')")
        assert printed(host, "talker", 1) == ["yes"]

    def test_the_host_sets_the_level_to_begin_with(self, maker):
        maker.write("talker", TALKER)
        host = maker.make()
        host.logs.level = logging.ERROR
        host.start()
        host.call("talker.run", "import logging; logging.warning('no'); logging.error('yes')")
        assert printed(host, "talker", 1) == ["yes"]

    def test_a_warm_interpreter_may_have_imported_it(self, maker):
        maker.write("talker", TALKER)
        host = maker.make(warm=1, preload=["logging"])
        host.start()
        host.reload_plugin("talker")  # now it runs in one that was kept
        host.call("talker.run", "import logging; logging.info('warm'); print('printed')")
        records = wait_records(host, "talker", 2)
        assert [(record.logger, record.message, record.version) for record in records] == [
            ("root", "warm", "0"),
            ("stdout", "printed", "0"),
        ]

    def test_basic_config_changes_nothing(self, host):
        host.call(
            "talker.run", "import logging; logging.basicConfig(format='!', level='ERROR'); logging.info('as it is')"
        )
        (record,) = wait_records(host, "talker", 1)
        assert (record.message, record.logger) == ("as it is", "root")

    def test_an_exception_brings_its_traceback(self, host):
        host.call(
            "talker.run", "import logging\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.exception('oh')"
        )
        (message,) = printed(host, "talker", 1)
        assert message.startswith("oh\nTraceback (most recent call last):\n")
        assert message.endswith("\nZeroDivisionError: division by zero")

    def test_one_that_cannot_be_formatted_is_reported(self, host):
        host.call("talker.run", "import logging; logging.info('%d', 'x'); logging.info('fine')")
        host.close()
        messages = printed(host, "talker")
        assert messages[0] == "--- Logging error ---"
        assert messages[-1] == "fine"
        assert any("\nTypeError: " in message for message in messages)

    def test_it_is_imported_by_the_plugin_alone(self, host):
        host.call("talker.say_twice", "hello")
        assert not host.call("talker.evaluate", "{'logging', 'traceback', 'pyhost.guest_log'} & set(sys.modules)")
        host.call("talker.run", "import logging, logging.handlers; import importlib; importlib.reload(logging)")
        assert not host.call("talker.evaluate", "[finder for finder in sys.meta_path if 'pyhost' in repr(finder)]")

    def test_asyncio_brings_it_too(self, maker):
        host = maker.start(
            talker="""
            import asyncio
            import pyhost

            async def fail():
                raise LookupError("nobody asked")

            @pyhost.export
            async def forget():
                asyncio.create_task(fail())
                await asyncio.sleep(0)
            """
        )
        host.call("talker.forget")
        (record,) = [record for record in wait_records(host, "talker", 1) if record.level >= logging.ERROR]
        assert record.logger == "asyncio"
        assert record.message.startswith("Task exception was never retrieved\n")
        assert record.message.endswith("\nLookupError: nobody asked")


class TestUncaught:
    def test_in_a_thread(self, host):
        host.call(
            "talker.run",
            "thread = threading.Thread(target=lambda: 1 / 0, name='worker'); thread.start(); thread.join()",
        )
        (record,) = wait_records(host, "talker", 1)
        assert (record.logger, record.level) == ("threading", logging.ERROR)
        assert record.message.startswith("exception in thread worker\nTraceback (most recent call last):\n")
        assert record.message.endswith("\nZeroDivisionError: division by zero")

    def test_system_exit_in_a_thread_is_none(self, host):
        host.call(
            "talker.run", "thread = threading.Thread(target=sys.exit); thread.start(); thread.join(); print('next')"
        )
        assert printed(host, "talker", 1) == ["next"]

    def test_in_a_destructor(self, host):
        host.call("talker.run", "class Bad:\n    def __del__(self):\n        raise LookupError('gone')\nBad()")
        (record,) = wait_records(host, "talker", 1)
        assert (record.logger, record.level) == ("unraisable", logging.ERROR)
        assert "Bad.__del__" in record.message
        assert record.message.endswith("\nLookupError: gone")

    def test_in_a_bare_thread(self, host):
        host.call("talker.run", "import _thread; _thread.start_new_thread(lambda: 1 / 0, ())")
        (record,) = wait_records(host, "talker", 1)
        assert record.level == logging.ERROR
        assert "thread started by" in record.message
        assert record.message.endswith("\nZeroDivisionError: division by zero")

    def test_warnings_are_warnings(self, host):
        host.call("talker.run", "async def nobody_waits(): ...\nnobody_waits()")
        (record,) = wait_records(host, "talker", 1)
        assert (record.logger, record.level) == ("stderr", logging.WARNING)
        assert "nobody_waits' was never awaited" in record.message


class TestFlood:
    LINES = 100_000

    def test_a_flood_is_bounded_told_and_leaves_the_others_alone(self, maker):
        host = maker.start(flooding=TALKER, quiet=TALKER)
        counts = {"heard": 0, "lost": 0}

        class Counting(logging.Handler):
            def emit(self, record):
                lost = re.match(r"(\d+) records of interpreter \d+ are lost", record.getMessage())
                counts["heard" if lost is None else "lost"] += 1 if lost is None else int(lost[1])

        handler = Counting()
        logger = logging.getLogger("pyhost.plugin.flooding")
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            flood = host.submit("flooding.run", f"for number in range({self.LINES}): print('line', number)")
            for number in range(20):
                host.call("quiet.say", number)
            flood.result(PATIENCE)
            host.close()
        finally:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
        assert printed(host, "quiet") == [str(number) for number in range(20)]
        assert counts["heard"] + counts["lost"] == self.LINES
        records, dropped = host.logs.read("flooding")
        assert len(records) == KEPT_RECORDS
        assert records[-1].number == KEPT_RECORDS + dropped >= counts["heard"]


class TestHost:
    def test_closing_reads_what_there_is(self, host):
        host.call("talker.run", "for number in range(500): print(number)")
        host.close()
        assert printed(host, "talker") == [str(number) for number in range(500)]

    def test_a_host_that_starts_again_reads_again(self, host):
        host.call("talker.say", "before")
        host.close()
        host.start()
        host.call("talker.say", "after")
        assert printed(host, "talker", 2) == ["before", "after"]

    def test_what_a_version_said_stays_when_it_goes(self, maker):
        maker.write("talker", TALKER, version="1")
        host = maker.start()
        host.call("talker.say", "old")
        maker.write("talker", TALKER, version="2")
        host.reload_plugin("talker")
        host.call("talker.say", "new")
        host.stop_plugin("talker")
        records = wait_records(host, "talker", 2)
        assert [(record.version, record.message) for record in records] == [("1", "old"), ("2", "new")]
        assert records[0].interpreter != records[1].interpreter

    def test_one_that_does_not_load_has_said_why(self, maker):
        maker.write("broken", "print('on my way')\nraise LookupError('no wares')", restart=NEVER)
        host = maker.start()
        assert printed(host, "broken", 1) == ["on my way"]

    def test_programs_get_log_records(self, host, caplog):
        caplog.set_level(logging.INFO, "pyhost.plugin")
        host.call(
            "talker.run", "import logging; print('hello'); logging.getLogger('app').error('bad'); logging.info('root')"
        )
        host.close()
        hello, bad, root = (record for record in caplog.records if record.name.startswith("pyhost.plugin."))
        assert (hello.name, hello.levelno, hello.getMessage()) == ("pyhost.plugin.talker.stdout", logging.INFO, "hello")
        assert (bad.name, bad.levelno) == ("pyhost.plugin.talker.app", logging.ERROR)
        assert root.name == "pyhost.plugin.talker"
        assert (hello.plugin, hello.version, hello.call) == ("talker", "1.5", bad.call)
        assert "pyhost.plugin.talker.app" not in logging.Logger.manager.loggerDict

    def test_a_handler_that_raises_does_not_end_the_reader(self, host, caplog):
        class Failing(logging.Handler):
            def emit(self, record):
                raise LookupError("no disk")

        logger = logging.getLogger("pyhost.plugin.talker.stderr")
        handler = Failing()
        logger.addHandler(handler)
        try:
            host.call("talker.say_twice", "heard")
            host.close()
        finally:
            logger.removeHandler(handler)
        assert printed(host, "talker") == ["heard", "heard"]
        assert "a record of plugin 'talker' could not be logged" in caplog.text

    def test_a_handler_that_hangs_does_not_hold_up_closing(self, host, monkeypatch):
        monkeypatch.setattr(logs, "_STUCK_SECONDS", 0.01)
        let_go = threading.Event()

        class Hanging(logging.Handler):
            def emit(self, record):
                let_go.wait(PATIENCE)

        logger = logging.getLogger("pyhost.plugin.talker.stderr")
        handler = Hanging()
        logger.addHandler(handler)
        reader = host.logs._thread
        try:
            host.call("talker.say_twice", "heard")
            host.close()
            assert reader.is_alive()
        finally:
            let_go.set()
            reader.join(PATIENCE)
            logger.removeHandler(handler)
        assert not reader.is_alive()

    def test_watchers_are_told_of_their_plugin_alone(self, maker):
        host = maker.start(talker=TALKER, other=TALKER)
        told = threading.Event()
        with host.logs.watch("other", told.set):
            host.call("talker.say", "hello")
            wait_records(host, "talker", 1)
            assert not told.is_set()
            host.call("other.say", "hello")
            assert told.wait(PATIENCE)


class TestPrograms:
    """What an ordinary program sees that uses a host."""

    SAY = """
    {configure}
    host = maker.start(plugin=TALKER)
    host.call("plugin.run", "import logging; print('out'); print('err', file=sys.stderr); logging.info('info'); logging.error('error')")
    host.close()
    """

    def test_without_logging_prints_come_out_with_the_plugins_name(self, run_program):
        outcome = run_program(self.SAY.format(configure=""), TALKER=TALKER)
        assert (outcome.code, outcome.output) == (0, "plugin: out\n")
        assert outcome.errors == "plugin: err\nplugin: ERROR root: error\n"

    def test_what_logging_takes_goes_there(self, run_program):
        outcome = run_program(
            self.SAY.format(
                configure="import logging; logging.basicConfig(level='INFO', format='%(name)s %(message)s')"
            ),
            TALKER=TALKER,
        )
        assert (outcome.code, outcome.output) == (0, "")
        assert outcome.errors == (
            "pyhost.plugin.plugin.stdout out\npyhost.plugin.plugin.stderr err\npyhost.plugin.plugin info\n"
            "pyhost.plugin.plugin error\n"
        )

    def test_a_print_below_the_level_is_no_less_printed(self, run_program):
        configure = "import logging; logging.basicConfig(format='%(name)s %(message)s')"
        outcome = run_program(self.SAY.format(configure=configure), TALKER=TALKER)
        assert (outcome.code, outcome.output) == (0, "plugin: out\n")
        assert outcome.errors == "pyhost.plugin.plugin.stderr err\npyhost.plugin.plugin error\n"

    def test_one_without_stdout_and_stderr_goes_on(self, run_program):
        outcome = run_program(
            """
            output, sys.stdout, sys.stderr = sys.stdout, None, None
            host = maker.start(plugin=TALKER)
            host.call("plugin.say_twice", "hello")
            host.close()
            print(host.logs.read("plugin")[0][-1].message, file=output)
            """,
            TALKER=TALKER,
        )
        assert (outcome.code, outcome.output) == (0, "hello\n")

    def test_a_process_without_a_stdout_has_no_descriptor_for_it(self, run_program):
        outcome = run_program(
            """
            maker.folder.mkdir()
            host = maker.start()
            maker.write("plugin", TALKER)
            os.close(1)
            host.rescan()
            print(host.call("plugin.evaluate", "type(sys.stderr.fileno()).__name__"), file=sys.stderr)
            try:
                host.call("plugin.evaluate", "sys.stdout.fileno()")
            except Exception as error:
                print(error, file=sys.stderr)
            sys.stdout = None
            """,
            TALKER=TALKER,
        )
        assert outcome.errors.startswith(
            "int\nplugin.evaluate raised io.UnsupportedOperation: the process has no stdout\n"
        )

    def test_what_a_plugin_starts_writes_to_the_process_itself(self, run_program):
        outcome = run_program(
            """
            host = maker.start(plugin=TALKER)
            host.call("plugin.run", "import subprocess; subprocess.run(['echo', 'child'], stdout=sys.stdout)")
            """,
            TALKER=TALKER,
        )
        assert (outcome.code, outcome.output) == (0, "child\n")


@pytest.fixture
def plugins(tmp_path):
    """A server's folder with the talker."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "talker.py").write_text(TALKER)
    return folder


def say(server, *words):
    """Have the talker say the words, and wait until the server has read them."""
    with server.http() as http:
        for word in words:
            assert http.post("/call/talker/say_twice", json=[word]).status_code == 200
    server.wait_logged(f"stderr: {words[-1]}$")


class TestServer:
    def test_its_log_has_what_plugins_write(self, start_server, plugins):
        server = start_server(plugins)
        with server.http() as http:
            http.post("/call/talker/say_twice", json=["hello"])
        assert re.search(r"INFO pyhost\.plugin\.talker\.stdout: hello$", server.wait_logged("stdout: hello").rstrip())
        assert server.wait_logged("WARNING pyhost.plugin.talker.stderr: hello")

    def test_its_log_can_be_json(self, start_server, plugins):
        server = start_server(plugins, "--log-format", "json")
        with server.http() as http:
            http.post("/call/talker/say", json=["hello"])
        line = json.loads(server.wait_logged("hello"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("time"))
        assert line == {
            "level": "INFO",
            "logger": "pyhost.plugin.talker.stdout",
            "message": "hello",
            "plugin": "talker",
            "version": "0",
            "interpreter": 1,
            "call": 1,
        }
        assert server.stop() == 0
        own = json.loads(server.log.read_text().splitlines()[-1])
        assert own["logger"] == "pyhost.server"
        assert "plugin" not in own

    def test_what_is_below_its_level_is_only_in_the_plugins_log(self, start_server, plugins):
        server = start_server(plugins, "--log-level", "warning")
        with server.http() as http:
            http.post("/call/talker/say", json=["quiet"])
            http.post("/call/talker/say_twice", json=["loud"])
            server.wait_logged("stderr: loud")
            records = http.get("/plugins/talker/logs").json()["records"]
        assert [record["message"] for record in records] == ["quiet", "loud", "loud"]
        assert "quiet" not in server.log.read_text()
        assert server.stop() == 0
        assert "quiet" not in server.process.stdout.read()

    @pytest.mark.parametrize(
        "crash",
        [
            pytest.param("import ctypes; ctypes.string_at(0)", id="in a call"),
            pytest.param("import ctypes; ctypes.CDLL(None).strlen(None)", id="without the GIL"),
            pytest.param(
                "import ctypes; threading.Thread(target=ctypes.string_at, args=[0]).start()", id="in a thread"
            ),
        ],
    )
    def test_a_crash_names_the_plugin(self, start_server, plugins, crash):
        server = start_server(plugins)
        with server.http() as http, contextlib.suppress(httpx.TransportError):
            http.post("/call/talker/run", json=[crash])
        assert server.wait() == -signal.SIGSEGV
        log = server.log.read_text()
        assert "pyhost: SIGSEGV in plugin 'talker', interpreter 1\nFatal Python error: Segmentation fault\n" in log
        assert re.search(r"most recent call first.*:\n  File ", log)

    def test_a_crash_elsewhere_names_no_plugin(self, start_server, plugins):
        server = start_server(plugins)
        server.send(signal.SIGABRT)
        assert server.wait() == -signal.SIGABRT
        log = server.log.read_text()
        assert "Fatal Python error: Aborted" in log
        assert "in plugin" not in log


class TestHttp:
    """``GET /plugins/NAME/logs``."""

    @pytest.fixture
    def talking(self, start_server, plugins):
        return start_server(plugins)

    def test_the_last_records_are_there(self, talking):
        say(talking, "one", "two")
        with talking.http() as http:
            answer = http.get("/plugins/talker/logs", params={"lines": 4}).json()
            assert answer["plugin"] == "talker"
            assert [record["message"] for record in answer["records"]] == ["one", "one", "two", "two"]
            assert [record["level"] for record in answer["records"]] == ["INFO", "WARNING"] * 2
            assert answer["records"][0] | {"time": ""} == {
                "time": "",
                "level": "INFO",
                "logger": "stdout",
                "message": "one",
                "plugin": "talker",
                "version": "0",
                "interpreter": 1,
                "call": answer["records"][1]["call"],
            }
            answer = http.get("/plugins/talker/logs", params={"level": "warning", "lines": 1}).json()
            assert [record["message"] for record in answer["records"]] == ["two"]

    def test_what_is_wrong_with_a_request_is_said(self, talking):
        with talking.http() as http:
            response = http.get("/plugins/talke/logs")
            assert response.status_code == 404
            assert response.json()["detail"] == "there is no plugin 'talke'; did you mean talker?"
            response = http.get("/plugins/talker/logs", params={"follow": "yes"})
            assert response.status_code == 422
            assert response.json()["type"] == "urn:pyhost:problem:invalid-query"

    def test_following_goes_on_until_the_server_stops(self, talking):
        say(talking, "before")
        query = {"follow": "true", "lines": 1}
        with talking.http() as http, http.stream("GET", "/plugins/talker/logs", params=query) as response:
            assert response.headers["content-type"] == "application/x-ndjson"
            lines = response.iter_lines()
            assert json.loads(next(lines))["message"] == "before"
            say(talking, "after")
            assert [json.loads(next(lines))["message"] for _ in range(2)] == ["after", "after"]
            talking.send(signal.SIGTERM)
            assert list(lines) == []
        assert talking.wait() == 0
        assert "grace time" not in talking.log.read_text()

    def test_a_client_that_does_not_read_holds_nobody_up(self, talking):
        # A Unix socket holds some hundred kilobytes for a client that does not read them.
        query = {"follow": "true"}
        with talking.unix() as unix, unix.stream("GET", "/plugins/talker/logs", params=query) as response:
            for number in range(5):
                with talking.http() as http:
                    code = "for _ in range(300): print('x' * 10_000)"
                    assert http.post("/call/talker/run", json=[code]).status_code == 200
                say(talking, f"end of round {number}")
            messages = []
            for line in response.iter_lines():
                messages.append(json.loads(line)["message"])
                if messages[-1] == "end of round 4":
                    break
        assert len(messages) < 5 * 300
        assert any("records are lost: they came faster than this client read them" in text for text in messages)


class TestCommand:
    @pytest.fixture
    def server(self, start_server, plugins):
        return start_server(plugins)

    @pytest.fixture
    def start(self, pyhost_command, server):
        """A function that starts ``pyhost logs``."""

        def run(*arguments):
            command = pyhost_command("logs", "--socket", str(server.socket), *arguments)
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        return run

    def test_it_shows_the_last_records(self, server, start):
        say(server, "one", "two")
        output, errors = start("talker", "-n", "3").communicate(timeout=PATIENCE)
        assert errors == ""
        assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ", "", line) for line in output.splitlines()] == [
            "WARNING stderr [1/1] one",
            "INFO stdout [1/2] two",
            "WARNING stderr [1/2] two",
        ]
        output, _ = start("talker", "--level", "warning", "--json").communicate(timeout=PATIENCE)
        assert [json.loads(line)["message"] for line in output.splitlines()] == ["one", "two"]

    def test_following_ends_with_the_server(self, server, start):
        say(server, "before")
        with start("talker", "-f", "-n", "1") as process:
            assert process.stdout.readline().endswith("WARNING stderr [1/1] before\n")
            say(server, "after")
            assert process.stdout.readline().endswith("INFO stdout [1/2] after\n")
            assert process.stdout.readline().endswith("WARNING stderr [1/2] after\n")
            assert server.stop() == ExitCode.OK
            assert process.communicate(timeout=PATIENCE) == ("", "")
        assert process.returncode == ExitCode.OK

    def test_following_ends_with_ctrl_c(self, server, start):
        say(server, "before")
        with start("talker", "--follow", "-n", "1") as process:
            assert process.stdout.readline()
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=PATIENCE)
        assert (output, errors.strip()) == ("", "")
        assert process.returncode == ExitCode.INTERRUPTED

    def test_a_reader_that_has_gone_ends_it(self, server, start):
        say(server, "before")
        with start("talker", "-f", "-n", "1") as process:
            assert process.stdout.readline()
            process.stdout.close()
            say(server, "after")
            assert process.stderr.read() == ""
        assert process.returncode == ExitCode.CALL_FAILED

    def test_a_plugin_that_is_not_there(self, start):
        for options in ([], ["-f"]):
            process = start("talke", *options)
            assert process.communicate(timeout=PATIENCE) == (
                "",
                "pyhost: there is no plugin 'talke'; did you mean talker?\n",
            )
            assert process.returncode == ExitCode.CALL_FAILED

    def test_a_server_that_dies_is_no_server(self, server, start):
        say(server, "before")
        with start("talker", "-f", "-n", "1") as process:
            assert process.stdout.readline()
            server.process.kill()
            _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == ExitCode.NO_SERVER
        assert errors.startswith(f"pyhost: the server on {server.socket} did not answer: ")
