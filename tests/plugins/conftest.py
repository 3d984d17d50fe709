"""The shipped plugins as ordinary modules, without a host."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.fixture(scope="session")
def load_plugin() -> Callable[[str], ModuleType]:
    """A function that imports a plugin's module anew, with module state of its own."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, PLUGINS / name / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
