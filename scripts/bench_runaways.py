"""What runaways cost the others: how late their callers are answered, and what a steady plugin feels.

A host has one plugin of each of six kinds (a busy loop, one that swallows its interrupt, a sleep, a long computation in
C, a task that never yields, a thread that never ends) and a steady one, which clients call in a closed loop, alone and
then while all six run away at once, again and again. Prints a table; `--json FILE` writes the figures for programs.
Exit code 1 when a target is missed.
"""

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import closed_loop
from closed_loop import Clients, Latencies

import pyhost
from pyhost.errors import DeadlineExceededError

RUNAWAYS = {
    "busy": "def run():\n    while True:\n        pass\n",
    "swallow": (
        "def run():\n    while not released():\n        try:\n            while not released():\n                pass\n"
        "        except BaseException:\n            pass\n"
    ),
    "sleep": "def run():\n    import time\n    time.sleep(5)\n",
    "compute": "def run():\n    return 7 ** 6_000_000 % 10\n",
    "task": "async def run():\n    while True:\n        pass\n",
    "thread": (
        "def run():\n    import threading, time\n    def stay():\n        while not released():\n            try:\n"
        "                time.sleep(1)\n            except BaseException:\n                pass\n"
        "    threading.Thread(target=stay).start()\n    while True:\n        pass\n"
    ),
}
"""Code of the export that does not come back, by what it is called here."""
HEADER = "import os, pyhost\n\ndef released():\n    return os.path.exists({end!r})\n\n@pyhost.export\n"
STEADY = "import pyhost\n\n@pyhost.export\ndef add(left: int, right: int) -> int:\n    return left + right\n"
DEADLINE = 0.5
"""Seconds that a runaway gets."""
GRACE = 0.25
"""Seconds more, after which an interpreter that does not come back is replaced."""
LATE_MS, P99_RATIO = 20.0, 2.0
"""The targets."""


def write_plugin(folder: Path, name: str, code: str, limits: str) -> None:
    place = folder / name
    place.mkdir()
    (place / "plugin.toml").write_text(f'[plugin]\nname = "{name}"\n{limits}')
    (place / f"{name}.py").write_text(code)


def write_plugins(folder: Path) -> None:
    """The six and ``steady``; once there is a file ``end`` beside them, those that can come back do."""
    header = HEADER.format(end=str(folder / "end"))
    limits = f'[limits]\ndeadline = "{DEADLINE:g}s"\ngrace = "{GRACE:g}s"\n[restart]\nintensity = 1000\n'
    for name, code in RUNAWAYS.items():
        write_plugin(folder, name, header + code, limits)
    write_plugin(folder, "steady", STEADY, "")


def run_away(host: pyhost.Host, name: str) -> float:
    """Seconds past the deadline after which the caller has its answer."""
    before = time.perf_counter()
    with suppress(DeadlineExceededError):
        host.call(f"{name}.run")
    return time.perf_counter() - before - DEADLINE


def measure(folder: Path, rounds: int, seconds: float, count: int) -> dict[str, float]:
    late: list[float] = []
    during = Latencies()
    with pyhost.Host(folder, warm=3) as host, ThreadPoolExecutor(len(RUNAWAYS)) as callers:
        with Clients(lambda: host.function("steady.add"), count) as clients:
            time.sleep(seconds / 4)
            clients.take()
            time.sleep(seconds)
            before = clients.take().p99()
            for _ in range(rounds):
                clients.take()
                late += callers.map(lambda name: run_away(host, name), RUNAWAYS)
                time.sleep(2 * GRACE)  # until then what does not come back counts as running
                during.include(clients.take())
                while not all(host.status(name).state == "running" for name in RUNAWAYS):
                    time.sleep(0.01)
        (folder / "end").touch()
        while any(plugin.lost for plugin in host.plugins()):
            time.sleep(0.1)  # a process with a lost interpreter cannot end in order
    return figures_of(late, len(clients.failures), before, during)


def figures_of(late: list[float], failures: int, before: float, during: Latencies) -> dict[str, float]:
    """Of seconds past deadlines, failed calls of the steady plugin, their p99 before (seconds), and those meanwhile."""
    return {
        "answers": len(late),
        "late_ms": max(late) * 1000,
        "failures": failures,
        "p99_before_us": before * 1e6,
        "p99_during_us": during.p99() * 1e6,
        "p99_ratio": during.p99() / before,
    }


def rows_of(figures: dict[str, float]) -> list[tuple[str, str, str, bool]]:
    """What closed_loop.report prints of them."""
    return [
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
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often all six run away at once (default 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="load before that (default 4)")
    parser.add_argument("--clients", type=int, default=2, help="threads that call the steady plugin (default 2)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_plugins(folder)
        figures = measure(folder, options.rounds, options.seconds, options.clients)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"python": sys.version.split()[0], **figures}, file, indent=2)
    return 0 if closed_loop.report("Runaways", rows_of(figures)) else 1


if __name__ == "__main__":
    sys.exit(main())
