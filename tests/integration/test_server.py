"""The life of a server process: how it starts, what keeps it from starting, signals, and how it ends."""

from __future__ import annotations

import re
import signal
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.plugins import write_plugin

from pyhost.exit_codes import ExitCode

PATIENCE = 30.0


@pytest.fixture
def run_server(pyhost_command, tmp_path):
    """A function that runs a server that cannot start; its finished process."""

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            pyhost_command(*options), capture_output=True, text=True, cwd=tmp_path, timeout=PATIENCE, check=False
        )

    return run


def test_it_says_what_runs_and_where_it_listens(server):
    assert server.lines[:3] == [
        "plugin broken does not run (fatal): RuntimeError: no luck",
        "plugin narrow 2.0 runs in 1 interpreter",
        "plugin probe 0 runs in 1 interpreter",
    ]
    assert re.fullmatch(r"pyhost listens on http://127\.0\.0\.1:[1-9]\d*", server.lines[3])
    assert server.lines[4:] == [f"pyhost listens on unix socket {server.socket}"]


def test_it_serves_on_both_sockets_in_one_process(server):
    with server.http() as http, server.unix() as unix:
        assert [client.get("/healthz").status_code for client in (http, unix)] == [200, 200]


def test_the_unix_socket_is_its_owners_alone(server):
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700


def test_it_runs_in_the_executable(server):
    assert Path(f"/proc/{server.process.pid}/exe").readlink().name == "pyhost"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_server_cleanly(start_server, probe_plugins, number):
    server = start_server(probe_plugins)
    with server.http() as http:
        http.get("/healthz")
        server.send(number)
        assert server.wait() == ExitCode.OK
    assert not server.socket.exists()


def test_calls_under_way_finish_and_new_connections_are_refused(start_server, probe_plugins, gate):
    server = start_server(probe_plugins)
    with server.http() as http, ThreadPoolExecutor(1) as threads:
        call = threads.submit(http.post, "/call/probe/hold", json=[gate.path])
        gate.wait_entered()
        server.send(signal.SIGTERM)
        server.wait_deaf()
        gate.open()
        assert call.result().json() == {"result": "let through"}
    assert server.wait() == ExitCode.OK


def test_calls_that_outlast_the_grace_time_are_answered_too(start_server, probe_plugins, gate):
    server = start_server(probe_plugins, "--grace", "50ms")
    with server.http() as http, ThreadPoolExecutor(1) as threads:
        call = threads.submit(http.post, "/call/probe/wait_for_ever", json=[gate.path])
        gate.wait_entered()
        server.send(signal.SIGTERM)
        response = call.result()
    assert response.status_code == 503
    assert response.json()["type"] == "urn:pyhost:problem:call-cancelled"
    assert server.wait() == ExitCode.OK
    assert "the grace time of 0.05 s is over: running calls are given up" in server.log.read_text()


def test_a_second_signal_cuts_the_grace_time_short(start_server, probe_plugins, gate):
    server = start_server(probe_plugins, "--grace", "1h")
    with server.http() as http, ThreadPoolExecutor(1) as threads:
        call = threads.submit(http.post, "/call/probe/wait_for_ever", json=[gate.path])
        gate.wait_entered()
        server.send(signal.SIGTERM)
        server.wait_deaf()
        server.send(signal.SIGTERM)
        assert call.result().json()["type"] == "urn:pyhost:problem:call-cancelled"
    assert server.wait() == ExitCode.TERMINATED
    assert "SIGTERM: a second signal, so running calls are given up" in server.log.read_text()


def test_a_third_signal_does_not_wait_for_a_plugin_that_hangs(start_server, probe_plugins, gate):
    server = start_server(probe_plugins, "--grace", "1h")
    with server.http() as http, ThreadPoolExecutor(1) as threads:
        call = threads.submit(http.post, "/call/probe/hold", json=[gate.path])
        gate.wait_entered()
        server.send(signal.SIGTERM)
        server.wait_deaf()
        server.send(signal.SIGTERM)
        assert call.result().json()["type"] == "urn:pyhost:problem:call-cancelled"
        server.send(signal.SIGTERM)
        assert server.wait() == ExitCode.TERMINATED
    # Nothing was tidied up.
    assert server.socket.exists()


def test_a_signal_while_the_plugins_start_ends_it_before_it_serves(pyhost_command, tmp_path, gate):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "slow.py").write_text(
        f"with open({gate.path + '.entered'!r}, 'wb', buffering=0) as entered:\n    entered.write(b'!')\n"
        f"with open({gate.path + '.open'!r}, 'rb', buffering=0) as opened:\n    opened.read(1)\n"
    )
    arguments = pyhost_command("--plugins", "plugins", "--listen", "127.0.0.1:0", "--socket", "a.sock")
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        gate.wait_entered()
        process.terminate()
        assert process.stderr is not None
        assert process.stderr.readline().endswith("SIGTERM: stopping; running calls get 10 s\n")
        gate.open()
        output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output, errors) == (ExitCode.OK, "", "")


def test_sighup_reads_the_folder_again(start_server, tmp_path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    server = start_server(plugins)
    (plugins / "late.py").write_text("import pyhost\n\n@pyhost.export\ndef answer() -> int:\n    return 42\n")
    server.send(signal.SIGHUP)
    assert server.wait_logged(r"rescan: ").endswith("rescan: loaded late\n")
    with server.http() as http:
        assert http.post("/call/late/answer").json() == {"result": 42}
    assert server.stop() == ExitCode.OK


def test_a_rescan_that_fails_leaves_the_server_serving(start_server, tmp_path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    server = start_server(plugins)
    plugins.rmdir()
    server.send(signal.SIGHUP)
    assert str(plugins) in server.wait_logged(r"rescan failed: ")
    with server.http() as http, server.unix() as unix:
        assert http.get("/healthz").status_code == 200
        document = unix.post("/rescan").json()
    assert document["type"] == "urn:pyhost:problem:configuration-error"
    assert str(plugins) in document["detail"]


def test_what_happens_at_a_memory_limit_is_logged(start_server, tmp_path):
    plugins = tmp_path / "plugins"
    write_plugin(
        plugins, "hog", "import pyhost\n@pyhost.export\ndef eat(): bytes(1 << 30)\n", limits={"memory": "64MiB"}
    )
    server = start_server(plugins)
    with server.http() as http:
        assert http.post("/call/hog/eat").json()["type"] == "urn:pyhost:problem:memory-limit"
    assert "WARNING pyhost.monitor: " in server.wait_logged(
        r"plugin hog: interpreter \d+ wanted more than its memory limit of 64 MiB .*; its code got MemoryError \(1 ×\)$"
    )


def test_two_servers_cannot_have_one_socket(server, probe_plugins, run_server):
    second = run_server("--plugins", str(probe_plugins), "--listen", "127.0.0.1:0", "--socket", str(server.socket))
    assert second.returncode == ExitCode.CANNOT_LISTEN
    assert second.stdout == ""
    assert second.stderr == (
        f"pyhost: the socket {server.socket} is taken by another pyhost server (process {server.process.pid}); "
        "stop that one, or give this one a path of its own with --socket\n"
    )
    with server.unix() as unix:
        assert unix.get("/healthz").status_code == 200


def test_the_socket_of_a_killed_server_is_taken_over(start_server, probe_plugins):
    killed = start_server(probe_plugins)
    killed.send(signal.SIGKILL)
    killed.wait()
    assert killed.socket.is_socket()
    successor = start_server(probe_plugins, "--socket", str(killed.socket))
    successor.socket = killed.socket
    with successor.unix() as unix:
        assert unix.get("/healthz").status_code == 200


def test_a_taken_port_is_named(server, probe_plugins, run_server, tmp_path):
    address = server.url.removeprefix("http://")
    second = run_server("--plugins", str(probe_plugins), "--listen", address, "--socket", str(tmp_path / "a.sock"))
    assert second.returncode == ExitCode.CANNOT_LISTEN
    assert second.stderr == (
        f"pyhost: cannot listen on {address}: another program listens there; give another address with --listen, "
        "or port 0 for a free one\n"
    )
    assert not (tmp_path / "a.sock").exists()


def test_a_missing_folder_of_plugins_is_named(run_server, tmp_path):
    failed = run_server("--plugins", "missing", "--listen", "127.0.0.1:0", "--socket", str(tmp_path / "a.sock"))
    assert failed.returncode == ExitCode.USAGE
    assert failed.stderr.startswith("pyhost: ")
    assert str(tmp_path / "missing") in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_other_machines_are_not_let_in_without_a_token(run_server, probe_plugins):
    failed = run_server("--plugins", str(probe_plugins), "--listen", "0.0.0.0:0")
    assert failed.returncode == ExitCode.USAGE
    assert failed.stderr.startswith("pyhost: listen is 0.0.0.0:0, which other machines may reach")


def test_pyhost_toml_in_the_current_folder_starts_a_server(pyhost_command, probe_plugins, tmp_path):
    (tmp_path / "pyhost.toml").write_text(
        f'[server]\nplugins = "{probe_plugins}"\nlisten = "127.0.0.1:0"\nsocket = "here.sock"\n'
    )
    with subprocess.Popen(pyhost_command(), stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stdout is not None
            lines = [next(process.stdout) for _ in range(5)]
            assert lines[-1] == f"pyhost listens on unix socket {tmp_path / 'here.sock'}\n"
        finally:
            process.terminate()
    assert process.returncode == ExitCode.OK


def test_the_log_is_quiet_and_has_requests_only_for_debugging(start_server, probe_plugins):
    quiet = start_server(probe_plugins)
    chatty = start_server(probe_plugins, "--log-level", "debug")
    for server in (quiet, chatty):
        with server.http() as http:
            assert http.get("/healthz").status_code == 200
        assert server.stop() == ExitCode.OK
    lines = [line for line in quiet.log.read_text().splitlines() if "plugin broken" not in line]
    assert lines[0].endswith("SIGTERM: stopping; running calls get 10 s")
    assert '"GET /healthz HTTP/1.1" 200' in chatty.log.read_text()
