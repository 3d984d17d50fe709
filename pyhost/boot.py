"""The first code in a plugin's interpreter: loads pyhost's side from the ``bundle``, past every finder.

Not a module: ``host/owner.c`` runs it with ``bundle`` as a global, and takes ``guest`` from it. The interpreter has no
``site`` and only what CPython itself has imported.
"""

import marshal
import sys
from _frozen_importlib import module_from_spec
from _frozen_importlib_external import ExtensionFileLoader, SourceFileLoader, spec_from_file_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

bundle: "dict[str, Any]"


def make(name: str, file: str, loader: "Any") -> "ModuleType":
    """A module in ``sys.modules``, not yet run."""
    folders = bundle["package"] if name == "pyhost" else None
    spec = spec_from_file_location(name, file, loader=loader, submodule_search_locations=folders)
    assert spec is not None
    module = sys.modules[name] = module_from_spec(spec)
    return module


def finish(name: str) -> "ModuleType":
    """A module that has run; its package gets it as an attribute."""
    package, _, attribute = name.rpartition(".")
    if package:
        setattr(sys.modules[package], attribute, sys.modules[name])
    return sys.modules[name]


sys.path[:] = bundle["path"]
for name, file, _ in bundle["modules"]:
    make(name, file, SourceFileLoader(name, file))
if bundle["core"] is None:
    __import__("pyhost._core")  # the program has it built in
else:
    loader = ExtensionFileLoader("pyhost._core", bundle["core"])
    loader.exec_module(make("pyhost._core", bundle["core"], loader))
    finish("pyhost._core")
for name, _, code in bundle["modules"]:
    exec(marshal.loads(code), sys.modules[name].__dict__)
    guest = finish(name)
guest.prepare(bundle["preload"])
