"""What the commands print: JSON, and the table of plugins."""

from __future__ import annotations

import base64
import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def print_json(value: Any, indent: int | None = None) -> None:
    """Print data from MessagePack as JSON: bytes as base64 text, times in ISO 8601, keys as text."""
    click.echo(json.dumps(_plain(value), indent=indent, ensure_ascii=False))


def _plain(value: Any) -> Any:
    """Say in JSON's terms what MessagePack has beyond it."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if value is None or isinstance(value, str | int | float) else value.isoformat()


def print_plugins(plugins: Sequence[Mapping[str, Any]]) -> None:
    """Print one line per plugin (as ``GET /plugins`` has them), and below why some failed."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("NAME", "VERSION", "STATE"):
        table.add_column(heading)
    for heading in ("INTERPRETERS", "QUEUED", "RUNNING", "CALLS", "ERRORS", "P50", "P99"):
        table.add_column(heading, justify="right")
    for plugin in plugins:
        numbers = [len(plugin["interpreters"]), *(plugin[key] for key in ("queued", "running", "calls", "errors"))]
        table.add_row(
            Text(plugin["name"]),
            Text(plugin["version"]),
            Text(plugin["state"], style="green" if plugin["state"] == "running" else "red"),
            *map(str, numbers),
            *(format_seconds(plugin["latency"][key]) if plugin["latency"]["count"] else "" for key in ("p50", "p99")),
        )
    # What is no terminal has no width to fit in.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 1000)
    console.print(table)
    for plugin in plugins:
        if plugin["reason"]:
            console.print(Text(f"{plugin['name']}: {plugin['reason']}"), soft_wrap=True)


def format_seconds(seconds: float) -> str:
    """Return a time with three digits and the unit that fits: ``"850 µs"``, ``"12.3 ms"``, ``"2.00 s"``."""
    value, unit = seconds, "s"
    if seconds < 999.5e-6:
        value, unit = seconds * 1e6, "µs"
    elif seconds < 999.5e-3:
        value, unit = seconds * 1e3, "ms"
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"
