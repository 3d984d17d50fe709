"""What a call costs, every figure a ratio to a baseline of the same run.

Baselines (``bench_baseline.c``, compiled at the start) make the same Python call without pyhost: a bare futex
ping-pong between two threads, and a bare ``PyThreadState_Swap`` there and back. Each figure and its baseline are
measured in turn, round by round, each as the fastest of three attempts, and the ratio is the median of the rounds'
ratios. The standard library does the same
work beside them, as far as this Python has it.

Run it on an otherwise idle machine: ``uv run --no-editable python scripts/bench_call.py``.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib.util
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.table import Table

from pyhost import Host

PLUGIN = """
import pyhost

@pyhost.export
def f(x):
    return x

@pyhost.export(direct=True)
def g(x):
    return x

@pyhost.export
def work(count):
    total = 0
    for i in range(count):
        total += i * i
    return total
"""
MANIFEST = """
[plugin]
name = "{name}"
module = "bench"
interpreters = {interpreters}
[limits]
deadline = "60s"
"""


@dataclass(frozen=True)
class Figure:
    """One measured thing beside its baseline; times in seconds per operation."""

    name: str
    seconds: float
    baseline: str
    baseline_seconds: float
    ratio: float
    """How many times the baseline's time it takes; for a speed-up, how many times faster it is."""
    target: str
    """The bound that the ratio is held against, "" where it is there for comparison only."""
    met: bool | None


def identity(x: int) -> int:
    """What the standard library's executors call."""
    return x


def load_baseline(folder: Path) -> ModuleType:
    """Compile and import ``bench_baseline.c``."""
    source = Path(__file__).with_name("bench_baseline.c")
    target = folder / f"bench_baseline{sysconfig.get_config_var('EXT_SUFFIX')}"
    compiler = sysconfig.get_config_var("CC").split()[0]
    flags = ["-O2", "-shared", "-fPIC", "-I", sysconfig.get_path("include")]
    subprocess.run([compiler, *flags, str(source), "-o", str(target)], check=True)
    spec = importlib.util.spec_from_file_location("bench_baseline", target)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def plugins(folder: Path) -> Iterator[Host]:
    """A host with the plugins one (an interpreter) and two (two of them)."""
    for name, interpreters in (("one", 1), ("two", 2)):
        place = folder / "plugins" / name
        place.mkdir(parents=True)
        (place / "plugin.toml").write_text(MANIFEST.format(name=name, interpreters=interpreters))
        (place / "bench.py").write_text(PLUGIN)
    with Host(folder / "plugins") as host:
        yield host


def seconds_per_call(function: Callable[[int], Any], count: int) -> float:
    """The mean time of count calls, each answer checked."""
    started = time.perf_counter()
    wrong = sum(function(i) != i for i in range(count))
    seconds = time.perf_counter() - started
    if wrong:
        raise RuntimeError(f"{wrong} wrong answers")
    return seconds / count


def seconds_per_item(host: Host, count: int) -> float:
    """The mean time of an item of one pipelined map."""
    started = time.perf_counter()
    right = list(host.map("one.f", range(count))) == list(range(count))
    seconds = time.perf_counter() - started
    if not right:
        raise RuntimeError("a wrong answer")
    return seconds / count


def seconds_at_once(host: Host, items: int, size: int) -> float:
    """The time of CPU-bound items, spread over two interpreters."""
    started = time.perf_counter()
    for _ in host.map("two.work", [size] * items):
        pass
    return time.perf_counter() - started


def seconds_one_at_a_time(host: Host, items: int, size: int) -> float:
    """The time of the same items on the same two interpreters, which take turns.

    Not one other interpreter: by where its memory happens to lie, one runs up to a third slower than another.
    """
    started = time.perf_counter()
    for _ in range(items):
        host.call("two.work", size)
    return time.perf_counter() - started


def fastest(measure: Callable[[], float], attempts: int = 3) -> float:
    """The fastest of a few measurements: what else the machine does can only add time."""
    return min(measure() for _ in range(attempts))


class Bench:
    """Measures pairs in turn and keeps the figures."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.figures: list[Figure] = []

    def cost(
        self,
        name: str,
        measured: Callable[[], float],
        baseline_name: str,
        baseline: Callable[[], float],
        at_most: float | None = None,
    ) -> None:
        """How many times the baseline's time the measured one takes."""
        pairs = [(fastest(measured), fastest(baseline)) for _ in range(self.rounds)]
        ratio = median(ours / theirs for ours, theirs in pairs)
        self._add(
            name,
            baseline_name,
            pairs,
            ratio,
            at_most,
            f"<= {at_most:g}" if at_most else "",
            met=ratio <= (at_most or 0),
        )

    def speed_up(
        self,
        name: str,
        measured: Callable[[], float],
        baseline_name: str,
        baseline: Callable[[], float],
        at_least: float | None = None,
    ) -> None:
        """How many times faster than the baseline the measured one is."""
        pairs = [(fastest(measured), fastest(baseline)) for _ in range(self.rounds)]
        ratio = median(theirs / ours for ours, theirs in pairs)
        self._add(
            name,
            baseline_name,
            pairs,
            ratio,
            at_least,
            f">= {at_least:g}" if at_least else "",
            met=ratio >= (at_least or 0),
        )

    def _add(
        self,
        name: str,
        baseline_name: str,
        pairs: list[tuple[float, float]],
        ratio: float,
        bound: float | None,
        target: str,
        *,
        met: bool,
    ) -> None:
        ours, theirs = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
        self.figures.append(Figure(name, ours, baseline_name, theirs, ratio, target, met if bound else None))


def measure_pyhost(bench: Bench, host: Host, baseline: ModuleType, calls: int) -> None:
    """pyhost beside the bare loops."""
    queued, direct = host.function("one.f"), host.function("one.g")
    ping_pong = ("bare futex ping-pong, same call", lambda: baseline.ping_pong(calls))
    swap = ("bare PyThreadState_Swap, same call", lambda: baseline.swap_call(calls * 10))
    bench.cost("queued call", lambda: seconds_per_call(queued, calls), *ping_pong, at_most=2)
    bench.cost("direct call", lambda: seconds_per_call(direct, calls * 10), *swap, at_most=6)
    bench.speed_up(
        "host.map, 100,000 small items",
        lambda: seconds_per_item(host, 100_000),
        "queued call",
        lambda: seconds_per_call(queued, calls),
        at_least=4,
    )
    bench.speed_up(
        "CPU-bound work on two interpreters at once",
        lambda: seconds_at_once(host, 100, 80_000),
        "on one at a time",
        lambda: seconds_one_at_a_time(host, 100, 80_000),
        at_least=1.9,
    )


def _pipe_server(connection: Any) -> None:
    while (value := connection.recv()) is not None:
        connection.send(value)


def measure_processes(bench: Bench, host: Host, stack: ExitStack) -> None:
    """pyhost's queued call beside processes."""
    queued = host.function("one.f")
    context = multiprocessing.get_context("spawn")
    pool = stack.enter_context(concurrent.futures.ProcessPoolExecutor(1, mp_context=context))
    pool.submit(identity, 0).result()
    ours, theirs = context.Pipe()
    process = context.Process(target=_pipe_server, args=(theirs,))
    process.start()
    stack.callback(process.join)
    stack.callback(ours.send, None)

    def pipe(i: int) -> Any:
        ours.send(i)
        return ours.recv()

    pipe(0)
    mine = ("queued call", lambda: seconds_per_call(queued, 2000))
    for name, function in (
        ("ProcessPoolExecutor", lambda i: pool.submit(identity, i).result()),
        ("multiprocessing.Pipe ping-pong", pipe),
    ):
        bench.speed_up(mine[0], mine[1], name, lambda function=function: seconds_per_call(function, 500))


def measure_interpreters(bench: Bench, host: Host, stack: ExitStack) -> list[str]:
    """pyhost's queued call beside the standard library's interpreters; what this Python lacks."""
    try:
        from concurrent import interpreters
    except ImportError:
        return ["concurrent.interpreters and InterpreterPoolExecutor: since Python 3.14"]
    queued = host.function("one.f")
    mine = ("queued call", lambda: seconds_per_call(queued, 2000))
    pool = stack.enter_context(concurrent.futures.InterpreterPoolExecutor(1))
    pool.submit(identity, 0).result()
    interpreter = interpreters.create()
    stack.callback(interpreter.close)
    bench.speed_up(
        *mine, "Interpreter.call", lambda: seconds_per_call(lambda i: interpreter.call(identity, i), 500), at_least=10
    )
    bench.speed_up(
        *mine, "InterpreterPoolExecutor", lambda: seconds_per_call(lambda i: pool.submit(identity, i).result(), 500)
    )
    there, back = interpreters.create_queue(), interpreters.create_queue()
    player = interpreters.create()
    player.prepare_main(there=there, back=back)
    thread = player.call_in_thread(play)
    stack.callback(player.close)
    stack.callback(thread.join)
    stack.callback(there.put, None)

    def queue(i: int) -> Any:
        there.put(i)
        return back.get()

    bench.speed_up(*mine, "Queue ping-pong", lambda: seconds_per_call(queue, 20), at_least=500)
    return []


def play() -> None:
    """Runs in the interpreter that plays the queue's other side."""
    import __main__

    while (value := __main__.there.get()) is not None:
        __main__.back.put(value)


def print_table(figures: list[Figure], notes: list[str]) -> None:
    """The figures for people."""
    table = Table(title=f"Python {platform.python_version()}, {os.cpu_count()} cores")
    for heading, justify in (
        ("what", "left"),
        ("time", "right"),
        ("beside", "left"),
        ("time", "right"),
        ("ratio", "right"),
        ("target", "right"),
    ):
        table.add_column(heading, justify=justify)
    for figure in figures:
        mark = {True: " ok", False: " MISSED", None: ""}[figure.met]
        table.add_row(
            figure.name,
            duration(figure.seconds),
            figure.baseline,
            duration(figure.baseline_seconds),
            f"{figure.ratio:.2f}",
            figure.target + mark,
        )
    console = Console(width=max(Console().width, 110))
    console.print(table)
    for note in notes:
        console.print(f"not measured: {note}")


def duration(seconds: float) -> str:
    """A short text with its unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.2f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="pairs of measurements for each figure")
    parser.add_argument("--calls", type=int, default=10_000, help="queued calls in an attempt")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    bench = Bench(options.rounds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        baseline = load_baseline(folder)
        host = stack.enter_context(plugins(folder))
        measure_pyhost(bench, host, baseline, options.calls)
        measure_processes(bench, host, stack)
        notes = measure_interpreters(bench, host, stack)
    print_table(bench.figures, notes)
    if options.json:
        report = {
            "python": platform.python_version(),
            "figures": [asdict(figure) for figure in bench.figures],
            "notes": notes,
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if any(figure.met is False for figure in bench.figures) else 0


if __name__ == "__main__":
    sys.exit(main())
