"""Memory and time of many interpreters: in pyhost, in the standard library's own interpreters, and in processes.

    uv run --no-editable python scripts/stress_memory.py --interpreters 1,10,50 --workload asyncio --vs process,stdlib
    uv run --no-editable python scripts/stress_memory.py --workload everything --churn 500 --vs stdlib
    uv run --no-editable python scripts/stress_memory.py --workload known

The first measures what one more interpreter costs while so many are alive: pyhost's own account of it, the growth of
the process's resident memory (RSS; PSS counts what processes share once), the median time to create it, load the plugin
and answer a call, and the median time to end it. The second creates, loads, calls and ends over and over, and fits a
line to the growth. The third has 50 plugins allocate known amounts, and checks pyhost's accounts against them.

Workloads: bare; json; asyncio (with json); everything (asyncio, ctypes, datetime, decimal, json, sqlite3, ssl); known;
or the path of a plugin, of which the first function without required arguments is called.

Every measurement is a process of its own. The standard library's interpreters and the processes run the Python that the
virtual environment is made from, so they do not pay for what the environment's packages do at start-up.
Exit code 1: a target is missed, or a measurement failed; 2: a wrong argument.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import stress_report
import stress_sides
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from stress_report import Report
from stress_sides import Alive, Churn, Job, Known, KnownAccount
from stress_workloads import BUILT_IN, Workload, WorkloadError, make_workload

WARM_UP_CYCLES = 50
OTHER_SIDES = ("process", "stdlib")
DEFAULT_COUNTS = [1, 10, 50, 100, 200]
DEFAULT_KNOWN = [50]


class Parser(argparse.ArgumentParser):
    """Answers a wrong argument with one line."""

    def error(self, message: str) -> NoReturn:
        """Print it, exit code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


class MeasurementError(Exception):
    """The process that measures ended without a result."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, checked."""

    counts: list[int]
    cycles: int
    """0: no churn."""
    workload: str
    others: list[str]
    json: Path | None
    plot: Path | None


def whole_number(text: str, least: int) -> int:
    """The number. Raises ArgumentTypeError."""
    if not text.strip().isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text.strip()!r} is not a whole number from {least}")
    return int(text)


def counts(text: str) -> list[int]:
    """Different whole numbers from 1, separated by commas, rising."""
    return sorted({whole_number(part, 1) for part in text.split(",")})


def cycles(text: str) -> int:
    """A line needs two points."""
    return whole_number(text, 2)


def sides(text: str) -> list[str]:
    """Names of other sides, separated by commas."""
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if name not in OTHER_SIDES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(OTHER_SIDES)}")
    return list(dict.fromkeys(names))


def writable_file(text: str) -> Path:
    """A path in a folder that exists."""
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: its folder does not exist, or it is a folder")
    return path


def plot_file(text: str) -> Path:
    """As ``writable_file``, where there is matplotlib and it knows the format."""
    path = writable_file(text)
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise argparse.ArgumentTypeError("needs matplotlib; run with `uv run --group plot`") from None
    formats = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.removeprefix(".") not in formats:
        raise argparse.ArgumentTypeError(f"{text!r} does not end in one of {', '.join(sorted(formats))}")
    return path


def parse(arguments: list[str]) -> Options:
    """The command line; leaves with exit code 2 where it is wrong."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join([*BUILT_IN, "known"])
    parser.add_argument("--interpreters", type=counts, metavar="N,N,…", help="how many at once, such as 1,10,50")
    parser.add_argument("--workload", default="bare", help=f"{names}, or the path of a plugin; default: bare")
    parser.add_argument("--vs", type=sides, default=[], metavar="SIDE,…", help="what to compare with: process, stdlib")
    parser.add_argument("--churn", type=cycles, default=0, metavar="N", help="create, load, call and end so many times")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="write everything measured to this file")
    parser.add_argument("--plot", type=plot_file, metavar="FILE", help="draw it: .png, .svg or .pdf")
    given = parser.parse_args(arguments)
    if given.workload == "known" and (given.vs or given.churn):
        parser.error("--workload known checks pyhost's accounts; leave out --vs and --churn")
    default = DEFAULT_KNOWN if given.workload == "known" else [] if given.churn else DEFAULT_COUNTS
    return Options(given.interpreters or default, given.churn, given.workload, given.vs, given.json, given.plot)


def jobs_of(options: Options, workload: Workload) -> Iterator[Job]:
    """What to measure, in this order."""

    def job(mode: str, side: str, count: int) -> Job:
        folder, warm_up = str(workload.folder), WARM_UP_CYCLES if mode == "churn" else 0
        return Job(mode, side, count, warm_up, folder, workload.plugin, workload.function, workload.code)

    for count in options.counts:
        if workload.name == "known":
            yield job("known", "pyhost", count)
        else:
            yield from (job("alive", side, count) for side in ("pyhost", *options.others))
    if options.cycles:
        yield job("churn", "pyhost", options.cycles)
        if "stdlib" in options.others:
            yield job("churn", "stdlib", options.cycles)


def steps_of(job: Job) -> int:
    """How often its process says that a step is done."""
    return job.count * 2 if job.mode == "alive" else job.warm_up + job.count


def measure(job: Job, advance: Callable[[int], object]) -> dict[str, Any]:
    """The result of the job's process. Raises MeasurementError."""
    python = sys.executable if job.side == "pyhost" else getattr(sys, "_base_executable", sys.executable)
    command = [python, "-I", stress_sides.__file__, json.dumps(asdict(job))]
    result: dict[str, Any] | None = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            message = json.loads(line)
            advance(message.get("steps", 0))
            result = message.get("result", result)
    if process.returncode != 0 or result is None:
        raise MeasurementError(f"measuring {job.count} {job.mode} on {job.side}: exit code {process.returncode}")
    return result


def measure_all(jobs: list[Job], workload: str) -> Report:
    """Every job in turn, with a progress bar on standard error. Raises MeasurementError."""
    report = Report(platform.python_version(), workload, [], [], [])
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=sum(map(steps_of, jobs)))
        for job in jobs:
            progress.update(task, description=f"{job.side}, {job.count} {job.mode}")
            result = measure(job, lambda steps: progress.advance(task, steps))
            if job.mode == "alive":
                report.alive.append(Alive(**result))
            elif job.mode == "churn":
                report.churn.append(Churn(**result))
            else:
                accounts = [KnownAccount(**account) for account in result.pop("accounts")]
                report.known.append(Known(accounts=accounts, **result))
    return report


def write_json(report: Report, found: list[stress_report.Check], path: Path) -> None:
    document = asdict(report) | {
        "machine": platform.platform(),
        "slopes": {churn.side: stress_report.slope(churn) for churn in report.churn},
        "checks": [asdict(check) for check in found],
    }
    path.write_text(json.dumps(document) + "\n")


def main() -> int:
    options = parse(sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        try:
            workload = make_workload(options.workload, Path(folder))
        except WorkloadError as error:
            print(f"stress_memory: {error}", file=sys.stderr)
            return 2
        try:
            report = measure_all(list(jobs_of(options, workload)), workload.name)
        except MeasurementError as error:
            print(f"stress_memory: {error}", file=sys.stderr)
            return 1
    found = stress_report.checks(report)
    stress_report.print_report(report, found)
    if options.json:
        write_json(report, found, options.json)
    if options.plot:
        from stress_plot import draw

        draw(report, options.plot)
    return 1 if any(check.met is False for check in found) else 0


if __name__ == "__main__":
    sys.exit(main())
