"""What ``stress_memory.py`` runs on each side: the same work as a plugin, and as a program for the others."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyhost import Host, _core, manifest
from pyhost.bundle import package_folders
from pyhost.errors import ManifestError
from pyhost.loader import boot_configuration

if TYPE_CHECKING:
    from pyhost.status import PluginStatus

JSON = "json.loads(json.dumps({'a': [1, 2.5, None]}))"
EVERYTHING = f"""asyncio.run(asyncio.sleep(0, {JSON}))
    database = sqlite3.connect(":memory:")
    database.execute("select 1").fetchall()
    database.close()
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctypes.create_string_buffer(100)
    decimal.Decimal("0.1") + datetime.datetime.now().year"""
BUILT_IN = {
    "bare": ("", "pass"),
    "json": ("import json", JSON),
    "asyncio": ("import asyncio, json", f"asyncio.run(asyncio.sleep(0, {JSON}))"),
    "everything": ("import asyncio, ctypes, datetime, decimal, json, sqlite3, ssl", EVERYTHING),
}
"""By name: what the work imports, and the body of its one function."""

PROGRAM = "{imports}\n\ndef work():\n    {body}\n\n"

KNOWN = '''
"""Allocates what it is told to, and says nothing about it to anybody."""

import sys

import pyhost

LETTER = b"x"  # not zeros, which malloc can hand out without any memory behind them
LARGE = range(100_000, 100_100)  # numbers that CPython keeps no objects of
kept = []


def weight(thing):
    """Bytes that it takes with all that it holds; allocators hand them out by 16."""
    parts = list(thing) + list(thing.values()) if isinstance(thing, dict) else []
    return (sys.getsizeof(thing) + 15) // 16 * 16 + sum(map(weight, parts))


def fill(told, make):
    """As many of them as that many bytes hold, with the list that holds them."""
    count = told // (weight(make(0)) + 8)
    things = [None] * count
    for index in range(count):
        things[index] = make(index)
    kept.append(things)


KINDS = {
    "one block": lambda told: kept.append(LETTER * (told - sys.getsizeof(b""))),
    "blocks of 8 kB": lambda told: fill(told, lambda index: LETTER * 8000),
    "lists of 1,000": lambda told: fill(told, lambda index: [None] * 1000),
    "dicts of 100 small objects": lambda told: fill(told, lambda index: {i: float(i) for i in LARGE}),
    "texts of 50 letters": lambda told: fill(told, lambda index: f"{index:050d}"),
}


@pyhost.export
def kinds():
    return list(KINDS)


@pyhost.export
def allocate(kind, told):
    KINDS[kind](told)
'''

# What a plugin's interpreter does, for an interpreter or a process that pyhost did not make.
OUTSIDE = """
import sys, _frozen_importlib, _frozen_importlib_external
boot = {boot!r}
spec = _frozen_importlib_external.spec_from_file_location(
    "pyhost", boot["package"][0] + "/__init__.py", submodule_search_locations=boot["package"])
_frozen_importlib._load(spec)
from pyhost import _core, guest
_core.keep_code("starting", {starting!r})
guest.prepare(())
plugin = guest.Guest(boot)
for description, function in zip(plugin.description["functions"], plugin.functions):
    if description["name"] == {function!r}:
        function()
"""
OUTSIDE_KEYS = ("name", "version", "takes_over", "path", "module", "file", "expected", "start_limit")


class WorkloadError(Exception):
    """There is no such workload, or its plugin does not run."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The same work for every side."""

    name: str
    folder: Path
    """Holds the plugin and nothing else."""
    plugin: str
    function: str
    """What to call once, without arguments; "" where the plugin has no such function."""
    code: str
    """The same as a program."""


def make_workload(name: str, folder: Path) -> Workload:
    """A built-in workload, "known", or the plugin at the path ``name``, written to the empty ``folder``.

    Raises WorkloadError.
    """
    if name == "known":
        (folder / "known.py").write_text(KNOWN)
        return Workload(name, folder, "known", "kinds", "")
    if name in BUILT_IN:
        imports, body = BUILT_IN[name]
        program = PROGRAM.format(imports=imports, body=body)
        (folder / "work.py").write_text(f"import pyhost\n{program}pyhost.export(work)\n")
        return Workload(name, folder, "work", "work", f"{program}work()\n")
    return _plugin_workload(Path(name), folder)


def _plugin_workload(path: Path, folder: Path) -> Workload:
    if not path.exists():
        raise WorkloadError(f"--workload {path}: there is neither a plugin there nor a workload of that name")
    try:
        copy = _copy_plugin(manifest.load(path), folder)
    except ManifestError as error:
        raise WorkloadError(f"--workload {error}") from error
    with Host(folder) as host:
        (status,) = host.plugins()
    if status.reason:
        raise WorkloadError(f"--workload {path}: the plugin does not run: {status.reason}")
    function = _callable_without_arguments(status)
    # Without the code that pyhost compiles for its own interpreters: too long for a command line.
    boot = {name: value for name, value in boot_configuration(copy).items() if name in OUTSIDE_KEYS}
    boot |= {"code": None, "package": package_folders()}
    code = OUTSIDE.format(boot=boot, function=function, starting=_core.kept_code("starting"))
    return Workload(path.name, folder, copy.name, function, code)


def _copy_plugin(item: manifest.Manifest, folder: Path) -> manifest.Manifest:
    """The plugin with one interpreter, whatever its own manifest says."""
    if item.file is not None:
        return manifest.load(Path(shutil.copy(item.file, folder)))
    assert item.folder is not None
    copy = Path(shutil.copytree(item.folder, folder / "plugin"))
    limits = {name: value for name, value in asdict(item.limits).items() if value is not None}
    lines = ["[plugin]", f'name = "{item.name}"', f'module = "{item.module}"', "[limits]"]
    lines += [f"{name} = {value}" for name, value in limits.items()]
    (copy / manifest.MANIFEST_NAME).write_text("\n".join(lines) + "\n")
    return manifest.load(copy)


def _callable_without_arguments(status: PluginStatus) -> str:
    plain = [item.description for item in status.functions if not item.description.is_async]
    names = [item.name for item in plain if not any(parameter.required for parameter in item.parameters)]
    return names[0] if names else ""
