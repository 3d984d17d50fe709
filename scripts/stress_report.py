"""What ``stress_memory.py`` found: checked against its targets, and printed for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from statistics import linear_regression, median
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from stress_sides import Alive, Churn, Known

ENOUGH_ALIVE = 10
ENOUGH_CYCLES = 100
"""With fewer, a page here or there decides, and no target is checked."""

SHARE_OF = {("bare", "stdlib"): 0.8, ("asyncio", "process"): 0.5}
"""At most so much of the other side's memory, by workload and side."""
GROWTH_A_CYCLE = 8_000
"""At most so many bytes."""
ACCOUNT_ERROR = 0.05
EXPLAINED = 0.9
"""At most so far is an account from what its plugin was told; at least so much of the growth is in the accounts."""


@dataclass(frozen=True, slots=True)
class Check:
    """A figure, and the target that it is held against."""

    name: str
    value: str
    target: str
    """"" where it is there for comparison only."""
    met: bool | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything of one run."""

    python: str
    workload: str
    alive: list[Alive]
    churn: list[Churn]
    known: list[Known]


def slope(churn: Churn) -> float:
    """Bytes that the process grows by in a cycle, by least squares."""
    return linear_regression(range(len(churn.rss)), churn.rss).slope


def checks(report: Report) -> list[Check]:
    """Every figure of the report that is compared with another, or held against a target."""
    return [*alive_checks(report), *churn_checks(report.churn), *known_checks(report.known)]


def alive_checks(report: Report) -> Iterator[Check]:
    """pyhost beside the others, with the most of them alive."""
    for count, found in groupby(report.alive, key=lambda item: item.count):
        ours, *others = found
        for other in others:
            share = ours.pss / other.pss if other.pss else float("inf")
            at_most = SHARE_OF.get((report.workload, other.side)) if count >= ENOUGH_ALIVE else None
            yield Check(
                name=f"memory of one more, {count} alive: pyhost / {other.side}",
                value=f"{share:.2f}",
                target=f"<= {at_most:g}" if at_most else "",
                met=share <= at_most if at_most else None,
            )


def churn_checks(found: Iterable[Churn]) -> Iterator[Check]:
    """Growth with every cycle."""
    for churn in found:
        checked = churn.side == "pyhost" and len(churn.rss) >= ENOUGH_CYCLES
        yield Check(
            name=f"growth in a cycle, {len(churn.rss)} cycles: {churn.side}",
            value=size(slope(churn)),
            target=f"<= {size(GROWTH_A_CYCLE)}" if checked else "",
            met=slope(churn) <= GROWTH_A_CYCLE if checked else None,
        )


def known_checks(found: Iterable[Known]) -> Iterator[Check]:
    """Accounts beside what is known."""
    for known in found:
        count = len(known.accounts)
        furthest = max((account.error for account in known.accounts), key=abs)
        yield Check(
            name=f"furthest account from what its plugin was told, of {count}",
            value=f"{furthest:+.1%}",
            target=f"within {ACCOUNT_ERROR:.0%}",
            met=abs(furthest) <= ACCOUNT_ERROR,
        )
        checked = count >= ENOUGH_ALIVE
        yield Check(
            name=f"the accounts' share of the process's growth, {count} alive",
            value=f"{known.account / known.rss:.1%}",
            target=f">= {EXPLAINED:.0%}" if checked else "",
            met=known.account >= EXPLAINED * known.rss if checked else None,
        )


def print_report(report: Report, found: Iterable[Check]) -> None:
    """The tables for people."""
    console = Console()
    console = console if console.is_terminal else Console(width=110)
    if report.alive:
        console.print(alive_table(report))
    for known in report.known:
        console.print(known_table(known))
    console.print(check_table(found))


def alive_table(report: Report) -> Table:
    """What one more costs."""
    title = f"What one more costs: {report.workload} on Python {report.python}"
    table = _table(title, "", "alive", "account", "RSS", "PSS", "left at the end", "creation", "end")
    for (_, side), found in groupby(sorted(report.alive, key=_side_order), _side_order):
        for alive in found:
            account = size(alive.account / alive.count) if alive.account is not None else ""
            sizes = [size(number / alive.count) for number in (alive.rss, alive.pss, alive.left)]
            times = [milliseconds(median(seconds)) for seconds in (alive.creation, alive.end)]
            table.add_row(side, str(alive.count), account, *sizes, *times)
        table.add_section()
    return table


def _side_order(alive: Alive) -> tuple[bool, str]:
    return alive.side != "pyhost", alive.side


def known_table(known: Known) -> Table:
    """Each account beside what its plugin was told."""
    table = _table(f"{len(known.accounts)} plugins that allocate a known amount", "kind", "told", "account", "off by")
    for account in known.accounts:
        table.add_row(account.kind, size(account.told), size(account.grown), f"{account.error:+.2%}")
    return table


def check_table(found: Iterable[Check]) -> Table:
    """Figures and targets."""
    table = _table("", "what", "figure", "target")
    for check in found:
        mark = {True: " ok", False: " MISSED", None: ""}[check.met]
        table.add_row(check.name, check.value, check.target + mark)
    return table


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title)
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def size(number: float) -> str:
    """Bytes as a short text, in units of 1,000."""
    megabytes, kilobytes = number / 1e6, round(number / 1e3, 1) + 0.0  # which makes -0.0 0.0
    return f"{megabytes:,.2f} MB" if abs(megabytes) >= 1 else f"{kilobytes:,.1f} kB"


def milliseconds(seconds: float) -> str:
    """A duration as a short text."""
    return f"{seconds * 1e3:.1f} ms"
