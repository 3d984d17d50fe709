"""What counting memory costs CPU-bound programs: the same work with the allocation hooks and without.

The five programs in ``programs/`` run as plugins, in processes with ``PYHOST_MEMORY_ACCOUNTS=0`` and with 1, in the
order off, on, on, off, round by round. What is measured is the CPU time of the faster of two calls in a new
interpreter, and each process makes a few of those: by where its memory happens to lie, an interpreter runs a few
percent slower than the next one, and processes differ, too.

Neighbouring processes are a pair, compared by their median interpreters, and the ratio is the median of the pairs'.
Beside it stand the ratio of the fastest interpreters of all rounds, which varies more from run to run, and the noise:
the same two figures for the first "off" process of each round against the second, which differ in nothing. The mean
over the programs is held against the target; the exit code is 1 if it is missed.

Run it on an otherwise idle machine: ``uv run --no-editable python scripts/bench_memory.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import geometric_mean, median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from pyhost import Host

PROGRAMS = Path(__file__).with_name("programs")
TARGET = 1.02
"""At most: geometric mean over the programs of the time with the hooks by the time without."""


@dataclass(frozen=True, slots=True)
class Program:
    """A plugin of ``programs/`` and what it is to do: about 0.1 s of work."""

    name: str
    size: int
    checksum: int
    """What ``run(size)`` must return."""


WORK = (
    Program("nbody", 20_000, -4_293_812_287_691),
    Program("scheduler", 15_000, 2_423_852_851_029_558_483),
    Program("documents", 75, 2_799_715_028),
    Program("pidigits", 1_700, 73_941_433),
    Program("sequences", 1_200, 2_708_434_378),
)


@dataclass(frozen=True, slots=True)
class Account:
    """What the account of a program's interpreter says after its calls."""

    peak: int
    """Bytes."""
    allocations: int
    """Live blocks and arenas."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One process's figures."""

    seconds: tuple[float, ...]
    """CPU time of a call, for each of its interpreters."""
    account: Account | None
    """Of the last interpreter; None without the hooks."""


@dataclass(frozen=True, slots=True)
class Round:
    """Four processes in the order in which they ran."""

    off_first: Sample
    on_first: Sample
    on_second: Sample
    off_second: Sample

    @property
    def ratios(self) -> tuple[float, float]:
        """On by off, of neighbours."""
        return ratio(self.on_first, self.off_first), ratio(self.on_second, self.off_second)

    @property
    def noise(self) -> float:
        """Off by off."""
        return ratio(self.off_second, self.off_first)


def ratio(one: Sample, other: Sample) -> float:
    """By their median interpreters."""
    return median(one.seconds) / median(other.seconds)


@dataclass(frozen=True, slots=True)
class Figure:
    """One program's cost; times are those of its fastest interpreters, ratios times with the hooks by times without."""

    name: str
    off_seconds: float
    on_seconds: float
    ratio: float
    """Median of the pairs'."""
    fastest_ratio: float
    """Of the fastest interpreters."""
    noise_ratio: float
    """Off against off, median of the pairs'."""
    noise_fastest_ratio: float
    """Off against off, of the fastest interpreters."""
    account: Account
    """Of the last interpreter."""


def measure(program: Program, interpreters: int, processor: int) -> Sample:
    """Run one program in this process, in one interpreter after another."""
    os.sched_setaffinity(0, {processor})
    account, seconds = None, []
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(PROGRAMS / f"{program.name}.py", folder)
        for _ in range(interpreters):
            with Host(folder) as host:
                seconds.append(min(call_seconds(host, program), call_seconds(host, program)))
                account = read_account(host, program)
    return Sample(tuple(seconds), account)


def read_account(host: Host, program: Program) -> Account | None:
    """What the account says now, if there is one."""
    memory = host.status(program.name).interpreters[0].memory
    return Account(memory.peak, memory.allocations) if memory is not None else None


def call_seconds(host: Host, program: Program) -> float:
    """The CPU time of a call. Nothing else runs in this process, so all of its time is the call's."""
    started = time.process_time()
    checksum = host.call(f"{program.name}.run", program.size)
    seconds = time.process_time() - started
    if checksum != program.checksum:
        raise RuntimeError(f"{program.name}.run({program.size}) returned {checksum}, not {program.checksum}")
    return seconds


def measure_apart(program: Program, options: argparse.Namespace, *, counted: bool) -> Sample:
    """``measure`` in a process of its own, which must count memory or not, as told."""
    command = [sys.executable, __file__, "--inside", program.name, "--interpreters", str(options.interpreters)]
    outcome = subprocess.run(command, env=environment(counted=counted), check=True, stdout=subprocess.PIPE, text=True)
    fields = json.loads(outcome.stdout)
    account = Account(**fields["account"]) if fields["account"] is not None else None
    if (account is not None) != counted:
        done = "not counted" if counted else "counted"
        raise RuntimeError(f"memory was {done}: PYHOST_MEMORY_ACCOUNTS={int(counted)} has no effect")
    return Sample(tuple(fields["seconds"]), account)


def environment(*, counted: bool) -> dict[str, str]:
    """The environment without settings that change how Python or pyhost allocates, and with one seed for hashes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYHOST"))}
    return {**kept, "PYTHONHASHSEED": "0", "PYHOST_MEMORY_ACCOUNTS": str(int(counted))}


def run_round(program: Program, options: argparse.Namespace) -> Round:
    """Off, on, on, off: what changes steadily meanwhile meets both alike."""
    return Round(*(measure_apart(program, options, counted=counted) for counted in (False, True, True, False)))


def summarize(name: str, rounds: Sequence[Round]) -> Figure:
    """One program's figures."""
    off_first, off_second = fastest(turn.off_first for turn in rounds), fastest(turn.off_second for turn in rounds)
    off = min(off_first, off_second)
    on = fastest(sample for turn in rounds for sample in (turn.on_first, turn.on_second))
    account = rounds[-1].on_second.account
    assert account is not None
    return Figure(
        name=name,
        off_seconds=off,
        on_seconds=on,
        ratio=median(pair for turn in rounds for pair in turn.ratios),
        fastest_ratio=on / off,
        noise_ratio=median(turn.noise for turn in rounds),
        noise_fastest_ratio=off_second / off_first,
        account=account,
    )


def fastest(samples: Iterable[Sample]) -> float:
    """The fastest interpreter's time."""
    return min(min(sample.seconds) for sample in samples)


def print_table(figures: Sequence[Figure], mean: float) -> None:
    """The figures for people."""
    table = Table(title=f"Python {platform.python_version()}, one of {os.cpu_count()} cores", show_footer=True)
    table.add_column("program", footer="geometric mean", no_wrap=True)
    for heading, footer in (
        ("off", ""),
        ("on", ""),
        ("on / off", f"{mean:.4f}"),
        ("fastest", f"{geometric_mean(figure.fastest_ratio for figure in figures):.4f}"),
        ("off / off", f"{geometric_mean(figure.noise_ratio for figure in figures):.4f}"),
        ("fastest", f"{geometric_mean(figure.noise_fastest_ratio for figure in figures):.4f}"),
        ("peak", ""),
        ("live blocks", ""),
    ):
        table.add_column(heading, footer=footer, justify="right")
    for figure in figures:
        table.add_row(
            figure.name,
            f"{figure.off_seconds * 1e3:.1f} ms",
            f"{figure.on_seconds * 1e3:.1f} ms",
            f"{figure.ratio:.4f}",
            f"{figure.fastest_ratio:.4f}",
            f"{figure.noise_ratio:.4f}",
            f"{figure.noise_fastest_ratio:.4f}",
            f"{figure.account.peak / 2**20:.1f} MiB",
            f"{figure.account.allocations}",
        )
    console = Console(width=max(Console().width, 110))
    console.print(table)
    console.print(f"target: on / off <= {TARGET}, {'met' if mean <= TARGET else 'MISSED'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="of four processes for each program")
    parser.add_argument("--interpreters", type=int, default=6, help="in a process, one after another")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        program = next(program for program in WORK if program.name == options.inside)
        print(json.dumps(asdict(measure(program, options.interpreters, max(os.sched_getaffinity(0))))))
        return 0
    rounds: dict[Program, list[Round]] = {program: [] for program in WORK}
    for _ in track(range(options.rounds), "measuring", console=Console(stderr=True), transient=True):
        for program in WORK:
            rounds[program].append(run_round(program, options))
    figures = [summarize(program.name, turns) for program, turns in rounds.items()]
    mean = geometric_mean(figure.ratio for figure in figures)
    print_table(figures, mean)
    if options.json:
        report = {
            "python": platform.python_version(),
            "mean": mean,
            "target": TARGET,
            "figures": [asdict(figure) for figure in figures],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if mean > TARGET else 0


if __name__ == "__main__":
    sys.exit(main())
