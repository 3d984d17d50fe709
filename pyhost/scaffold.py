"""The start of a new plugin: ``pyhost new NAME``."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

from pyhost.errors import ConfigurationError
from pyhost.manifest import MANIFEST_NAME, NAME_ALLOWED, is_name, module_conflict

if TYPE_CHECKING:
    from pathlib import Path

_MANIFEST = Template("""\
[plugin]
name = "$name"
version = "0.1.0"
module = "$module"
interpreters = 1      # each runs one call at a time; more of them run calls in parallel

[limits]
deadline = "30s"      # for a call that brings no timeout of its own
inbox = 1024          # calls that may wait for one interpreter; the next one is refused
start = "30s"         # to import the module and run on_start
""")

_MODULE = Template('''\
"""$name, a pyhost plugin: greets people."""

import pyhost

greetings: dict[str, str] = {}


@pyhost.on_start
def start() -> None:
    """Prepare what calls need: runs once per interpreter, before its first call."""
    greetings.update(en="Hello", fr="Bonjour")


@pyhost.export
def greet(person: str, language: str = "en") -> str:
    """Greet a person in a language, "en" or "fr".

    Raises ValueError for any other language.
    """
    if language not in greetings:
        raise ValueError(f"no greeting in {language!r}, only in {', '.join(greetings)}")
    return f"{greetings[language]}, {person}!"
''')

_TEST = Template('''\
"""Tests of the plugin $name, in a host of its own: run them with pytest."""

from collections.abc import Iterator
from pathlib import Path

import pyhost
import pytest


@pytest.fixture
def host(tmp_path: Path) -> Iterator[pyhost.Host]:
    # A folder with this plugin alone, so that its neighbours are not loaded with it.
    (tmp_path / "$name").symlink_to(Path(__file__).resolve().parent)
    with pyhost.Host(tmp_path) as host:
        yield host


def test_greets_in_the_language_asked_for(host: pyhost.Host) -> None:
    assert host.call("$name.greet", "Ada") == "Hello, Ada!"
    assert host.call("$name.greet", "Ada", language="fr") == "Bonjour, Ada!"


def test_refuses_a_language_that_it_does_not_know(host: pyhost.Host) -> None:
    with pytest.raises(pyhost.PluginError, match="no greeting in 'xx'"):
        host.call("$name.greet", "Ada", language="xx")
''')


def create(name: str, parent: Path) -> list[Path]:
    """Write a small plugin that works, in a new folder ``parent / name``, and return its files.

    They are plugin.toml, the module (``name`` with underscores for dashes) and a test of it for pytest.

    Raises:
        ConfigurationError: no plugin can have this name, the folder exists, or it cannot be written.
    """
    if not is_name(name):
        raise ConfigurationError(f"{name!r} cannot be a plugin's name; allowed: {NAME_ALLOWED}")
    module = name.replace("-", "_")
    conflict = module_conflict(module)
    if conflict:
        raise ConfigurationError(f"the module of plugin {name!r} would bear a name taken by {conflict}; choose another")
    folder = parent / name
    files = {
        folder / MANIFEST_NAME: _MANIFEST,
        folder / f"{module}.py": _MODULE,
        folder / f"test_{module}.py": _TEST,
    }
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        for path, template in files.items():
            path.write_text(template.substitute(name=name, module=module), encoding="utf-8")
    except FileExistsError as error:
        taken = folder if parent.is_dir() else parent
        raise ConfigurationError(f"{taken} exists already; choose another name, or remove it first") from error
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror}") from error
    return list(files)
