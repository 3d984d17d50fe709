"""Clients that call a plugin in a closed loop, and the table of a benchmark's figures beside their targets."""

import math
import operator
import sys
import threading
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.table import Table


class Latencies:
    """Counts latencies in buckets of 5 %: as lists of numbers they would be what grows."""

    _SHORTEST, _STEP = 1e-7, math.log(1.05)

    def __init__(self) -> None:
        self.counts = [0] * 500

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[max(int(math.log(seconds / self._SHORTEST) / self._STEP), 0)] += 1

    def include(self, others: Self) -> None:
        """Count them, too."""
        self.counts = list(map(operator.add, self.counts, others.counts))

    def p99(self) -> float:
        """In seconds."""
        left = 0.99 * sum(self.counts)
        for bucket, count in enumerate(self.counts):
            left -= count
            if left <= 0:
                return self._SHORTEST * math.exp((bucket + 1) * self._STEP)
        raise ValueError("there are none")


class Clients:
    """Threads that call ``add`` of a plugin in a closed loop, and check every answer. Each connects once: that gives it
    the function that it calls.
    """

    def __init__(self, connect: Callable[[], Callable[[int, int], object]], count: int) -> None:
        self._connect = connect
        self._latencies = [Latencies() for _ in range(count)]
        self._stopping = False
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._call, args=(index,)) for index in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join()

    def take(self) -> Latencies:
        """Those since the last time."""
        taken = Latencies()
        for index, own in enumerate(self._latencies):
            self._latencies[index] = Latencies()
            taken.include(own)
        return taken

    def _call(self, index: int) -> None:
        number = 0
        add = self._connect()
        while not self._stopping:
            number += 1
            before = time.perf_counter()
            try:
                answer = add(number, 1)
            except Exception as error:  # noqa: BLE001 - whatever comes is what is counted
                self.failures.append(error)
            else:
                if answer != number + 1:
                    self.failures.append(AssertionError(f"{answer} is no answer to {number} + 1"))
            self._latencies[index].add(time.perf_counter() - before)


def report(title: str, rows: list[tuple[str, str, str, bool]]) -> bool:
    """Print what was measured, how much it is, its target ("" for none) and whether that is met; whether all are."""
    table = Table(title=f"{title}, Python {sys.version.split()[0]}")
    for column in ("what", "measured", "target", ""):
        table.add_column(column)
    for what, measured, target, met in rows:
        table.add_row(what, measured, target, "met" if target and met else "MISSED" if target else "")
    Console(width=140 if not sys.stdout.isatty() else None).print(table)
    return all(met for *_, met in rows)
