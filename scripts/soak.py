"""Eight hours in ten minutes: plugins that are called, reloaded, stopped, broken and run away, all at once, at random.

Client threads call plugins in closed loops and check every answer; those of plugins that are only ever reloaded must
all be right. Meanwhile an operator reloads, restarts, stops, drains and breaks plugins, and starts calls that never
end, that block in C, that eat memory. In the end nothing may be left: every call has had one outcome, every interpreter
that was made has ended with its account at zero, and there are no more threads and descriptors than before.

Everything follows from ``--seed``, as far as threads allow. Exit code 1 when something does not hold.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from soak_plugins import PLUGINS, SoakPlugin

import pyhost
from pyhost import _core
from pyhost.errors import CallError, PluginLoadError

CALLERS = {"steady": 2, "direct": 1, "coroutines": 1, "chain": 1, "state": 1, "fickle": 1, "hungry": 1}
"""Threads that call the plugin's ``add``."""
PATIENCE = 60.0
"""Seconds for what is lost to come back in the end."""
LEFT_BY_313_BYTES = 50_000
"""What CPython 3.13 leaves of an interpreter at most: the table of its arenas, and 44 kB where an event loop ran."""

RUNAWAYS: tuple[tuple[str, tuple[object, ...]], ...] = (
    ("runaway.busy", ()),
    ("runaway.swallow", (1.5,)),
    ("runaway.sleep", (1.0,)),
    ("runaway.compute", (3_000_000,)),
    ("runaway.leave_thread", (0.5,)),
    ("runaway.exit", ()),
    ("loop.never_yields", ()),
    ("loop.hold_up", (2.0,)),
    ("loop.wait", ()),
    ("hungry.grow", (False,)),
    ("hungry.grow", (True,)),
)
"""Calls and their arguments."""


class Ledger:
    """Who did what, and what should not have been. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.done: Counter[str] = Counter()
        self.begun = 0
        self.ended = 0
        self.violations: list[str] = []

    def count(self, what: str) -> None:
        """Count something that was done."""
        with self._lock:
            self.done[what] += 1

    def accuse(self, what: str) -> None:
        """Note what should not have been."""
        with self._lock:
            self.violations.append(what)

    def call(self, host: pyhost.Host, name: str, arguments: tuple[object, ...], *, may_fail: bool) -> object:
        """Make a call; its result, or its error."""
        with self._lock:
            self.begun += 1
        try:
            outcome: object = host.function(name).call(arguments, {})
        except CallError as error:
            outcome = error
            if not may_fail:
                self.accuse(f"{name}: {error!r}")
        with self._lock:
            self.ended += 1
        return outcome


class Callers:
    """Threads that call ``add`` of the plugins and check the sums."""

    def __init__(self, host: pyhost.Host, ledger: Ledger) -> None:
        self._host = host
        self._ledger = ledger
        self._stopping = threading.Event()
        names = [name for name, count in CALLERS.items() for _ in range(count)]
        self._threads = [threading.Thread(target=self._call, args=(name,)) for name in names]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; every call has its answer then."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _call(self, plugin: str) -> None:
        stops = next(item.stops for item in PLUGINS if item.name == plugin)
        number = 0
        while not self._stopping.wait(0.002):
            number += 1
            outcome = self._ledger.call(self._host, f"{plugin}.add", (number, 1), may_fail=stops)
            if isinstance(outcome, Exception):
                self._ledger.count("calls that found their plugin away")
            elif outcome != number + 1:
                self._ledger.accuse(f"{plugin}.add({number}, 1) is {outcome!r}")
            else:
                self._ledger.count("calls answered right")


class Operator:
    """Does at random what operators and bad plugins do."""

    def __init__(self, host: pyhost.Host, folder: Path, ledger: Ledger, chance: random.Random) -> None:
        self._host = host
        self._folder = folder
        self._ledger = ledger
        self._chance = chance
        self._version = 0
        self._runaways: list[threading.Thread] = []

    def act(self) -> None:
        """Do one thing."""
        actions = (self._reload, self._change, self._break, self._stop_and_start, self._restart, self._run_away)
        self._chance.choices(actions, weights=(4, 3, 1, 2, 1, 6))[0]()

    def finish(self) -> None:
        """Wait for the calls that run away."""
        for thread in self._runaways:
            thread.join()

    def _pick(self, *, stops: bool = False) -> SoakPlugin:
        return self._chance.choice([item for item in PLUGINS if item.stops or not stops])

    def _write(self, plugin: SoakPlugin, *, broken: bool = False) -> None:
        self._version += 1
        plugin.write(self._folder, self._version, broken=broken)

    def _reload(self) -> None:
        name = self._pick().name
        try:
            self._host.reload_plugin(name)
        except PluginLoadError as error:
            self._ledger.accuse(f"reload of {name}: {error}")
        self._ledger.count("reloads")

    def _change(self) -> None:
        self._write(self._pick())
        report = self._host.rescan()
        if report.failed:
            self._ledger.accuse(f"rescan: {report}")
        self._ledger.count("changes")

    def _break(self) -> None:
        plugin = self._pick()
        self._write(plugin, broken=True)
        try:
            self._host.reload_plugin(plugin.name)
        except PluginLoadError:
            self._ledger.count("broken versions refused")
        else:
            self._ledger.accuse(f"a broken version of {plugin.name} was loaded")
        self._write(plugin)
        self._host.reload_plugin(plugin.name)

    def _stop_and_start(self) -> None:
        name = self._pick(stops=True).name
        if self._chance.random() < 0.5:
            self._host.stop_plugin(name)
        else:
            self._host.drain_plugin(name, timeout=0.2)
        self._host.start_plugin(name)
        self._ledger.count("stops and starts")

    def _restart(self) -> None:
        self._host.restart_plugin(self._pick(stops=True).name)
        self._ledger.count("restarts")

    def _run_away(self) -> None:
        name, arguments = self._chance.choice(RUNAWAYS)
        thread = threading.Thread(
            target=self._ledger.call, args=(self._host, name, arguments), kwargs={"may_fail": True}
        )
        thread.start()
        self._runaways = [item for item in self._runaways if item.is_alive()] + [thread]
        self._ledger.count("calls that run away")


def resources() -> tuple[int, int]:
    """How many threads and descriptors the process has."""
    process = psutil.Process()
    return process.num_threads(), process.num_fds()


def last_interpreter() -> int:
    """The number of the newest interpreter, which is that of one made here and never used."""
    return _core.Interpreter(_core.Router()).id


def soak(folder: Path, ledger: Ledger, seed: int, seconds: float) -> None:
    """Run everything for so long."""
    chance = random.Random(seed)
    with pyhost.Host(folder, warm=2) as host, Progress() as progress:
        task = progress.add_task("soaking", total=seconds)
        callers, operator = Callers(host, ledger), Operator(host, folder, ledger, chance)
        callers.start()
        started = time.monotonic()
        while (passed := time.monotonic() - started) < seconds:
            progress.update(task, completed=passed)
            operator.act()
            time.sleep(chance.expovariate(20))
        operator.finish()
        callers.stop()
        for plugin in host.plugins():
            if plugin.state != "running":
                ledger.accuse(f"{plugin.name} is {plugin.state} in the end: {plugin.reason}")


def wait_for_the_lost() -> None:
    """Wait until every interpreter that was set aside has come back."""
    deadline = time.monotonic() + PATIENCE
    while _core.lost_count() > 0 and time.monotonic() < deadline:
        time.sleep(0.05)


def check_end(ledger: Ledger, before: tuple[int, int], made: int, ended: int, left: int) -> None:
    """Hold what is left against what was there before."""
    wait_for_the_lost()
    gc.collect()
    deadline = time.monotonic() + PATIENCE
    while (now := resources()) > before and time.monotonic() < deadline:
        time.sleep(0.05)  # threads that have done their last, and are not gone yet
    if _core.lost_count():
        ledger.accuse(f"{_core.lost_count()} interpreters are lost for good")
    if ended != made:
        ledger.accuse(f"{made} interpreters were made, and {ended} have ended")
    allowed = ended * LEFT_BY_313_BYTES if sys.version_info < (3, 14) else 0
    if left > allowed:
        ledger.accuse(f"ended interpreters have {left} bytes on their accounts")
    if now[0] > before[0] or now[1] > before[1]:
        ledger.accuse(f"threads and descriptors were {before} and are {now}")
    if ledger.begun != ledger.ended:
        ledger.accuse(f"{ledger.begun} calls were made, and {ledger.ended} have ended")


def report(ledger: Ledger, ended: int, left: int, seconds: float) -> None:
    """Print what was done, and what did not hold."""
    table = Table(title=f"{seconds:.0f} s, Python {sys.version.split()[0]}")
    table.add_column("what")
    table.add_column("how often", justify="right")
    for what, count in sorted(ledger.done.items()):
        table.add_row(what, f"{count:,}")
    table.add_row("interpreters that have ended", f"{ended:,}")
    table.add_row("bytes that are left on their accounts", f"{left:,}")
    Console().print(table)
    for violation, count in Counter(ledger.violations).most_common(20):
        print(f"VIOLATION ({count} ×): {violation}")
    print("everything holds" if not ledger.violations else f"{len(ledger.violations)} violations")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--seed", type=int, default=None, help="for the same actions again")
    parser.add_argument("--log", metavar="FILE", default=os.devnull, help="write what pyhost and the plugins log there")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    logging.basicConfig(filename=options.log, filemode="w", level=logging.INFO, format="%(asctime)s %(message)s")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for plugin in PLUGINS:
            plugin.write(folder, 0)
        # Once for what a first host leaves in the process for good: the watchdog's thread, caches.
        soak(folder, Ledger(), seed, 1.0)
        wait_for_the_lost()
        before, first = resources(), last_interpreter()
        ended_before, left_before = _core.ends()
        ledger = Ledger()
        soak(folder, ledger, seed, options.minutes * 60)
        wait_for_the_lost()
        ended, left = (now - then for now, then in zip(_core.ends(), (ended_before, left_before), strict=True))
        check_end(ledger, before, last_interpreter() - first - 1, ended, left)
    report(ledger, ended, left, options.minutes * 60)
    return 1 if ledger.violations else 0


if __name__ == "__main__":
    sys.exit(main())
