"""One measurement of ``stress_memory.py``, made in a process of its own so that none disturbs another.

A side is a way to run the same work many times over: pyhost's interpreters, the standard library's own, or processes.
All are measured alike: a first one warms the process up and is not counted, so the figures say what one more costs.
Takes a ``Job`` as JSON; prints a line of JSON for every step, and the result as the last one. Imports the standard
library alone, and pyhost where that is the side.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, override

if TYPE_CHECKING:
    from pyhost import Host

KNOWN_FIRST = 2 << 20
KNOWN_STEP = 128 << 10
"""Bytes that the first plugin of the workload "known" is told to allocate, and how many more each next one."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to measure."""

    mode: str
    """alive, churn or known."""
    side: str
    """pyhost, stdlib or process."""
    count: int
    """How many at once, or how many cycles."""
    warm_up: int
    """Cycles before those."""
    folder: str
    """pyhost: the folder that holds the plugin."""
    plugin: str
    """pyhost: the plugin's name."""
    function: str
    """pyhost: the plugin's function to call once; "" for none."""
    code: str
    """The others: the same work as a program."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in bytes; of several processes, their sum."""

    rss: int
    pss: int
    """As rss, but every shared page counts in equal parts for the processes that share it."""


@dataclass(frozen=True, slots=True)
class Alive:
    """What so many at once cost. Memory of all in bytes, times of each in seconds."""

    side: str
    count: int
    account: int | None
    """The sum of pyhost's memory accounts; None where there are none."""
    rss: int
    pss: int
    left: int
    """RSS that is still held after all have ended."""
    creation: list[float]
    """From nothing to the first answer."""
    end: list[float]


@dataclass(frozen=True, slots=True)
class Churn:
    """The process's RSS in bytes after each cycle of create, load, call and end."""

    side: str
    rss: list[int]


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """One plugin that was told how many bytes to allocate."""

    kind: str
    told: int
    grown: int
    """By how much its account grew."""

    @property
    def error(self) -> float:
        """How much more that is than told, as a part of what was told."""
        return (self.grown - self.told) / self.told


@dataclass(frozen=True, slots=True)
class Known:
    """Plugins that each allocated what they were told, and the process around them. Bytes."""

    accounts: list[KnownAccount]
    account: int
    """The sum of the accounts: what they were told and what their interpreters need."""
    rss: int
    """Growth of the process from before they were created."""


def memory_of(process: int | str = "self") -> Memory:
    """Read from smaps_rollup, which is exact; newer kernels count statm in batches for each processor."""
    with open(f"/proc/{process}/smaps_rollup") as lines:
        sizes = {name: int(rest[0]) * 1024 for name, *rest in map(str.split, lines) if name in ("Rss:", "Pss:")}
    return Memory(sizes["Rss:"], sizes["Pss:"])


class Side:
    """Creates one after the other, and ends them in the same order."""

    def create(self) -> None:
        """Create, load, and wait for the first answer."""
        raise NotImplementedError

    def end(self) -> None:
        """End the oldest, and wait until it has ended."""
        raise NotImplementedError

    def memory(self) -> Memory:
        """What is resident now."""
        return memory_of()

    def account(self) -> int | None:
        """The sum of pyhost's accounts."""
        return None


class PyhostSide(Side):
    """Copies of one plugin in one host, each with a name of its own."""

    def __init__(self, job: Job) -> None:
        from pyhost import Host

        self._job = job
        self._copies = tempfile.TemporaryDirectory()
        self.host: Host = Host()
        self.names: list[str] = []

    @override
    def create(self) -> None:
        names = (f"{self._job.plugin}_{number}" for number in count(1))
        status = self.host.load_plugin(self._copy(next(name for name in names if name not in self.names)))
        self.names.append(status.name)
        if self._job.function:
            self.host.call(f"{status.name}.{self._job.function}")

    @override
    def end(self) -> None:
        self.host.unload_plugin(self.names.pop(0))

    @override
    def account(self) -> int | None:
        accounts = [item.memory for status in self.host.plugins() for item in status.interpreters]
        counted = [account.current for account in accounts if account is not None]
        return sum(counted) if len(counted) == len(accounts) else None

    def _copy(self, name: str) -> Path:
        (source,) = Path(self._job.folder).iterdir()
        if source.is_file():
            return Path(shutil.copy(source, f"{self._copies.name}/{name}.py"))
        copy = Path(shutil.copytree(source, f"{self._copies.name}/{name}", dirs_exist_ok=True))
        manifest = copy / "plugin.toml"
        text = manifest.read_text()
        manifest.write_text(text.replace(f'name = "{self._job.plugin}"', f'name = "{name}"', 1))
        return copy


class StandardSide(Side):
    """Isolated interpreters, each with its own GIL; what ``concurrent.interpreters`` makes since 3.14, and 3.13 too."""

    def __init__(self, job: Job) -> None:
        import datetime  # noqa: F401 - without it here, 3.13 aborts when an interpreter that used it ends

        self._code = job.code
        self._interpreters: list[int] = []

    @override
    def create(self) -> None:
        import _interpreters

        interpreter = _interpreters.create("isolated")
        self._interpreters.append(interpreter)
        failure = _interpreters.exec(interpreter, self._code)
        if failure is not None:
            raise RuntimeError(failure.errdisplay)

    @override
    def end(self) -> None:
        import _interpreters

        _interpreters.destroy(self._interpreters.pop(0))


class ProcessSide(Side):
    """Processes that do the work, say so, and wait."""

    def __init__(self, job: Job) -> None:
        self._command = [sys.executable, "-I", "-c", f"{job.code}\nprint(flush=True)\ninput()\n"]
        self._processes: list[subprocess.Popen[bytes]] = []

    @override
    def create(self) -> None:
        process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._processes.append(process)
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError(f"the process ended with exit code {process.wait()}")

    @override
    def end(self) -> None:
        self._processes.pop(0).communicate(b"\n")

    @override
    def memory(self) -> Memory:
        each = [memory_of(process.pid) for process in self._processes]
        return Memory(sum(memory.rss for memory in each), sum(memory.pss for memory in each))


SIDES: dict[str, Callable[[Job], Side]] = {"pyhost": PyhostSide, "stdlib": StandardSide, "process": ProcessSide}


def seconds_of(step: Callable[[], None]) -> float:
    """How long the step takes; says that it is done."""
    started = time.perf_counter()
    step()
    seconds = time.perf_counter() - started
    print(json.dumps({"steps": 1}), flush=True)
    return seconds


def measure_alive(job: Job) -> Alive:
    """So many at once."""
    side = SIDES[job.side](job)
    side.create()
    account_before = side.account() or 0
    before = side.memory()
    creation = [seconds_of(side.create) for _ in range(job.count)]
    account, full = side.account(), side.memory()
    end = [seconds_of(side.end) for _ in range(job.count)]
    left = side.memory()
    side.end()
    return Alive(
        side=job.side,
        count=job.count,
        account=account - account_before if account is not None else None,
        rss=full.rss - before.rss,
        pss=full.pss - before.pss,
        left=left.rss - before.rss,
        creation=creation,
        end=end,
    )


def measure_churn(job: Job) -> Churn:
    """One after the other."""
    side = SIDES[job.side](job)

    def cycle() -> None:
        side.create()
        side.end()

    for _ in range(job.warm_up):
        seconds_of(cycle)
    rss = []
    for _ in range(job.count):
        seconds_of(cycle)
        rss.append(side.memory().rss)
    return Churn(job.side, rss)


def measure_known(job: Job) -> Known:
    """So many plugins at once, each told to allocate another amount, in another kind of objects than its neighbours."""
    side = PyhostSide(job)
    accounts = []

    def allocate(index: int) -> None:
        side.create()
        plugin, told = side.names[-1], KNOWN_FIRST + index * KNOWN_STEP
        kinds = side.host.call(f"{plugin}.kinds")
        kind = kinds[index % len(kinds)]
        before = account_of(side.host, plugin)
        side.host.call(f"{plugin}.allocate", kind, told)
        accounts.append(KnownAccount(kind, told, account_of(side.host, plugin) - before))

    allocate(0)
    accounts.clear()
    account_before, before = side.account() or 0, side.memory()
    for index in range(job.count):
        seconds_of(partial(allocate, index))
    account, full = side.account() or 0, side.memory()
    while side.names:
        side.end()
    return Known(accounts, account - account_before, full.rss - before.rss)


def account_of(host: Host, plugin: str) -> int:
    """What the plugin's one interpreter holds by its account."""
    (interpreter,) = host.status(plugin).interpreters
    if interpreter.memory is None:
        sys.exit("pyhost keeps no memory accounts here: run without PYHOST_MEMORY_ACCOUNTS=0 and without -X dev")
    return interpreter.memory.current


MODES: dict[str, Callable[[Job], Alive | Churn | Known]] = {
    "alive": measure_alive,
    "churn": measure_churn,
    "known": measure_known,
}


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    print(json.dumps({"result": asdict(MODES[job.mode](job))}), flush=True)


if __name__ == "__main__":
    main()
