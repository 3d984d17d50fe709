"""What the commands print: JSON, the table of plugins, and the texts of its cells."""

from __future__ import annotations

import base64
import datetime
import json
from typing import TYPE_CHECKING, Any

import click

from pyhost.history import NEAR
from pyhost.lifecycle import SERVING
from pyhost.quantities import format_seconds, format_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.text import Text

    from pyhost.installer import Outcome

ANY_WIDTH = 1000
"""Columns of a console that cuts no line."""


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


def log_line(record: Mapping[str, Any]) -> str:
    """Return a record of a plugin's log as text: local time, level, logger, interpreter and call, message."""
    when = datetime.datetime.fromisoformat(record["time"]).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    origin = "/".join(str(record[key]) for key in ("interpreter", "call") if record[key])
    return f"{when} {record['level']} {record['logger']}{f' [{origin}]' if origin else ''} {record['message']}"


def print_plugins(plugins: Sequence[Mapping[str, Any]]) -> None:
    """Print one line per plugin (as ``GET /plugins`` has them), and below why some do not run as they should."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("NAME", "VERSION", "STATE"):
        table.add_column(heading)
    for heading in ("INTERPRETERS", "QUEUED", "RUNNING", "CALLS", "ERRORS", "P50", "P99", "MEMORY", "CPU", "CPU %"):
        table.add_column(heading, justify="right")
    for plugin in plugins:
        numbers = [len(plugin["interpreters"]), *(plugin[key] for key in ("queued", "running", "calls", "errors"))]
        table.add_row(
            Text(plugin["name"]),
            Text(plugin["version"]),
            state(plugin),
            *map(str, numbers),
            *latency(plugin),
            memory(plugin),
            format_seconds(plugin["cpu"]),
            rate(plugin, "cpu_percent"),
        )
    # A line that a terminal has no room for goes on in the next one; no figure is cut.
    console = Console(highlight=False, width=ANY_WIDTH)
    console.print(table)
    for plugin in plugins:
        if plugin["reason"]:
            console.print(Text(f"{plugin['name']}: {plugin['reason']}"), soft_wrap=True)


def print_timelines(plugins: Sequence[Mapping[str, Any]]) -> None:
    """Print what has happened to each plugin, and what is about to, with the times of this machine's clock."""
    for plugin in plugins:
        click.echo(f"\n{plugin['name']}: {', '.join(_standing(plugin))}")
        for item in plugin["timeline"]:
            moment = datetime.datetime.fromtimestamp(item["time"]).astimezone()
            click.echo(f"  {moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}  {item['text']}")


def _standing(plugin: Mapping[str, Any]) -> list[str]:
    """Return how it stands with a plugin, in parts of a sentence."""
    parts = [f"{plugin['state']} ({plugin['reason']})" if plugin["reason"] else plugin["state"]]
    if plugin["next_start"] is not None:
        parts.append(f"starts in {format_seconds(plugin['next_start'])}")
    if plugin["restarts"]:
        parts.append(f"{plugin['restarts']} of {plugin['intensity']} restarts")
    if plugin["lost"]:
        parts.append(f"lost interpreters: {plugin['lost']}")
    return parts


def print_installed(outcome: Outcome) -> None:
    """Print what ``pyhost install`` did for a plugin; nothing where there was nothing to do."""
    if outcome.error:
        click.echo(f"pyhost: {outcome.error}", err=True)
    if outcome.environment is None or not outcome.is_new:
        return
    record = outcome.environment.record
    number = len(record.packages)
    took = format_seconds(outcome.seconds)
    click.echo(f"{outcome.name}: {number} package{'' if number == 1 else 's'} installed in {took}")
    for package, version in record.packages:
        click.echo(f"  {package} {version}")
    for hook in record.hooks:
        click.echo(f"pyhost: plugin {outcome.name!r}: {hook.explain()}", err=True)


def installed(outcome: Outcome) -> dict[str, Any]:
    """Return what ``pyhost install`` did for a plugin as plain data."""
    found = outcome.environment
    return {
        "name": outcome.name,
        "error": outcome.error,
        "is_new": outcome.is_new,
        "seconds": outcome.seconds,
        "environment": str(found.folder) if found is not None else None,
        "packages": dict(found.record.packages) if found is not None else {},
        "warnings": [hook.explain() for hook in found.record.hooks] if found is not None else [],
    }


def state(plugin: Mapping[str, Any]) -> Text:
    """Return the plugin's state, green while it takes calls, red otherwise."""
    from rich.text import Text

    return Text(plugin["state"], style="green" if plugin["state"] in SERVING else "red")


def latency(plugin: Mapping[str, Any]) -> list[str]:
    """Return the plugin's median and 99th percentile, empty texts before its first call."""
    figures = plugin["latency"]
    return [format_seconds(figures[key]) if figures["count"] else "" for key in ("p50", "p99")]


def memory(plugin: Mapping[str, Any]) -> Text:
    """Return what the plugin holds and may hold, ``12.3 / 64 MiB``; coloured while an interpreter is near its limit."""
    from rich.text import Text

    if plugin["memory"] is None:
        return Text()
    accounts = [item["memory"] for item in plugin["interpreters"] if item["memory"] is not None]
    fullest = max((item["current"] / item["limit"] for item in accounts if item["limit"]), default=0.0)
    style = "red" if fullest >= 1 else "yellow" if fullest >= NEAR else ""
    return Text(format_share(plugin["memory"]["current"], plugin["memory"]["limit"]), style=style)


def rate(plugin: Mapping[str, Any], name: str) -> str:
    """Return one of the plugin's rates with one digit after the point, an empty text while it is not known."""
    return f"{plugin['rates'][name]:.1f}" if plugin["rates"] is not None else ""


def format_share(part: int, whole: int | None) -> str:
    """Return two sizes, with one unit where it is the same: ``"12.3 / 64 MiB"``; one where there is no whole."""
    if whole is None:
        return format_size(part)
    first, last = format_size(part), format_size(whole)
    number, unit = first.split(" ")
    return f"{number if last.endswith(' ' + unit) else first} / {last}"
