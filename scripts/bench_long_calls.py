"""What short calls feel of long ones, and what long ones still get.

Four callers of 100 ms calls beside one connection that calls another plugin in a closed loop, over HTTP: long calls
give way to short ones. Then as many long calls as there are processors beside as many processes that never wait: they
have their ordinary priority now and then so as not to starve; a fair share is half a processor each. Prints a table.
Exit code 1 when a target is missed.
"""

import argparse
import http.client
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import closed_loop
from bench_runaways import STEADY, write_plugin
from bench_runaways_http import call_steadily, post, start_server, take

import pyhost

LONG = """
import time, pyhost

@pyhost.export
def work(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass

@pyhost.export
def run(seconds: float) -> float:
    before, end = time.thread_time(), time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return time.thread_time() - before
"""
CALLERS, LENGTH = 4, 0.1
"""Of long calls, and the processor time of each in seconds."""
RATIO, LEAST = 2.0, 0.8
"""The targets: of the p99 alone, and of a fair share."""


def write_plugins(folder: Path, interpreters: int) -> None:
    write_plugin(folder, "long", LONG, f'interpreters = {interpreters}\n[limits]\ndeadline = "10m"\n')
    write_plugin(folder, "steady", STEADY, "")


def measure_short(port: int, seconds: float) -> tuple[float, float, int, int]:
    """The p99 of short calls in seconds, alone and beside long ones, and how many there were."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=call_steadily, args=(theirs, port, 1), daemon=True)
    process.start()
    stopping = threading.Event()

    def call_long() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while not stopping.is_set():
            status, _ = post(connection, "long/work", [LENGTH])
            if status != http.client.OK:
                raise SystemExit(f"a long call was answered with {status}")

    with ThreadPoolExecutor(CALLERS) as callers:
        take(ours)
        time.sleep(seconds)
        alone, _ = take(ours)
        long_calls = [callers.submit(call_long) for _ in range(CALLERS)]
        time.sleep(2 * CALLERS * LENGTH)  # every interpreter has had one
        take(ours)
        time.sleep(seconds)
        beside, _ = take(ours)
        stopping.set()
        for call in long_calls:
            call.result()
    ours.send(None)
    process.join()
    return alone.p99(), beside.p99(), sum(alone.counts), sum(beside.counts)


def measure_share(folder: Path, seconds: float, count: int, others: int) -> float:
    """Processor time of so many calls that run for so long, by what a fair share of the processors would be."""
    competitors = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
    try:
        with pyhost.Host(folder) as host, ThreadPoolExecutor(count) as callers:
            time.sleep(0.5)
            got = sum(callers.map(lambda _: host.call("long.run", seconds), range(count)))
    finally:
        for competitor in competitors:
            competitor.kill()
            competitor.wait()
    processors = min(len(os.sched_getaffinity(0)), count + others)
    return float(got) / (seconds * processors * count / (count + others))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each measurement takes (default 10)")
    options = parser.parse_args()
    count = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_plugins(folder, max(CALLERS, count))
        server, port = start_server(folder)
        try:
            alone, beside, calls_alone, calls_beside = measure_short(port, options.seconds)
        finally:
            server.kill()
            server.wait()
        share = measure_share(folder, options.seconds, count, count)
    rows = [
        (
            f"p99 of short calls beside {CALLERS} callers of {LENGTH * 1000:g} ms calls ÷ alone",
            f"{beside / alone:.2f} ({beside * 1e6:.0f} ÷ {alone * 1e6:.0f} µs)",
            f"≤ {RATIO:g}",
            beside <= RATIO * alone,
        ),
        (
            "short calls a second, beside and alone",
            f"{calls_beside / options.seconds:.0f}, {calls_alone / options.seconds:.0f}",
            "",
            True,
        ),
        (
            f"of a fair share, {count} long calls beside {count} processes that never wait",
            f"{share:.2f}",
            f"≥ {LEAST:g}",
            share >= LEAST,
        ),
    ]
    return 0 if closed_loop.report("Long calls", rows) else 1


if __name__ == "__main__":
    sys.exit(main())
