"""Packages made on the spot, so that no test needs a network: wheels, and folders of source with a build of their own."""

from __future__ import annotations

import json
import textwrap
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# A build backend that needs nothing. As with setuptools, an editable wheel names the folder if it is told to. With a file
# named "gate" beside it, it tells that it has begun, and waits to be let go on.
_BACKEND = """
import os, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    with open("src/NAME.py") as file:
        return _write(folder, {"NAME.py": file.read()})

def build_editable(folder, config_settings=None, metadata_directory=None):
    by_path = {"__editable__.NAME.pth": "HERE/src\\n"}
    return _write(folder, by_path if config_settings == {"editable_mode": "compat"} else EDITABLE)

def _write(folder, files):
    if os.path.exists("gate"):
        with open("gate.entered", "wb", buffering=0) as entered:
            entered.write(b"!")
        with open("gate.open", "rb", buffering=0) as opened:
            opened.read(1)
    name = "NAME-1.0-py3-none-any.whl"
    files |= {
        "NAME-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: NAME\\nVersion: 1.0\\n",
        "NAME-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "NAME-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text.replace("HERE", os.getcwd()))
    return name
"""

BY_PATH = {"__editable__.NAME.pth": "HERE/src\n"}
BY_HOOK = {
    "__editable__.NAME.pth": "import __editable___NAME_finder; __editable___NAME_finder.install()\n",
    "__editable___NAME_finder.py": "def install(): import sys; sys.path.append('HERE/src')\n",
}


def write_wheel(
    folder: Path, name: str, version: str, files: Mapping[str, str] | None = None, needs: Sequence[str] = ()
) -> Path:
    """Write a wheel whose module of this name knows its version as VERSION; the file."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    contents = {
        f"{name}.py": f"VERSION = {version!r}\n",
        **(files or {}),
        f"{name}-{version}.dist-info/METADATA": metadata + "".join(f"Requires-Dist: {need}\n" for need in needs),
        f"{name}-{version}.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = "".join(f"{file},,\n" for file in [*contents, f"{name}-{version}.dist-info/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in {**contents, f"{name}-{version}.dist-info/RECORD": record}.items():
            wheel.writestr(file, text)
    return path


def write_source(folder: Path, name: str, code: str, editable: Mapping[str, str] = BY_PATH) -> Path:
    """Write a package's folder of source, with one module; ``editable``: what its editable wheel holds."""
    place = folder / name
    (place / "src").mkdir(parents=True, exist_ok=True)
    (place / "src" / f"{name}.py").write_text(textwrap.dedent(code))
    (place / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "1.0"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    backend = _BACKEND.replace("EDITABLE", json.dumps(dict(editable))).replace("NAME", name)
    (place / "backend.py").write_text(backend)
    return place


def use_only(wheels: Path, folder: Path) -> None:
    """Let uv take packages from ``wheels`` alone, for all that is in ``folder``."""
    wheels.mkdir(parents=True, exist_ok=True)
    (folder / "uv.toml").write_text(f"no-index = true\nfind-links = [{json.dumps(str(wheels))}]\n")
