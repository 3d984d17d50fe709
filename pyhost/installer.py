"""Installing what plugins depend on: uv resolves it into a lock file and fills an environment from that.

A lock file that is up to date is installed as it is. A new one is made beside it, and takes its place only when its
environment is complete: whatever ends an installation, the plugin loads with what it had before. One process at a time
works on a plugin, and a uv that outlives the process that started it counts as that process.
"""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from textwrap import indent
from typing import TYPE_CHECKING, Any

import msgspec

from pyhost import environment
from pyhost import manifest as manifests
from pyhost.environment import Environment, Hook, Record
from pyhost.errors import ConfigurationError, ManifestError, PyhostError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pyhost.manifest import Manifest

_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# The first makes `import distutils` work, the others make namespace packages, which Python does by itself.
_NEEDLESS_HOOKS = re.compile(r"distutils-precedence\.pth|.*-nspkg\.pth")


class InstallError(PyhostError):
    """The dependencies of a plugin could not be installed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one plugin."""

    name: str
    environment: Environment | None = None
    """What it loads with from now on; None for a plugin without dependencies, or after an error."""
    is_new: bool = False
    """Whether that was made now."""
    error: str = ""
    seconds: float = 0.0


class _Package(msgspec.Struct):
    directory: dict[str, Any] | None = None


class _Stated(msgspec.Struct):
    dependencies: list[str] = []


class _Tool(msgspec.Struct):
    pyhost: _Stated = msgspec.field(default_factory=_Stated)


class _Lock(msgspec.Struct, rename="kebab"):
    """Of a lock file, what matters here."""

    requires_python: str
    packages: list[_Package] = []
    tool: _Tool = msgspec.field(default_factory=_Tool)


def install_all(folder: Path, names: Sequence[str], state: Path | None, *, upgrade: bool) -> Iterator[Outcome]:
    """Install the dependencies of the plugins of a folder, or of those named, one after the other.

    ``upgrade``: with the newest versions that fit, even where the lock file is up to date. A failure is an outcome,
    too, and stops no other plugin.

    Raises:
        ConfigurationError: the folder cannot be listed, or holds no plugin of a name.
    """
    loaded, broken = manifests.load_all(folder)
    found: dict[str, Manifest | ManifestError] = {item.name: item for item in loaded}
    found |= {name: error for name, _, error in broken}
    for name in names:
        if name not in found:
            close = difflib.get_close_matches(name, found, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigurationError(f"there is no plugin {name!r} in {folder}{hint}")
    for name in dict.fromkeys(names or sorted(found)):
        item = found[name]
        try:
            if isinstance(item, ManifestError):
                raise item
            yield install(item, state, upgrade=upgrade)
        except (InstallError, ManifestError) as error:
            yield Outcome(name, error=str(error))


def install(manifest: Manifest, state: Path | None, *, upgrade: bool = False) -> Outcome:
    """Make a plugin's environment what its manifest asks for.

    Raises:
        InstallError: there is no uv, it failed, or a file cannot be written.
        ConfigurationError: there is no default state folder.
    """
    if not manifest.dependencies:
        return Outcome(manifest.name)
    start = time.monotonic()
    home = environment.home_of(manifest, state)
    try:
        with _locked(home) as descriptor:
            found, is_new = _Installation(manifest, home, descriptor).run(upgrade=upgrade)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise InstallError(f"the environment of plugin {manifest.name!r} cannot be made: {what}") from error
    return Outcome(manifest.name, found, is_new, seconds=time.monotonic() - start)


def is_current(lock: bytes, dependencies: Sequence[str]) -> bool:
    """Whether a lock file was made for these dependencies, and for this Python or an older one."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    stated = _read_lock(lock)
    if stated is None or stated.tool.pyhost.dependencies != list(dependencies):
        return False
    try:
        return SpecifierSet(stated.requires_python).contains(_PYTHON)
    except InvalidSpecifier:
        return False


def _read_lock(lock: bytes) -> _Lock | None:
    try:
        return msgspec.toml.decode(lock, type=_Lock)
    except ValueError:
        return None  # not there, or damaged: one is made anew


def find_uv() -> str:
    """Return the path of uv: the package beside pyhost, or what ``uv run`` says of itself, or the one on PATH.

    Raises:
        InstallError: there is none.
    """
    with contextlib.suppress(ImportError, FileNotFoundError):
        from uv import find_uv_bin

        return find_uv_bin()
    found = os.environ.get("UV") or shutil.which("uv")
    if not found:
        raise InstallError('pyhost install needs uv; run: pip install "pyhost[install]", or: pip install uv')
    return found


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[int]:
    """Hold the lock of a plugin's environments, with the descriptor that holds it, which a child may hold, too."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


class _Installation:
    """The steps for one plugin. ``descriptor`` holds its lock."""

    def __init__(self, manifest: Manifest, home: Path, descriptor: int) -> None:
        self._manifest = manifest
        self._home = home
        self._descriptor = descriptor
        self._lock_file = manifests.lock_file(manifest)
        self._new_lock_file = manifests.new_lock_file(manifest)

    def run(self, *, upgrade: bool) -> tuple[Environment, bool]:
        """Return the plugin's environment, and whether it is new."""
        before = self._lock_file.read_bytes() if self._lock_file.exists() else b""
        try:
            if not upgrade and is_current(before, self._manifest.dependencies):
                return self._install(self._lock_file, before, before)
            lock = self._resolve(before, upgrade=upgrade)
            done = self._install(self._new_lock_file, lock, before, anew=upgrade and _has_folders(lock))
            if lock != before:
                self._new_lock_file.replace(self._lock_file)
            return done
        finally:
            self._new_lock_file.unlink(missing_ok=True)

    def _resolve(self, before: bytes, *, upgrade: bool) -> bytes:
        """Make the new lock file; what it holds. Versions in the old one stay if they fit, unless ``upgrade``."""
        self._new_lock_file.unlink(missing_ok=True)
        if _read_lock(before) is not None and not upgrade:
            self._new_lock_file.write_bytes(before)
        requirements = "".join(f"{line}\n" for line in self._manifest.dependencies)
        options = ["--universal", "--python-version", _PYTHON, "--custom-compile-command", "pyhost install"]
        self._run_uv("resolved", ["compile", "-", *options, "--output-file", self._new_lock_file.name], requirements)
        # JSON's lists of text are TOML's.
        stated = json.dumps(self._manifest.dependencies, ensure_ascii=False)
        with self._new_lock_file.open("a", encoding="utf-8") as file:
            file.write(f"\n[tool.pyhost]\ndependencies = {stated}\n")
        return self._new_lock_file.read_bytes()

    def _install(self, lock_file: Path, lock: bytes, before: bytes, *, anew: bool = False) -> tuple[Environment, bool]:
        """Return the environment with what is in the lock, and whether it had to be made."""
        digest = environment.digest_of(lock)
        found = environment.find(self._home, digest)
        if found is not None and not anew:
            return found, False
        others = environment.numbered(self._home)
        new = self._home / "new"
        self._remove_all_but(item.folder for item in others)  # what an installation that was killed has left
        try:
            record = self._fill(new / "packages", lock_file, anew=anew)
            (new / "record.json").write_bytes(msgspec.json.encode(record))
            folder = new.rename(self._home / f"{others[-1].number + 1 if others else 1}-{digest}")
        finally:
            shutil.rmtree(new, ignore_errors=True)
        # Until the plugin is loaded anew, a server runs with an older one: that of the lock file so far, or the last.
        in_use = [item.folder for item in others if item.digest == environment.digest_of(before) or item is others[-1]]
        self._remove_all_but([folder, *in_use])
        return Environment(folder, record), True

    def _fill(self, packages: Path, lock_file: Path, *, anew: bool) -> Record:
        packages.mkdir(parents=True)
        options = ["--target", str(packages), "--compile-bytecode", "--allow-empty-requirements"]
        if anew:
            options.append("--refresh")  # or uv takes what it has built of a folder before
        self._run_uv("installed", ["sync", lock_file.name, *options])
        return describe(packages, self._manifest.dependencies)

    def _remove_all_but(self, kept: Iterable[Path]) -> None:
        for folder in set(self._home.iterdir()).difference(kept):
            if folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)

    def _run_uv(self, done: str, arguments: Sequence[str], requirements: str = "") -> None:
        """Run ``uv pip`` in the manifest's folder: paths in requirements and in the lock file are relative to it."""
        process = subprocess.run(
            [find_uv(), "pip", *arguments, "--python", sys.executable, "--quiet", "--color", "never"],
            cwd=self._lock_file.parent,
            input=requirements,
            capture_output=True,
            text=True,
            errors="replace",
            pass_fds=[self._descriptor],
            check=False,
        )
        if process.returncode != 0:
            said = process.stderr.strip() or f"uv ended with exit code {process.returncode}"
            raise InstallError(
                f"the dependencies of plugin {self._manifest.name!r} could not be {done}:\n{indent(said, '  ')}"
            )


def describe(packages: Path, dependencies: tuple[str, ...]) -> Record:
    """Return what is installed in a folder of packages."""
    installed = list(distributions(path=[str(packages)]))
    folders = [folder for file in environment.path_files(packages) for folder in environment.read_path_file(file)[0]]
    return Record(
        dependencies=dependencies,
        packages=tuple(sorted(((item.name, item.version) for item in installed), key=_by_name)),
        folders=tuple(dict.fromkeys(folders)),
        hooks=tuple(hook for item in installed for hook in _hooks_of(item, packages)),
    )


def _by_name(package: tuple[str, str]) -> str:
    return package[0].lower()


def _hooks_of(distribution: Distribution, packages: Path) -> Iterator[Hook]:
    editable = getattr(getattr(distribution.origin, "dir_info", None), "editable", False)
    for file in environment.path_files(packages):
        owned = any(str(item) == file.name for item in distribution.files or ())
        if owned and environment.read_path_file(file)[1] and not _NEEDLESS_HOOKS.fullmatch(file.name):
            yield Hook(distribution.name, file.name, editable)


def _has_folders(lock: bytes) -> bool:
    """Whether packages come from folders: what is in these, and how it is built, is not in the lock file."""
    stated = _read_lock(lock)
    return stated is not None and any(item.directory is not None for item in stated.packages)
