"""The commands against a real server."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.plugins import write_plugin

from pyhost.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 60.0


@pytest.fixture
def run(pyhost_command, tmp_path):
    """A function that runs a pyhost command; its finished process, with bytes."""

    def run_command(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            pyhost_command(*arguments), capture_output=True, cwd=tmp_path, timeout=PATIENCE, check=False
        )

    return run_command


@pytest.fixture
def call(run, server):
    """A function that calls over the server's socket."""

    def run_call(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return run("call", "--socket", str(server.socket), *arguments)

    return run_call


def printed(process: subprocess.CompletedProcess[bytes]):
    assert process.returncode == ExitCode.OK, process.stderr
    assert process.stderr == b""
    return json.loads(process.stdout)


def refused(process: subprocess.CompletedProcess[bytes], code: ExitCode) -> str:
    assert process.returncode == code
    return process.stderr.decode()


def test_arguments_go_by_position_by_name_and_both_ways(call):
    assert printed(call("probe.add", "1", "2")) == 3
    assert printed(call("probe.add", "b=5", "a=1")) == 6
    assert printed(call("probe.add", "1", "b=2", "scale=0.5")) == 1.5
    assert printed(call("probe.add", "--", "-1")) == 0
    assert printed(call("probe.echo", "text")) == "text"
    assert printed(call("probe.echo", '{"a": [null]}')) == {"a": [None]}
    assert printed(call("probe.echo")) is None


def test_a_value_given_twice_is_refused(call):
    assert refused(call("probe.add", "1", "a=2"), ExitCode.CALL_FAILED) == (
        "pyhost: probe.add got more than one value for a\n"
    )
    assert refused(call("probe.add", "1", "2", "3", "scale=2"), ExitCode.CALL_FAILED) == (
        "pyhost: probe.add cannot take these 3 positional arguments beside named ones over HTTP\n"
    )


def test_what_json_does_not_have_is_printed_all_the_same(call):
    assert call("probe.infinite", "--json").stdout == b'{"result": [1.0, Infinity]}\n'
    assert printed(call("probe.everything")) == {
        "none": None,
        "set": [3],
        "tuple": [1, 2],
        "bytes": "YWJj",
        "time": "2025-01-02T03:04:00+00:00",
    }


def test_raw_bytes_and_text_are_written_as_they_are(call):
    picture = bytes(range(256))
    parts = json.dumps([base64.b64encode(picture).decode()])
    assert call("probe.join", parts, "--raw").stdout == picture
    assert call("probe.echo", "ä", "--raw").stdout == "ä".encode()
    assert call("probe.echo", "[1]", "--raw").stdout == b"[\n  1\n]\n"


def test_the_plugins_traceback_goes_to_stderr(call):
    process = call("probe.fail", "too bad")
    assert process.stdout == b""
    error = refused(process, ExitCode.CALL_FAILED)
    assert error.startswith("pyhost: probe.fail raised ValueError: too bad\nTraceback (most recent call last):\n")
    assert error.rstrip().endswith("ValueError: too bad\na note")
    # None of pyhost's own code is in it.
    assert "pyhost/c" not in error


def test_a_problem_is_printed_as_json_on_demand(call):
    process = call("probe.add", "one", "--json")
    assert json.loads(process.stdout)["type"] == "urn:pyhost:problem:invalid-arguments"
    assert refused(process, ExitCode.CALL_FAILED) == "pyhost: a is 'one'; allowed: an integer\n"


def test_a_call_that_takes_too_long_is_given_up(call, gate):
    process = call("probe.wait_for_ever", gate.path, "--timeout", "0.1")
    assert refused(process, ExitCode.CALL_FAILED) == "pyhost: probe.wait_for_ever did not answer by its deadline\n"


def test_a_name_that_is_not_there_comes_with_a_suggestion(call):
    assert refused(call("probe.ad"), ExitCode.CALL_FAILED) == (
        "pyhost: plugin 'probe' exports no function 'ad'; did you mean add?\n"
    )
    assert refused(call("a/b?.c d"), ExitCode.CALL_FAILED).startswith("pyhost: there is nothing at /call/a/b?/c d")


def test_ps_shows_every_plugin_and_why_one_failed(run, server):
    process = run("ps", "--socket", str(server.socket))
    lines = process.stdout.decode().splitlines()
    assert process.returncode == ExitCode.OK
    assert lines[0].split()[:4] == ["NAME", "VERSION", "STATE", "INTERPRETERS"]
    assert [line.split()[0] for line in lines[1:]] == ["broken", "narrow", "probe", "broken:"]
    assert lines[-1] == "broken: RuntimeError: no luck"
    listed = printed(run("ps", "--socket", str(server.socket), "--json"))
    assert [plugin["state"] for plugin in listed["plugins"]] == ["fatal", "running", "running"]
    assert listed["process"]["rss"] > 0


def test_ps_v_shows_what_has_happened(run, start_server, tmp_path):
    plugins = tmp_path / "plugins"
    write_plugin(plugins, "looping", "raise LookupError('no wares')", restart={"intensity": 2})
    server = start_server(plugins)
    while printed(run("ps", "--socket", str(server.socket), "--json"))["plugins"][0]["state"] != "fatal":
        pass
    lines = run("ps", "-v", "--socket", str(server.socket)).stdout.decode().splitlines()
    first = lines.index("looping: fatal (LookupError: no wares), 2 of 2 restarts")
    assert [
        re.sub(r"^  [-0-9]{10} [:0-9]{8}\.[0-9]{3}  |(?<=in )[.0-9]+ ms", "", line) for line in lines[first + 1 :]
    ] == [
        "did not start: LookupError: no wares",
        "restarts in  (1 of 2)",
        "did not start: LookupError: no wares",
        "restarts in  (2 of 2)",
        "did not start: LookupError: no wares",
        "fatal: LookupError: no wares (restart.intensity is 2 within 60.0 s)",
    ]


@pytest.mark.parametrize("options", [[], ["--once"]])
def test_top_shows_one_view_where_there_is_no_terminal(run, server, options):
    process = run("top", "--socket", str(server.socket), *options)
    lines = process.stdout.decode().splitlines()
    assert (process.returncode, process.stderr) == (ExitCode.OK, b"")
    assert lines[0].startswith("pyhost: ")
    assert lines[2].split()[:3] == ["PLUGIN", "STATE", "INTERP."]
    assert {tuple(line.split()[:2]) for line in lines[3:]} == {
        ("broken", "fatal"),
        ("narrow", "running"),
        ("probe", "running"),
    }


def test_top_sorts_as_it_is_told(run, server):
    process = run("top", "--once", "--sort", "name", "--socket", str(server.socket))
    assert [line.split()[0] for line in process.stdout.decode().splitlines()[3:]] == ["broken", "narrow", "probe"]


class Screen:
    """A terminal of its own, on which a command runs."""

    def __init__(self, arguments: Sequence[str], kind: str) -> None:
        self._terminal, inside = pty.openpty()
        # A signal that is ignored here, as in a shell's background job, would be ignored there, too.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.process = subprocess.Popen(
                arguments, stdout=inside, stderr=subprocess.PIPE, text=True, env={**os.environ, "TERM": kind}
            )
        finally:
            signal.signal(signal.SIGINT, handler)
        os.close(inside)
        self.shown = ""

    def wait_shown(self, text: str, times: int) -> None:
        """Read until the command has shown the text so often."""
        while self.shown.count(text) < times:
            self._read()

    def end(self) -> tuple[int, str]:
        """Read to the end; the exit code, and what went to standard error."""
        while self._read():
            pass
        os.close(self._terminal)
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors

    def _read(self) -> bool:
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # Linux's word for the end
            return False
        self.shown += data.decode()
        return True


@pytest.fixture
def show(pyhost_command):
    """A function that runs a pyhost command on a screen."""
    screens: list[Screen] = []

    def show_command(*arguments: str, kind: str = "xterm") -> Screen:
        screens.append(Screen(pyhost_command(*arguments), kind))
        return screens[-1]

    yield show_command
    for screen in screens:
        screen.process.kill()
        screen.process.communicate()


def test_ps_cuts_nothing_on_a_narrow_terminal(show, server):
    screen = show("ps", "--socket", str(server.socket))
    assert screen.end() == (ExitCode.OK, "")
    for word in ("INTERPRETERS", "MEMORY", "CPU %", "narrow"):
        assert word in screen.shown
    assert "…" not in screen.shown


def test_top_draws_again_and_again_until_ctrl_c(show, server):
    screen = show("top", "--interval", "0.1", "--socket", str(server.socket))
    screen.wait_shown("PLUGIN", times=3)
    screen.process.send_signal(signal.SIGINT)
    code, errors = screen.end()
    assert (code, errors.strip()) == (ExitCode.INTERRUPTED, "")
    # It drew on a page of its own, and has left it.
    assert screen.shown.startswith("\x1b[?1049h")
    assert screen.shown.count("\x1b[?1049l") == 1


def test_top_says_so_when_the_server_goes(show, start_server, probe_plugins):
    server = start_server(probe_plugins)
    screen = show("top", "--interval", "0.1", "--socket", str(server.socket))
    screen.wait_shown("PLUGIN", times=1)
    server.process.kill()
    server.process.wait()
    code, errors = screen.end()
    assert code == ExitCode.NO_SERVER
    assert errors.startswith("pyhost: ")
    assert str(server.socket) in errors
    assert errors.count("\n") == 1


def test_top_shows_one_view_on_a_terminal_that_cannot_draw(show, server):
    screen = show("top", "--socket", str(server.socket), kind="dumb")
    assert screen.end() == (ExitCode.OK, "")
    assert screen.shown.count("PLUGIN") == 1


@pytest.mark.parametrize("arguments", [["ps"], ["top"], ["call", "probe.echo"]])
def test_without_a_server_they_say_how_to_start_one(run, arguments, tmp_path):
    path = tmp_path / "no.sock"
    assert refused(run(*arguments, "--socket", str(path)), ExitCode.NO_SERVER) == (
        f"pyhost: no server listens on {path}; start one with: pyhost --plugins FOLDER, "
        "or name its socket with --socket\n"
    )


def test_the_socket_is_found_in_pyhost_toml(run, tmp_path):
    (tmp_path / "pyhost.toml").write_text('[server]\nsocket = "here.sock"\n')
    assert f"no server listens on {tmp_path / 'here.sock'};" in refused(run("ps"), ExitCode.NO_SERVER)


def test_a_server_that_dies_during_a_call_is_no_server(start_server, probe_plugins, gate, pyhost_command):
    server = start_server(probe_plugins)
    arguments = pyhost_command("call", "--socket", str(server.socket), "probe.wait_for_ever", gate.path)
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        gate.wait_entered()
        server.process.kill()
        _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.NO_SERVER
    assert error.startswith(f"pyhost: the server on {server.socket} did not answer: ")
    assert error.count("\n") == 1


def test_help_and_version_need_no_server(run):
    assert run().stdout.startswith(b"Usage: pyhost [OPTIONS] ")
    assert set(printed(run("version", "--json"))) == {"pyhost", "python", "platform"}


def test_a_new_plugin_is_one_that_runs(run, start_server, tmp_path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    assert run("new", "greeter", "--in", "plugins").returncode == ExitCode.OK
    server = start_server(plugins)
    assert server.lines[0] == "plugin greeter 0.1.0 runs in 1 interpreter"
    assert printed(run("call", "greeter.greet", "Ada", "--socket", str(server.socket))) == "Hello, Ada!"


def test_plugins_are_reloaded_restarted_stopped_started_and_drained(run, start_server, probe_plugins):
    server = start_server(probe_plugins)
    for action, state in (
        ("reload", "running"),
        ("restart", "running"),
        ("stop", "stopped"),
        ("start", "running"),
        ("drain --timeout=5", "stopped"),
        ("start", "running"),
    ):
        process = run(*action.split(), "--socket", str(server.socket), "probe")
        assert (process.returncode, process.stderr) == (ExitCode.OK, b"")
        assert process.stdout.decode().startswith(f"probe 0 is {state} after ")
    answer = printed(run("reload", "--socket", str(server.socket), "--json", "probe", "narrow"))
    assert [item["plugin"]["name"] for item in answer["done"]] == ["probe", "narrow"]


def test_a_reload_that_fails_says_why(run, start_server, probe_plugins):
    server = start_server(probe_plugins)
    message = refused(run("reload", "--socket", str(server.socket), "broken"), ExitCode.CALL_FAILED)
    assert message.startswith("pyhost: plugin 'broken' did not start: ")
    assert "Traceback" in message
    message = refused(run("reload", "--socket", str(server.socket), "prob"), ExitCode.CALL_FAILED)
    assert message == "pyhost: there is no plugin 'prob'; did you mean probe?\n"
    assert "PLUGIN" in refused(run("reload", "--socket", str(server.socket)), ExitCode.USAGE)
