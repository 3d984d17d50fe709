"""The figures of ``stress_memory.py`` as one picture, as wide as a slide: a panel for each thing that was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from matplotlib import pyplot
from matplotlib.lines import Line2D
from stress_report import Report, size, slope

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from stress_sides import Alive, Churn, Known

COLORS = {"pyhost": "#0b6e4f", "stdlib": "#d9820b", "process": "#6b7a90"}
NAMES = {"pyhost": "pyhost", "stdlib": "standard library's interpreters", "process": "processes"}
INK, FAINT = "#1f2933", "#9aa5b1"
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "figure.titlesize": 15,
    "font.size": 11,
    "grid.color": "#e4e7eb",
    "lines.linewidth": 2.5,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
LEAST_DISTANCE = 0.07
"""Between two labels, as a part of the panel's height."""


def draw(report: Report, path: Path) -> None:
    """Write the picture."""
    panels = list(panels_of(report))
    with pyplot.rc_context(STYLE):
        width = max(5.0 * len(panels), 7.5)
        figure, places = pyplot.subplots(1, len(panels), figsize=(width, 4.6), squeeze=False, layout="constrained")
        for panel, axes in zip(panels, places[0], strict=True):
            panel(axes)
        title = f"Workload “{report.workload}” on Python {report.python}"
        figure.suptitle(title, x=0.01, horizontalalignment="left", color=INK)
        sides = dict.fromkeys([item.side for item in report.alive] + [item.side for item in report.churn])
        lines = [Line2D([], [], color=COLORS[side], linewidth=6, label=NAMES[side]) for side in sides]
        if lines:
            figure.legend(handles=lines, loc="outside upper right", ncols=len(lines), frameon=False)
        figure.savefig(path, dpi=90)
        pyplot.close(figure)


def panels_of(report: Report) -> Iterator[Callable[[Axes], None]]:
    """What to draw, from left to right."""
    if report.alive:
        yield partial(draw_memory, found=report.alive)
        yield partial(draw_times, found=report.alive)
    if report.churn:
        yield partial(draw_churn, found=report.churn)
    for known in report.known:
        yield partial(draw_known, known=known)


def order(side: str) -> int:
    """pyhost's line lies over the others, and all over the grid."""
    return 4 if side == "pyhost" else 3


def draw_memory(axes: Axes, found: Sequence[Alive]) -> None:
    """Resident memory over the number alive, and what one more costs."""
    ends = []
    for side in dict.fromkeys(item.side for item in found):
        points = [(item.count, item.pss / 1e6) for item in found if item.side == side]
        axes.plot(*zip(*points, strict=True), "o-", color=COLORS[side], zorder=order(side), clip_on=False)
        count, megabytes = points[-1]
        ends.append((megabytes, f"{megabytes / count:.1f} MB each", COLORS[side]))
    axes.set(title="Memory while so many are alive", xlabel="interpreters or processes", ylabel="MB (PSS)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    label_ends(axes, ends)


def draw_times(axes: Axes, found: Sequence[Alive]) -> None:
    """Median time to create and to end one, where the most are alive."""
    largest = max(item.count for item in found)
    sides = [item for item in found if item.count == largest]
    width = 0.8 / len(sides)
    for index, item in enumerate(sides):
        places = [group + (index - (len(sides) - 1) / 2) * width for group in range(2)]
        times = [median(seconds) * 1e3 for seconds in (item.creation, item.end)]
        bars = axes.bar(places, times, width * 0.92, color=COLORS[item.side])
        axes.bar_label(bars, fmt="%.1f", padding=2)
    axes.set_xticks([0, 1], ["create, load, first call", "end"])
    axes.margins(y=0.1)
    axes.set(title=f"Time for each of {largest}", ylabel="milliseconds (median)")


def draw_churn(axes: Axes, found: Sequence[Churn]) -> None:
    """Growth of the process over the cycles, and the slope of the line through it."""
    ends = []
    for churn in found:
        grown = [(rss - churn.rss[0]) / 1e6 for rss in churn.rss]
        axes.plot(range(1, len(grown) + 1), grown, color=COLORS[churn.side], zorder=order(churn.side))
        ends.append((grown[-1], f"{size(slope(churn))}\na cycle", COLORS[churn.side]))
    axes.set(title="Growth with every cycle", xlabel="cycles of create, load, call and end", ylabel="MB (RSS)")
    if max(height for height, _, _ in ends) < 1:
        axes.set_ylim(-1, 1)
    label_ends(axes, ends)


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write at the end of each line what stands for it (its height, the text, the color); none over another."""
    low, high = axes.get_ylim()
    floor = low
    for height, text, color in sorted(ends):
        place = max(height, floor)
        floor = place + LEAST_DISTANCE * (text.count("\n") + 1) * (high - low)
        axes.annotate(
            text,
            (1.02, place),
            xycoords=("axes fraction", "data"),
            color=color,
            fontweight="bold",
            verticalalignment="center",
        )


def draw_known(axes: Axes, known: Known) -> None:
    """Every account beside what its plugin was told, by kind of objects."""
    largest = max(account.told for account in known.accounts) / 1e6
    axes.plot([0, largest], [0, largest], color=FAINT, zorder=0)
    for kind in dict.fromkeys(account.kind for account in known.accounts):
        points = [(account.told / 1e6, account.grown / 1e6) for account in known.accounts if account.kind == kind]
        axes.plot(*zip(*points, strict=True), "o", label=kind)
    axes.legend(frameon=False)
    axes.set(title="Accounts beside what is known", xlabel="MB it was told to allocate", ylabel="MB in its account")
