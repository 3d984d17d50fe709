"""What runaways cost over HTTP: the six of bench_runaways.py in a server, called from other processes.

Clients of one process call a steady plugin in a closed loop, each on a connection of its own, alone and then while all
six run away at once, again and again; in the end the server gets SIGTERM while they run. Prints a table. Exit code 1
when a target is missed.
"""

import argparse
import http.client
import json
import multiprocessing
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import closed_loop
from bench_runaways import DEADLINE, GRACE, RUNAWAYS, figures_of, rows_of, write_plugins
from closed_loop import Clients, Latencies

STOP_GRACE = 1
"""Seconds that the server gives running calls when it stops."""


def post(connection: http.client.HTTPConnection, function: str, arguments: list[Any]) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer."""
    connection.request("POST", f"/call/{function}", json.dumps(arguments), {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def call_steadily(orders: Connection, port: int, count: int) -> None:
    """The clients' process: so many threads. Whatever is received asks for their latencies since the last time, and how
    many calls have failed; None ends it.
    """

    def connect() -> Callable[[int, int], object]:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        return lambda left, right: post(connection, "steady/add", [left, right])[1]["result"]

    with Clients(connect, count) as clients:
        while orders.recv() is not None:
            orders.send((clients.take(), len(clients.failures)))


def take(clients: Connection) -> tuple[Latencies, int]:
    """Latencies since the last time, and how many calls have failed so far."""
    clients.send("take")
    latencies, failed = clients.recv()
    return latencies, failed


def run_away(port: int, name: str) -> float:
    """Seconds past the deadline after which the caller has its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    before = time.perf_counter()
    status, _ = post(connection, f"{name}/run", [])
    seconds = time.perf_counter() - before
    if status != http.client.GATEWAY_TIMEOUT:
        raise SystemExit(f"{name} was answered with {status}")
    return seconds - DEADLINE


def wait_until_all_run(port: int) -> None:
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/readyz")
        if connection.getresponse().status == http.client.OK:
            break
        time.sleep(0.02)


def start_server(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """The process, and its port."""
    program = Path(sys.executable).with_name("pyhost")
    command = [str(program), "--plugins", str(folder), "--socket", str(folder / "socket")]
    options = ["--listen", "127.0.0.1:0", "--grace", str(STOP_GRACE), "--max-lost", "1000", "--log-level", "error"]
    server = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    for line in server.stdout:
        if listening := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            return server, int(listening[1])
    raise SystemExit("the server did not start")


def measure(port: int, rounds: int, seconds: float, count: int) -> dict[str, float]:
    """As bench_runaways.py does, over HTTP."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=call_steadily, args=(theirs, port, count), daemon=True
    )
    process.start()
    late: list[float] = []
    failed = 0
    during = Latencies()
    with ThreadPoolExecutor(len(RUNAWAYS)) as callers:
        take(ours)
        time.sleep(seconds)
        before = take(ours)[0].p99()
        for _ in range(rounds):
            take(ours)
            late += callers.map(lambda name: run_away(port, name), RUNAWAYS)
            time.sleep(2 * GRACE)  # until then what does not come back counts as running
            latencies, failed = take(ours)
            during.include(latencies)
            wait_until_all_run(port)
    ours.send(None)
    process.join()
    return figures_of(late, failed, before, during)


def stop(server: subprocess.Popen[str], port: int) -> tuple[int, float]:
    """Exit code after SIGTERM while all six run, and the seconds that it took."""
    with ThreadPoolExecutor(len(RUNAWAYS)) as callers:
        running = [callers.submit(run_away, port, name) for name in RUNAWAYS]
        time.sleep(DEADLINE / 2)
        before = time.perf_counter()
        server.send_signal(signal.SIGTERM)
        code = server.wait()
        seconds = time.perf_counter() - before
        for answer in running:
            answer.exception()  # an answer, or a closed connection
    return code, seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often all six run away at once (default 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="load before that (default 4)")
    parser.add_argument("--clients", type=int, default=2, help="connections that call the steady plugin (default 2)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_plugins(folder)
        server, port = start_server(folder)
        try:
            figures = measure(port, options.rounds, options.seconds, options.clients)
            code, seconds = stop(server, port)
        finally:
            server.kill()
    exit_row = (
        f"exit on SIGTERM while they run, grace {STOP_GRACE} s",
        f"code {code} after {seconds:.2f} s",
        f"0, ≤ {STOP_GRACE + 1} s",
        code == 0 and seconds <= STOP_GRACE + 1,
    )
    return 0 if closed_loop.report("Runaways over HTTP", [*rows_of(figures), exit_row]) else 1


if __name__ == "__main__":
    sys.exit(main())
