"""Plugins written on the spot, and hosts that run them."""

from __future__ import annotations

import itertools
import os
import shutil
import textwrap
from typing import TYPE_CHECKING, Any

import pyhost
from pyhost import _core

if TYPE_CHECKING:
    from pathlib import Path

_seconds = itertools.count(1_500_000_000)

NEVER = {"policy": "never"}
"""For plugins whose tests are not about restarts: what fails is fatal at once."""

# Functions that most tests need, whatever else their plugin does.
COMMON = """
import os
import pyhost

@pyhost.export
def identity(value):
    return value

@pyhost.export
def hold(barrier, value=None):
    os.write(barrier[0], b".")
    os.read(barrier[1], 1)
    return value
"""


def write_plugin(
    folder: Path,
    name: str,
    code: str,
    *,
    limits: dict[str, Any] | None = None,
    restart: dict[str, Any] | None = None,
    **plugin: Any,
) -> Path:
    """Write a plugin with a plugin.toml, or rewrite it; its folder.

    ``plugin``, ``limits`` and ``restart`` are the keys of the manifest's tables. Every write has a time of its own, a
    second later than the last, so that no rewrite looks unchanged to the host or to Python's bytecode cache.
    """
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    tables = {"plugin": {"name": name, **plugin}, "limits": limits or {}, "restart": restart or {}}
    lines = [
        line
        for table, values in tables.items()
        for line in (f"[{table}]", *(f"{key} = {toml_value(value)}" for key, value in values.items()))
    ]
    touch_with(place / "plugin.toml", "\n".join(lines) + "\n")
    touch_with(place / f"{name.replace('-', '_')}.py", textwrap.dedent(code))
    return place


def toml_value(value: Any) -> str:
    """A value of a manifest as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def touch_with(file: Path, text: str) -> Path:
    """Write the text and give the file a modification time that no earlier write had."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    second = next(_seconds)
    os.utime(file, (second, second))
    return file


def remove_plugin(folder: Path, name: str) -> None:
    """Take a plugin's folder away."""
    shutil.rmtree(folder / name)


class HostMaker:
    """Starts hosts over one folder of plugins and closes what a test leaves open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._hosts: list[pyhost.Host] = []
        self._lost_before = _core.lost_count()

    def write(self, name: str, code: str, **manifest: Any) -> Path:
        """Write a plugin into the folder; see ``write_plugin``."""
        return write_plugin(self.folder, name, code, **manifest)

    def make(self, **options: Any) -> pyhost.Host:
        """A host that is not started yet."""
        self.folder.mkdir(exist_ok=True)
        host = pyhost.Host(self.folder, **options)
        self._hosts.append(host)
        return host

    def start(self, **plugins: str) -> pyhost.Host:
        """A running host, with these plugins added to the folder by name."""
        for name, code in plugins.items():
            self.write(name, code)
        host = self.make()
        host.start()
        return host

    def close(self) -> None:
        """Close the hosts; none of their interpreters may have been set aside."""
        for host in self._hosts:
            host.close()
        assert _core.lost_count() <= self._lost_before, "an interpreter did not end"
