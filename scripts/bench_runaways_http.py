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
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import closed_loop
from bench_runaways import DEADLINE, GRACE, LATE_MS, P99_RATIO, RUNAWAYS, write_plugins
from closed_loop import Latencies

STOP_GRACE = 1
"""Seconds that the server gives running calls when it stops."""


def post(connection: http.client.HTTPConnection, path: str, arguments: list[int]) -> int:
    """Status of the answer."""
    connection.request("POST", path, json.dumps(arguments), {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    return response.status


def call_steadily(orders: Connection, port: int, count: int) -> None:
    """The clients' process: so many threads. Whatever is received asks for their latencies since the last time, and how
    many calls have failed; None ends it.
    """
    latencies = [Latencies() for _ in range(count)]
    failures: list[int] = []
    stopping = threading.Event()

    def call(index: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while not stopping.is_set():
            before = time.perf_counter()
            status = post(connection, "/call/steady/add", [index, 1])
            if status != http.client.OK:
                failures.append(status)
            latencies[index].add(time.perf_counter() - before)

    threads = [threading.Thread(target=call, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    while orders.recv() is not None:
        taken = Latencies()
        for index in range(count):
            own, latencies[index] = latencies[index], Latencies()
            taken.include(own)
        orders.send((taken, len(failures)))
    stopping.set()
    for thread in threads:
        thread.join()


def take(clients: Connection) -> tuple[Latencies, int]:
    """Latencies since the last time, and how many calls have failed so far."""
    clients.send("take")
    latencies, failed = clients.recv()
    return latencies, failed


def run_away(port: int, name: str) -> float:
    """Seconds past the deadline after which the caller has its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    before = time.perf_counter()
    status = post(connection, f"/call/{name}/run", [])
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
    command = [
        str(Path(sys.executable).with_name("pyhost")),
        "--plugins",
        str(folder),
        "--socket",
        str(folder / "socket"),
    ]
    options = ["--listen", "127.0.0.1:0", "--grace", str(STOP_GRACE), "--max-lost", "1000", "--log-level", "error"]
    server = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    for line in server.stdout:
        if listening := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            return server, int(listening[1])
    raise SystemExit("the server did not start")


def measure(folder: Path, rounds: int, seconds: float, count: int) -> dict[str, float]:
    server, port = start_server(folder)
    ours, theirs = multiprocessing.Pipe()
    clients = multiprocessing.get_context("spawn").Process(target=call_steadily, args=(theirs, port, count))
    clients.start()
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
        clients.join()
        running = [callers.submit(run_away, port, name) for name in RUNAWAYS]
        time.sleep(DEADLINE / 2)
        asked = time.perf_counter()
        server.send_signal(signal.SIGTERM)
        code = server.wait()
        stopped = time.perf_counter() - asked
        for answer in running:
            answer.exception()  # an answer, or a closed connection
    return {
        "answers": len(late),
        "late_ms": max(late) * 1000,
        "failures": failed,
        "p99_before_us": before * 1e6,
        "p99_during_us": during.p99() * 1e6,
        "p99_ratio": during.p99() / before,
        "exit_code": code,
        "exit_seconds": stopped,
    }


def report(figures: dict[str, float]) -> bool:
    """Print the figures; whether all targets are met."""
    rows = [
        (
            f"latest of {figures['answers']:.0f} answers to runaways, past their deadline",
            f"{figures['late_ms']:.1f} ms",
            f"≤ {LATE_MS:g} ms",
            figures["late_ms"] <= LATE_MS,
        ),
        ("calls of the steady plugin that failed", f"{figures['failures']:.0f}", "none", figures["failures"] == 0),
        (
            "p99 of its calls ÷ p99 alone",
            f"{figures['p99_ratio']:.2f} ({figures['p99_during_us']:.0f} ÷ {figures['p99_before_us']:.0f} µs)",
            f"≤ {P99_RATIO:g}",
            figures["p99_ratio"] <= P99_RATIO,
        ),
        (
            f"exit on SIGTERM while they run, grace {STOP_GRACE} s",
            f"code {figures['exit_code']:.0f} after {figures['exit_seconds']:.2f} s",
            f"0, ≤ {STOP_GRACE + 1} s",
            figures["exit_code"] == 0 and figures["exit_seconds"] <= STOP_GRACE + 1,
        ),
    ]
    return closed_loop.report("Runaways over HTTP", rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often all six run away at once (default 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="load before that (default 4)")
    parser.add_argument("--clients", type=int, default=2, help="connections that call the steady plugin (default 2)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_plugins(folder)
        figures = measure(folder, options.rounds, options.seconds, options.clients)
    return 0 if report(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
