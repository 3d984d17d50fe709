"""What long calls still get of a busy machine: their part of a fair share beside processes that never wait.

Long calls give way to whatever else wants a processor, and have their ordinary priority now and then so as not to
starve. As many processes as there are processors run beside as many long calls; a fair share is half a processor each.
Prints a table. Exit code 1 when the target is missed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import closed_loop

import pyhost

CODE = """
import time, pyhost

@pyhost.export
def run(seconds: float) -> float:
    before, end = time.thread_time(), time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return time.thread_time() - before
"""
MANIFEST = '[plugin]\nname = "long"\ninterpreters = {count}\n[limits]\ndeadline = "10m"\n'
LEAST = 0.8
"""The target, of a fair share."""


def measure(folder: Path, seconds: float, count: int, others: int) -> float:
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
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the calls run (default 10)")
    options = parser.parse_args()
    count = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as place:
        plugin = Path(place, "long")
        plugin.mkdir()
        (plugin / "plugin.toml").write_text(MANIFEST.format(count=count))
        (plugin / "long.py").write_text(CODE)
        alone, beside = (measure(Path(place), options.seconds, count, others) for others in (0, count))
    rows = [
        (f"of a fair share, {count} long calls alone", f"{alone:.2f}", "", True),
        (
            f"of a fair share, beside {count} processes that never wait",
            f"{beside:.2f}",
            f"≥ {LEAST:g}",
            beside >= LEAST,
        ),
    ]
    return 0 if closed_loop.report("Long calls on a busy machine", rows) else 1


if __name__ == "__main__":
    sys.exit(main())
