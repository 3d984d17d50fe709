"""Environments: where a plugin's own packages are, and what of them its interpreters see.

``installer.py`` makes them in the state folder; a plugin that loads only looks::

    STATE/environments/NAME-PLACE/PYTHON/NUMBER-DIGEST/packages/      goes on sys.path
                                                       record.json    what was installed: a Record

PLACE stands for the manifest's path, as two folders may hold plugins of one name; PYTHON for the kind of Python, as
packages may hold compiled code; DIGEST for what is in the lock file. So another lock is another environment, and no
interpreter that runs loses a file to it. NUMBER grows: of two with one digest the higher one counts.

Plugins' interpreters start without ``site``, which reads the .pth files of packages. The folders that these name are
in the record; code in them is not run, as it would cost every interpreter, and make it other than its plugin says.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import site
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pyhost.config import default_state_folder
from pyhost.errors import ConfigurationError, PluginLoadError
from pyhost.manifest import lock_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyhost.manifest import Manifest

_FOLDER = re.compile(r"([0-9]+)-([0-9a-f]{16})")
_REFUSAL = re.compile(r"module \S+ does not support loading in subinterpreters")


@dataclass(frozen=True, slots=True)
class Hook:
    """Code in a .pth file of a package, which Python's ``site`` would run."""

    package: str
    file: str
    editable: bool
    """Whether the package is installed by ``-e``: then that code is what finds its modules."""

    def explain(self) -> str:
        """Say what does not work, and what to do."""
        if not self.editable:
            return f"the code in {self.file} of {self.package} is not run in plugins' interpreters"
        return (
            f"{self.package} cannot be imported, as its editable install is code in {self.file}, which is not run in "
            f'plugins\' interpreters; write "{self.package} @ FOLDER" in place of "-e FOLDER", or let its build name '
            'a folder there (setuptools: config-settings = { editable_mode = "compat" } under [pip] in a uv.toml); '
            "then run: pyhost install --upgrade"
        )


@dataclass(frozen=True, slots=True)
class Record:
    """What is in an environment."""

    dependencies: tuple[str, ...]
    """The manifest's, as they were when it was made."""
    packages: tuple[tuple[str, str], ...]
    """Name and version of each, by name."""
    folders: tuple[str, ...]
    """What its .pth files name, in their order; relative to ``packages/``."""
    hooks: tuple[Hook, ...]


@dataclass(frozen=True, slots=True)
class Environment:
    """One that is complete."""

    folder: Path
    record: Record

    def paths(self) -> list[str]:
        """What of it goes on ``sys.path``."""
        packages = self.folder / "packages"
        return [str(packages), *(str(packages / folder) for folder in self.record.folders)]


def home_of(manifest: Manifest, state: Path | None) -> Path:
    """Return the folder of a plugin's environments for this Python. ``state``: the state folder, None for the default.

    Raises:
        ConfigurationError: there is no default state folder.
    """
    place = hashlib.sha256(os.fsencode(manifest.source.resolve())).hexdigest()[:12]
    python = str(sysconfig.get_config_var("SOABI"))
    return (state or default_state_folder()) / "environments" / f"{manifest.name}-{place}" / python


def digest_of(lock: bytes) -> str:
    """Return what stands for a lock file's content in the names of environments."""
    return hashlib.sha256(lock).hexdigest()[:16]


class Numbered(NamedTuple):
    """The folder of an environment, as its name tells of it."""

    number: int
    digest: str
    folder: Path


def numbered(home: Path) -> list[Numbered]:
    """Return a plugin's environments, the oldest first."""
    matches = (_FOLDER.fullmatch(folder.name) for folder in home.glob("*-*"))
    return sorted(Numbered(int(match[1]), match[2], home / match[0]) for match in matches if match)


def find(home: Path, digest: str) -> Environment | None:
    """Return the newest environment with this digest; None without one."""
    for item in reversed(numbered(home)):
        if item.digest == digest:
            try:
                record = msgspec.json.decode((item.folder / "record.json").read_bytes(), type=Record)
            except (OSError, ValueError):
                continue  # damaged: as if it were not there
            return Environment(item.folder, record)
    return None


def environment_of(manifest: Manifest, state: Path | None) -> Environment | None:
    """Return the environment that a plugin loads with; None for a plugin without dependencies.

    Raises:
        PluginLoadError: it is not installed, or for other dependencies than the manifest has now.
    """
    if not manifest.dependencies:
        return None
    try:
        home = home_of(manifest, state)
        found = find(home, digest_of(lock_file(manifest).read_bytes()))
    except ConfigurationError as error:
        raise PluginLoadError(manifest.name, str(error)) from error
    except OSError:  # no lock file
        found = None
    if found is not None and found.record.dependencies == manifest.dependencies:
        return found
    what = "are not installed" if found is None else "have changed since they were installed"
    raise PluginLoadError(manifest.name, f"its dependencies {what}; run: {install_command(manifest, state)}")


def install_command(manifest: Manifest, state: Path | None) -> str:
    """Return the command that installs a plugin's dependencies."""
    folder = manifest.source.parent if manifest.folder is None else manifest.folder.parent
    words = ["pyhost", "install", "--plugins", str(folder), *(["--state", str(state)] if state else []), manifest.name]
    return shlex.join(words)


def package_paths(manifest: Manifest, environment: Environment | None) -> list[str]:
    """Return where a plugin's interpreters find installed packages, in order."""
    own = environment.paths() if environment is not None else []
    return own + (_host_paths() if manifest.inherit else [])


def read_path_file(file: Path) -> tuple[list[str], bool]:
    """Return the folders that a .pth file names, as they stand there, and whether it holds code, too.

    As ``site`` does, it passes over comments, and folders that are not there.
    """
    lines = [line.rstrip() for line in file.read_text("utf-8-sig", errors="surrogateescape").splitlines()]
    stated = [line for line in lines if line and not line.startswith("#")]
    code = [line for line in stated if line.startswith(("import ", "import\t"))]
    folders = [line for line in stated if line not in code and (file.parent / line).exists()]
    return folders, bool(code)


def path_files(folder: Path) -> list[Path]:
    """Return the .pth files that ``site`` would read in a folder of packages, in its order."""
    return sorted(file for file in folder.glob("*.pth") if not file.name.startswith("."))


def reason_of(type_name: str, message: str, environment: Environment | None) -> str:
    """Return why a plugin did not start, in a line, from the exception that it raised."""
    reason = f"{type_name}: {message}" if message else type_name
    if type_name not in {"ImportError", "ModuleNotFoundError"}:
        return reason
    refusal = _REFUSAL.search(message)
    if refusal is not None:
        return (
            f"{type_name}: {refusal[0]}: its C code works in no plugin; depend on a package, or a version of it, "
            "without such code"
        )
    hooks = environment.record.hooks if environment is not None else ()
    return "; ".join([reason, *(hook.explain() for hook in hooks if hook.editable)])


def _host_paths() -> list[str]:
    """Where the host itself finds installed packages, without those that code in .pth files would add."""
    sites = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    folders = [Path(folder) for folder in sites if Path(folder).is_dir()]
    return list(dict.fromkeys(path for folder in folders for path in (str(folder), *_named_in(folder))))


def _named_in(folder: Path) -> Iterable[str]:
    for file in path_files(folder):
        yield from (str(folder / named) for named in read_path_file(file)[0])
