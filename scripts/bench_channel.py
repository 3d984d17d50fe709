"""What a value costs through a channel to another interpreter, beside the standard library's queues in the same run.

Two things are measured: a stream of values from this interpreter's main thread to a consumer, and a value that goes
there and back, each alone. The consumers are a plugin behind a ``pyhost.Channel``, a thread of this interpreter behind
a ``queue.Queue``, which passes references and copies nothing, and, from Python 3.14 on, an interpreter behind a
``concurrent.interpreters`` queue. They take turns, round by round; a ratio is the median of the rounds' ratios to
``queue.Queue``.

Run it on an otherwise idle machine: ``uv run --no-editable python scripts/bench_channel.py``.
"""

from __future__ import annotations

import argparse
import json
import platform
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from pyhost import Channel, Host

PLUGIN = """
import pyhost

@pyhost.export
def echo(source, target):
    for value in source:
        if value is None or type(value) is int:
            target.send(value)
"""
INTERPRETER = """
while True:
    value = source.get()
    if value is None or type(value) is int:
        target.put(value)
    if value is None:
        break
"""
VALUE = (7, "seven", 7.0)
"""What a stream is made of. The consumers send back ints and None only: that ends the stream, or is the round trip."""
CAPACITY = 1024
HOUR = 3600.0


@dataclass(frozen=True)
class Transport:
    """A way to a consumer and back."""

    name: str
    send: Callable[[Any], Any]
    receive: Callable[[], Any]


@dataclass(frozen=True)
class Figure:
    """One measured thing; seconds for each value, the fastest round."""

    name: str
    stream_seconds: float
    stream_ratio: float
    round_trip_seconds: float
    round_trip_ratio: float
    """How many times queue.Queue's time it takes."""


@contextmanager
def through_channels(folder: Path) -> Iterator[Transport]:
    """A plugin behind two channels."""
    (folder / "echoes.py").write_text(PLUGIN)
    source, target = Channel(CAPACITY), Channel(CAPACITY)
    with Host(folder) as host:
        echoing = host.submit("echoes.echo", source, target, timeout=HOUR)
        yield Transport("pyhost.Channel", source.send, target.receive)
        source.close()
        echoing.result()


@contextmanager
def through_threads() -> Iterator[Transport]:
    """A thread of this interpreter behind two queues."""
    source: queue.Queue[Any] = queue.Queue(CAPACITY)
    target: queue.Queue[Any] = queue.Queue(CAPACITY)
    code = compile(INTERPRETER, "<consumer>", "exec")
    thread = threading.Thread(target=exec, args=(code, {"source": source, "target": target}))
    thread.start()
    yield Transport("queue.Queue", source.put, target.get)
    source.put(None)
    thread.join()


@contextmanager
def through_interpreters() -> Iterator[Transport]:
    """An interpreter of the standard library's behind two of its queues."""
    from concurrent import interpreters  # type: ignore[attr-defined,unused-ignore]

    source, target = interpreters.create_queue(CAPACITY), interpreters.create_queue(CAPACITY)
    interpreter = interpreters.create()
    interpreter.prepare_main(source=source, target=target)
    thread = threading.Thread(target=interpreter.exec, args=(INTERPRETER,))
    thread.start()
    yield Transport("concurrent.interpreters", source.put, target.get)
    source.put(None)
    thread.join()
    interpreter.close()


def seconds_per_value(transport: Transport, count: int) -> float:
    """The mean time of a value of a stream, until the last has arrived."""
    send = transport.send
    started = time.perf_counter()
    for _ in range(count):
        send(VALUE)
    send(count)
    if transport.receive() != count:
        raise RuntimeError("a wrong answer")
    return (time.perf_counter() - started) / count


def seconds_per_round_trip(transport: Transport, count: int) -> float:
    """The mean time of a value there and back, nothing else under way."""
    started = time.perf_counter()
    for number in range(count):
        transport.send(number)
        if transport.receive() != number:
            raise RuntimeError("a wrong answer")
    return (time.perf_counter() - started) / count


def measure(transports: list[Transport], rounds: int, values: int, trips: int) -> list[Figure]:
    """The figures; the first transport is what the others are held against."""
    streams: list[list[float]] = []
    round_trips: list[list[float]] = []
    for _ in range(rounds):
        streams.append([seconds_per_value(transport, values) for transport in transports])
        round_trips.append([seconds_per_round_trip(transport, trips) for transport in transports])
    return [
        Figure(
            transport.name,
            min(times[index] for times in streams),
            median(times[index] / times[0] for times in streams),
            min(times[index] for times in round_trips),
            median(times[index] / times[0] for times in round_trips),
        )
        for index, transport in enumerate(transports)
    ]


def show(figures: list[Figure]) -> None:
    """Print them as a table."""
    table = Table(title=f"Python {platform.python_version()}")
    for heading in ("", "values a second", "ratio", "there and back", "ratio"):
        table.add_column(heading, justify="left" if not heading else "right")
    for figure in figures:
        table.add_row(
            figure.name,
            f"{1 / figure.stream_seconds:,.0f}",
            f"{figure.stream_ratio:.2f}",
            f"{figure.round_trip_seconds * 1e6:,.1f} µs",
            f"{figure.round_trip_ratio:.2f}",
        )
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--values", type=int, default=50_000, help="in a stream")
    parser.add_argument("--trips", type=int, default=200, help="there and back in a round")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        transports = [
            stack.enter_context(through_threads()),
            stack.enter_context(through_channels(Path(folder))),
        ]
        if sys.version_info >= (3, 14):
            transports.append(stack.enter_context(through_interpreters()))
        figures = measure(transports, options.rounds, options.values, options.trips)
    if options.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
    else:
        show(figures)


if __name__ == "__main__":
    main()
