"""``pyhost top``: a view of a server's plugins, drawn again and again from what ``GET /plugins`` answers."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pyhost import terminal
from pyhost.quantities import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import RenderableType

    from pyhost.client import Client

# The largest first; -1 puts what is not known last.
_ORDERS: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "cpu": lambda plugin: plugin["rates"]["cpu_percent"] if plugin["rates"] else -1.0,
    "memory": lambda plugin: plugin["memory"]["current"] if plugin["memory"] else -1.0,
    "calls": lambda plugin: plugin["rates"]["calls_per_second"] if plugin["rates"] else -1.0,
    "name": lambda _plugin: 0.0,
}
ORDERS = tuple(_ORDERS)
"""What plugins can be sorted by."""


def show(client: Client, *, order: str, interval: float, once: bool) -> None:
    """Draw the view every ``interval`` seconds until the user interrupts; only once if ``once`` is set, or where stdout
    is no terminal that can draw over what it shows.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else terminal.ANY_WIDTH)
    first = frame(client.overview(), order)
    if once or not sys.stdout.isatty() or not console.is_terminal or console.is_dumb_terminal:
        console.print(first)
        return
    with Live(first, console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.refresh()
            time.sleep(interval)
            live.update(frame(client.overview(), order))


def frame(overview: Mapping[str, Any], order: str) -> RenderableType:
    """Return one view of what ``GET /plugins`` answered."""
    return Group(_process_line(overview["process"]), Text(), _table(in_order(overview["plugins"], order)))


def in_order(plugins: Sequence[Mapping[str, Any]], order: str) -> list[Mapping[str, Any]]:
    """Return the plugins sorted by one of ``ORDERS``, those that are equal by name."""
    return sorted(plugins, key=lambda plugin: (-_ORDERS[order](plugin), plugin["name"]))


def _process_line(process: Mapping[str, Any]) -> Text:
    cpu = process["cpu_percent"]
    figures = [
        f"{format_size(process['rss'])} resident",
        *([f"CPU {cpu:.1f} %"] if cpu is not None else []),
        f"{process['threads']} threads",
        f"{process['open_files']} open files",
    ]
    return Text(f"pyhost: {', '.join(figures)}")


def _table(plugins: Sequence[Mapping[str, Any]]) -> Table:
    # Narrow enough for 80 columns and names of usual length; where there is less room, the names are cut, nothing else.
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("PLUGIN", overflow="ellipsis")
    table.add_column("STATE", no_wrap=True)
    for heading in ("INTERP.", "MEMORY", "CPU %", "CALLS/S", "P50", "P99", "ERRORS"):
        table.add_column(heading, justify="right", no_wrap=True)
    for plugin in plugins:
        table.add_row(
            Text(plugin["name"]),
            terminal.state(plugin),
            str(len(plugin["interpreters"])),
            terminal.memory(plugin),
            terminal.rate(plugin, "cpu_percent"),
            terminal.rate(plugin, "calls_per_second"),
            *terminal.latency(plugin),
            _errors(plugin),
        )
    return table


def _errors(plugin: Mapping[str, Any]) -> Text:
    """Return how many calls failed, red while they do."""
    failing = plugin["rates"] is not None and plugin["rates"]["errors_per_second"] > 0
    return Text(str(plugin["errors"]), style="red" if failing else "")
