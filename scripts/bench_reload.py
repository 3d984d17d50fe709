"""What a reload costs: from the request to the first call on the new version, and what callers feel of many in a row.

First a small plugin is reloaded with a warm interpreter ready, and beside each reload `python -c pass` is started, in
turns. Then eight clients call a plugin with two interpreters in a closed loop, alone and while it is reloaded over and
over: every call must be answered, and the growth of the process's memory is fitted to the reloads. Prints a table;
`--json FILE` writes the figures for programs. Exit code 1 when a target is missed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import closed_loop
from closed_loop import Clients

import pyhost

PLUGIN = """
import pyhost

@pyhost.export
def add(left: int, right: int) -> int:
    return left + right
"""
CLIENTS = 8
WARM_UP = 40
"""Reloads before the growth of memory is fitted: caches fill, and malloc's heaps find their size."""
FIRST_CALL_MS, P99_RATIO, GROWTH_KB = 5.0, 3.0, 16.0
"""The targets."""


def write_plugin(folder: Path, name: str, interpreters: int) -> None:
    place = folder / name
    place.mkdir()
    (place / "plugin.toml").write_text(f'[plugin]\nname = "{name}"\ninterpreters = {interpreters}\n')
    (place / f"{name}.py").write_text(PLUGIN)


def wait_warm(host: pyhost.Host, count: int) -> None:
    """Wait until so many interpreters are warm."""
    while host.warm_interpreters < count:
        time.sleep(0.001)


def first_calls(folder: Path, rounds: int) -> dict[str, float]:
    """Median milliseconds from a reload's request to the first answer of the new version, and of a bare Python."""
    reloads, starts = [], []
    with pyhost.Host(folder, warm=1) as host:
        for _ in range(rounds):
            wait_warm(host, 1)
            before = time.perf_counter()
            host.reload_plugin("small")
            host.call("small.add", 1, 2)
            reloads.append(time.perf_counter() - before)
            before = time.perf_counter()
            subprocess.run([sys.executable, "-I", "-c", "pass"], check=True)
            starts.append(time.perf_counter() - before)
    return {"first_call_ms": statistics.median(reloads) * 1000, "python_ms": statistics.median(starts) * 1000}


def resident_kb() -> float:
    """The process's resident set."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1000


def under_load(folder: Path, reloads: int, seconds: float) -> dict[str, float]:
    """What eight clients feel of so many reloads in a row, and how the process grows by each."""
    sizes = []
    with pyhost.Host(folder, warm=2) as host, Clients(lambda: host.function("busy.add"), CLIENTS) as clients:
        time.sleep(seconds / 4)
        clients.take()
        time.sleep(seconds)
        before = clients.take().p99()
        started = time.perf_counter()
        for _ in range(reloads):
            host.reload_plugin("busy")
            sizes.append(resident_kb())
        took = time.perf_counter() - started
        latencies = clients.take()
        failures = clients.failures
    during = latencies.p99()
    growth = statistics.linear_regression(range(len(sizes) - WARM_UP), sizes[WARM_UP:]).slope
    for error in failures[:3]:
        print(f"a call failed: {error!r}", file=sys.stderr)
    return {
        "failures": len(failures),
        "calls": sum(latencies.counts),
        "reload_ms": took / reloads * 1000,
        "p99_before_ms": before * 1000,
        "p99_during_ms": during * 1000,
        "p99_ratio": during / before,
        "growth_kb": growth,
    }


def report(figures: dict[str, float]) -> bool:
    """Print the figures; whether all targets are met."""
    rows = [
        (
            "from a reload's request to the first call on the new version, median",
            f"{figures['first_call_ms']:.1f} ms (python -c pass: {figures['python_ms']:.1f} ms)",
            f"≤ {FIRST_CALL_MS:g} ms",
            figures["first_call_ms"] <= FIRST_CALL_MS,
        ),
        (
            f"calls that failed while {CLIENTS} clients called and the plugin was reloaded",
            f"{figures['failures']:.0f} of {figures['calls']:,.0f}",
            "none",
            figures["failures"] == 0,
        ),
        (
            "p99 of their calls ÷ p99 before",
            f"{figures['p99_ratio']:.2f} ({figures['p99_during_ms']:.2f} ÷ {figures['p99_before_ms']:.2f} ms)",
            f"≤ {P99_RATIO:g}",
            figures["p99_ratio"] <= P99_RATIO,
        ),
        (
            "growth of the process by each reload",
            f"{figures['growth_kb']:.1f} kB",
            f"≤ {GROWTH_KB:g} kB",
            figures["growth_kb"] <= GROWTH_KB,
        ),
        ("one such reload, two interpreters", f"{figures['reload_ms']:.1f} ms", "", True),
    ]
    return closed_loop.report("Reloads", rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reloads", type=int, default=200, help="reloads under load (default 200)")
    parser.add_argument("--rounds", type=int, default=50, help="reloads that are timed alone (default 50)")
    parser.add_argument("--seconds", type=float, default=4.0, help="load before the reloads (default 4)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    if options.reloads <= WARM_UP + 2:
        parser.error(f"--reloads is {options.reloads}; allowed: more than {WARM_UP + 2}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_plugin(folder, "small", 1)
        write_plugin(folder, "busy", 2)
        figures = first_calls(folder, options.rounds) | under_load(folder, options.reloads, options.seconds)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"python": sys.version.split()[0], **figures}, file, indent=2)
    return 0 if report(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
