"""What the host compiles for its plugins' interpreters, so that they neither search for it nor compile.

Compiling costs an interpreter 260 kB for good, the tables of the compiler's own types. Each gets the bundle first, and
``pyhost/boot.py`` unpacks it. Standard library only: the C tests use this module, too.
"""

import ast
import marshal
import sysconfig
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pyhost
from pyhost import _core

_MODULES = ("plugin", "__init__", "guest")
"""What every plugin imports, in an order in which each finds what it imports."""

_ONCE = ("starting", "ending")
"""What an interpreter runs once, and does not keep."""


def package_folders() -> list[str]:
    """Where pyhost's own modules are: the Python ones first, then ``_core``, which may be in a build folder."""
    files = [file for module in (pyhost, _core) if (file := getattr(module, "__file__", None))]
    return list(dict.fromkeys(str(Path(file).parent) for file in files))


def code_of(module: str, file: str) -> bytes | None:
    """The module's code, marshalled; None where it cannot be compiled: the plugin's own import says why."""
    try:
        return marshal.dumps(SourceFileLoader(module, file).get_code(module))
    except Exception:  # noqa: BLE001 - whatever is in the file
        return None


@cache
def standard_library_paths() -> tuple[str, ...]:
    """Where a plugin's interpreter finds the standard library, and nothing of the host's packages."""
    library = Path(sysconfig.get_path("stdlib"))
    return (str(library), str(library / "lib-dynload"))


@cache
def guest_bundle(preload: tuple[str, ...] = ()) -> dict[str, Any]:
    """What ``boot.py`` needs to load pyhost's side of a plugin's interpreter.

    What that side runs later is kept by ``_core`` from here on.

    ``preload``: modules of the standard library that are to be imported, too.
    """
    folder = Path(pyhost.__file__).parent
    for name in _ONCE:
        _core.keep_code(name, _stripped(folder / f"{name}.py"))
    names = {"__init__": "pyhost"}
    return {
        "bootstrap": _stripped(folder / "boot.py"),
        "package": package_folders(),
        "path": standard_library_paths(),
        "preload": preload,
        "core": getattr(_core, "__file__", None),
        "modules": tuple(
            (names.get(name, f"pyhost.{name}"), str(folder / f"{name}.py"), _stripped(folder / f"{name}.py"))
            for name in _MODULES
        ),
    }


def _stripped(file: Path) -> bytes:
    """The file's code without docstrings, asserts and annotations: there is a copy of it in every interpreter."""
    tree = _WithoutAnnotations().visit(ast.parse(file.read_bytes(), str(file)))
    return marshal.dumps(compile(tree, str(file), "exec", dont_inherit=True, optimize=2))


class _WithoutAnnotations(ast.NodeTransformer):
    """Since 3.14 those of each function are a function of their own."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign([node.target], node.value), node)
