"""Six kinds of runaways at once in a real server: everybody is answered, the others are served, and it ends in order."""

from __future__ import annotations

import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import PATIENCE
from support.plugins import COMMON, write_plugin

RUNAWAYS = {
    "busy": "def run():\n    while True:\n        pass\n",
    "swallow": (  # twice over: the next interrupt may come while the one before is swallowed
        "def run():\n    while True:\n        try:\n            swallow()\n        except BaseException:\n            pass\n"
        "def swallow():\n    while True:\n        try:\n            while True:\n                pass\n"
        "        except BaseException:\n            pass\n"
    ),
    "sleep": "def run():\n    import time\n    time.sleep(60)\n",
    "compute": "def run():\n    return 7 ** 5_000_000 % 10\n",
    "task": "async def run():\n    while True:\n        pass\n",
}
THREAD = """
import threading, time, pyhost

def stay():
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            pass

@pyhost.export
def run():
    threading.Thread(target=stay).start()
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "plugins"
    limits = {"deadline": "500ms", "grace": "100ms"}
    for name, code in RUNAWAYS.items():
        again = "\n@pyhost.export\ndef still(value: int):\n    return value\n"
        write_plugin(folder, f"{name}_plugin", "import sys, pyhost\n@pyhost.export\n" + code + again, limits=limits)
    write_plugin(folder, "thread_plugin", THREAD, limits=limits)
    write_plugin(folder, "steady", COMMON)
    return folder


def result_of(client, plugin, function, **arguments):
    response = client.post(f"/call/{plugin}/{function}", json=arguments, timeout=PATIENCE)
    return response.json().get("result") if response.status_code == 200 else response.json()["type"].rpartition(":")[2]


def test_all_at_once(folder, start_server):
    server = start_server(folder, "--warm", "2", "--max-lost", "100", "--grace", "2s")
    with server.unix() as client, ThreadPoolExecutor(12) as callers:
        running = {name: callers.submit(result_of, client, f"{name}_plugin", "run") for name in RUNAWAYS}
        thread = callers.submit(result_of, client, "thread_plugin", "run")
        steady = [callers.submit(result_of, client, "steady", "identity", value=number) for number in range(200)]
        assert [call.result() for call in steady] == list(range(200))
        assert {name: call.result() for name, call in running.items()} == dict.fromkeys(RUNAWAYS, "deadline-exceeded")
        assert thread.result() is None
        for name in RUNAWAYS:  # interrupted, or replaced: it serves again
            while (answer := result_of(client, f"{name}_plugin", "still", value=1)) != 1:
                assert answer in {"deadline-exceeded", "plugin-unavailable"}, answer
        lost = {item["name"]: item["lost"] for item in client.get("/plugins").json()["plugins"]}
        assert lost["steady"] == lost["busy_plugin"] == 0
        assert lost["swallow_plugin"] == 1
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE) == 0


def test_who_has_connected_is_answered_by_the_process_that_ends(folder, start_server):
    server = start_server(folder, "--max-lost", "0", "--grace", "1s")
    with socket.socket(socket.AF_UNIX) as early, server.unix() as client:
        early.connect(str(server.socket))
        assert result_of(client, "swallow_plugin", "run") == "deadline-exceeded"
        while "a new process takes over" not in server.log.read_text():
            pass
        early.sendall(b"POST /call/steady/identity HTTP/1.0\r\nContent-Length: 11\r\n\r\n" + b'{"value":7}')
        assert early.makefile("rb").read().endswith(b'{"result":7}')
    with server.unix() as client:  # answered by the new process
        assert result_of(client, "steady", "identity", value=8) == 8
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE) == 0


def test_past_max_lost_a_new_process_takes_over(folder, start_server):
    server = start_server(folder, "--max-lost", "0", "--grace", "1s")

    def identity():
        with server.unix() as client:  # a connection of its own: whoever connects is not turned away
            return result_of(client, "steady", "identity", value=7)

    def lost():
        with server.unix() as client:
            return sum(item["lost"] for item in client.get("/plugins", timeout=PATIENCE).json()["plugins"])

    with server.unix() as client:
        assert result_of(client, "swallow_plugin", "run") == "deadline-exceeded"
    while "a new process takes over" not in server.log.read_text():
        assert identity() == 7
    while lost() > 0:
        assert identity() == 7
    assert identity() == 7
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE) == 0
