"""Manifests: what a plugin says about itself, in a ``plugin.toml`` or by being a single ``.py`` file.

``docs/manifest.md`` is the reference for the authors of plugins.
"""

from __future__ import annotations

import hashlib
import keyword
import re
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from pyhost import tables
from pyhost.dependencies import Dependencies, of_script
from pyhost.errors import ConfigurationError, ManifestError
from pyhost.quantities import parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST_NAME = "plugin.toml"
NAME_ALLOWED = "up to 100 letters, digits, _ and -, starting with a letter or _"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")

# Files that programs write beside their code: when one changes, the plugin has not changed.
_WRITTEN_FILES = ("*.db", "*.db-*", "*.sqlite*", "*.log", "*.log.*", "*.pid", "*.lock", "*.tmp", "*.pyc", "*~")
_CODE_SUFFIXES = (".py", ".toml")
_FILE_NAME_MOST = 255  # bytes, on every file system of Linux: asking for a longer one is an error
_NEW_LOCK_SUFFIX = "+new.toml"


def is_name(text: str) -> bool:
    """Whether a plugin can have this name: calls are ``"plugin.function"``, so it holds no dot."""
    return _NAME.fullmatch(text) is not None


def module_conflict(module: str) -> str:
    """What else has the name of this module, so that one of the two would hide the other; "" for nothing."""
    top = module.partition(".")[0]
    if top == "pyhost":
        return "pyhost itself"
    if top in sys.stdlib_module_names:
        return f"the standard library's {top}"
    keywords = filter(keyword.iskeyword, module.split("."))
    return next((f"Python's keyword {part}" for part in keywords), "")


def _parse_module(value: Any) -> Any:
    if isinstance(value, str) and not all(map(_is_module_part, value.split("."))):
        raise ValueError(value)
    return value


def _is_module_part(text: str) -> bool:
    return text.isidentifier() and len(f"{text}.py".encode()) <= _FILE_NAME_MOST


def _parse_memory(value: Any) -> Any:
    size = parse_size(value)
    if isinstance(size, int) and not 1 << 20 <= size <= 1 << 50:
        raise ValueError(value)
    return size


_DurationLimit = Annotated[
    float,
    Meta(
        gt=0,
        le=8760 * 3600,
        description='a duration of more than 0 and at most 8760h, such as "250ms", "2s", "1m" or a number of seconds',
        extra={"parse": parse_duration},
    ),
]

_MemoryLimit = Annotated[
    int | None,
    Meta(
        description='a size from 1MiB to 1048576GiB, such as "64MiB" or a number of bytes',
        extra={"parse": _parse_memory},
    ),
]


@dataclass(frozen=True, slots=True)
class Limits:
    """``[limits]``: how long and how much. Durations are in seconds."""

    deadline: _DurationLimit = 30.0
    """Time for a call that brings no timeout of its own."""
    grace: _DurationLimit = 0.25
    """Time that a call may run on when its deadline has passed; then its interpreter is set aside and replaced."""
    inbox: Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")] = 1024
    """Calls that may wait for one interpreter; the next one is refused."""
    start: _DurationLimit = 30.0
    """Time to import the module and run its ``on_start``."""
    memory: _MemoryLimit = None
    """Bytes that each interpreter may hold; None: no limit."""


@dataclass(frozen=True, slots=True)
class Restart:
    """``[restart]``: what is done about a plugin that fails, and when its interpreters are recycled."""

    policy: Annotated[
        Literal["always", "on-failure", "never"], Meta(description='"always", "on-failure" or "never"')
    ] = "on-failure"
    """Whether it is restarted: always, also after ``sys.exit(0)``; when it fails; or never."""
    intensity: Annotated[int, Meta(ge=0, le=1000, description="a whole number from 0 to 1000")] = 5
    """Restarts within ``period``; the next failure makes the plugin fatal."""
    period: _DurationLimit = 60.0
    """In seconds."""
    max_calls: Annotated[
        Annotated[int, Meta(ge=1, le=1 << 53)] | None, Meta(description="a whole number from 1 to 9007199254740992")
    ] = None
    """Calls after which an interpreter is recycled; None: never for that."""
    max_memory_growth: _MemoryLimit = None
    """Bytes that an interpreter may grow by since it was ready before it is recycled; None: never for that."""


@dataclass(frozen=True, slots=True)
class _PluginTable:
    """``[plugin]``."""

    name: Annotated[str, Meta(pattern=rf"\A{_NAME.pattern}\Z", description=NAME_ALLOWED)]
    version: Annotated[
        str, Meta(pattern=r"\A[!-~]{1,100}\Z", description='up to 100 letters, digits and signs, such as "1.0.0"')
    ] = "0"
    module: Annotated[
        str | None,
        Meta(description='a module to import, such as "wordcount" or "package.module"', extra={"parse": _parse_module}),
    ] = None
    interpreters: Annotated[int, Meta(ge=1, le=256, description="a whole number from 1 to 256")] = 1
    dependencies: Dependencies = ()
    inherit: Annotated[bool, Meta(description="true or false")] = False


@dataclass(frozen=True, slots=True)
class _Document:
    plugin: _PluginTable
    limits: Limits = field(default_factory=Limits)
    restart: Restart = field(default_factory=Restart)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One plugin, as it is to be loaded. Every path is absolute."""

    name: str
    version: str
    module: str
    """What to import; for a single-file plugin, the name that its module gets."""
    interpreters: int
    folder: Path | None
    """Goes first on ``sys.path``; None for a single-file plugin, whose siblings are none of its business."""
    file: Path | None
    """The code of a single-file plugin, loaded by this path; None otherwise."""
    source: Path
    """The plugin.toml or the .py file."""
    limits: Limits
    restart: Restart = field(default_factory=Restart)
    dependencies: tuple[str, ...] = ()
    """What ``pyhost install`` installs for it, as written."""
    inherit: bool = False
    """Whether it can import the host's packages, too."""


def load(path: Path) -> Manifest:
    """Return the manifest at ``path``: a plugin.toml, a folder with one, or a single-file plugin.

    Raises:
        ManifestError: it cannot be read, or something in it is wrong.
    """
    if path.suffix == ".py" and not path.is_dir():
        return _load_file(path)
    return _load_document(path if path.name == MANIFEST_NAME else path / MANIFEST_NAME)


def discover(folder: Path) -> list[Path]:
    """Return the plugin.toml or .py file of every plugin in a folder, sorted by the name of the entry.

    Plugins are the subfolders that hold a plugin.toml, and the .py files; names that start with ``_`` (files only) or
    ``.`` are left out.

    Raises:
        ConfigurationError: the folder cannot be listed.
    """
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except FileNotFoundError as error:
        raise ConfigurationError(f"the plugins folder {folder} does not exist; make it or name another one") from error
    except NotADirectoryError as error:
        raise ConfigurationError(f"the plugins folder {folder} is a file; name the folder that holds it") from error
    except OSError as error:
        raise ConfigurationError(f"the plugins folder {folder} cannot be listed: {error.strerror}") from error
    return list(_candidates(entries))


def _candidates(entries: list[Path]) -> Iterator[Path]:
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__pycache__":
            continue
        if entry.is_dir():
            try:
                (entry / MANIFEST_NAME).lstat()
            except FileNotFoundError:
                continue
            except OSError:
                pass  # something is there: load() says what is wrong with it
            yield entry / MANIFEST_NAME
        elif entry.suffix == ".py" and not entry.name.startswith("_"):
            yield entry


def load_all(folder: Path) -> tuple[list[Manifest], list[tuple[str, Path, ManifestError]]]:
    """Load every plugin of a folder; a bad one never stops the others.

    Returns the manifests, and for each failure a name to show, the path and the error. No name occurs twice. That of a
    failure is what its plugin.toml states, else that of its folder or file, else, where both are taken, its path.

    Raises:
        ConfigurationError: the folder cannot be listed.
    """
    owners: dict[str, Path] = {}
    manifests: list[Manifest] = []
    bad: list[tuple[Path, ManifestError]] = []
    for path in discover(folder):
        try:
            manifest = load(path)
            if manifest.name in owners:
                raise _duplicate(manifest, path, owners[manifest.name])
        except ManifestError as error:
            bad.append((path, error))
        else:
            manifests.append(manifest)
            owners[manifest.name] = path
    taken = set(owners)
    failures: list[tuple[str, Path, ManifestError]] = []
    for path, reason in bad:
        names = (_stated_name(path), _place_name(path), str(path.relative_to(folder)))
        name = next(name for name in names if name and name not in taken)
        taken.add(name)
        failures.append((name, path, reason))
    return manifests, failures


def lock_file(manifest: Manifest) -> Path:
    """Return where the versions of its dependencies are written down, in the standard's form (PEP 751)."""
    name = "pylock.toml" if manifest.folder is not None else f"pylock.{manifest.name}.toml"
    return manifest.source.with_name(name)


def new_lock_file(manifest: Manifest) -> Path:
    """Return where its next lock file is made: beside it, as paths in it are relative; no change of the plugin yet."""
    return manifest.source.with_name(f"pylock.{manifest.name}{_NEW_LOCK_SUFFIX}")


def fingerprint(manifest: Manifest) -> str:
    """Return a text that changes when a file of the plugin is added, removed or changed (its size or time).

    The lock file of its dependencies is one of them: other versions are another plugin.
    Left out are hidden files, ``__pycache__``, linked folders, and what plugins write beside their code: databases,
    logs, lock and temporary files. A plugin that was removed has the fingerprint of no files.
    """
    single = [manifest.source, lock_file(manifest)]
    files = single if manifest.folder is None else sorted(_code_files(manifest.folder))
    digest = hashlib.sha256()
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue  # removed since it was listed, or a link to nothing
        if stat.S_ISREG(status.st_mode):
            digest.update(f"{str(file)!a} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def is_code(file: Path, folder: Path) -> bool:
    """Whether a file of a folder of plugins counts for the fingerprints of one."""
    *folders, name = file.relative_to(folder).parts
    hidden = any(part.startswith(".") or part == "__pycache__" for part in folders)
    return not hidden and not name.startswith(".") and not _is_written(name)


def forget_bytecode(manifest: Manifest) -> None:
    """Remove the plugin's cached bytecode, so that its next import reads the source.

    Python tells bytecode that is out of date by the source's size and its time in whole seconds: after two changes
    within one second it would run the code before the last.
    """
    for file in _python_files(manifest):
        with suppress(OSError):
            Path(cache_from_source(str(file))).unlink(missing_ok=True)


def entry_file(manifest: Manifest) -> Path | None:
    """Return the Python file that importing the plugin's module runs first; None where only an import can tell."""
    if manifest.folder is None:
        return manifest.file
    place = manifest.folder / manifest.module
    extensions = manifest.folder.glob(f"{manifest.module}*.so")
    if "." in manifest.module or any(extensions):
        return None
    candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


def _python_files(manifest: Manifest) -> list[Path]:
    files = [manifest.source] if manifest.folder is None else _code_files(manifest.folder)
    return [file for file in files if file.suffix == ".py"]


def _code_files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in folder.walk():
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        yield from (parent / name for name in files if not name.startswith(".") and not _is_written(name))


def _is_written(name: str) -> bool:
    if name.endswith(_NEW_LOCK_SUFFIX):
        return True
    return not name.endswith(_CODE_SUFFIXES) and any(fnmatch(name, pattern) for pattern in _WRITTEN_FILES)


def _load_file(path: Path) -> Manifest:
    source = tables.Source(str(path), ManifestError)
    tables.require_file(path, source)
    name = path.stem
    if not is_name(name):
        raise ManifestError(f"{path}: the file's name makes {name!r} the plugin's name; allowed: {NAME_ALLOWED}")
    module = name.replace("-", "_")
    conflict = module_conflict(module)
    if conflict:
        raise ManifestError(f"{path}: its module would be {module!r}, a name taken by {conflict}; rename the file")
    file = path.absolute()
    needed = of_script(path)
    return Manifest(name, "0", module, 1, folder=None, file=file, source=file, limits=Limits(), dependencies=needed)


def _load_document(path: Path) -> Manifest:
    source = tables.Source(str(path), ManifestError)
    document = tables.decode(tables.read(path, source), _Document, source)
    plugin = document.plugin
    module = plugin.module or _default_module(plugin.name, path)
    conflict = module_conflict(module)
    if conflict:
        raise ManifestError(f"{path}: plugin.module is {module!r}, a name taken by {conflict}; rename the module")
    return Manifest(
        plugin.name,
        plugin.version,
        module,
        plugin.interpreters,
        folder=path.parent.absolute(),
        file=None,
        source=path.absolute(),
        limits=document.limits,
        restart=document.restart,
        dependencies=plugin.dependencies,
        inherit=plugin.inherit,
    )


def _default_module(name: str, path: Path) -> str:
    module = name.replace("-", "_")
    folder = path.parent
    if not (folder / f"{module}.py").is_file() and not (folder / module).is_dir():
        raise ManifestError(
            f"{path}: plugin.module is missing, and {folder} holds neither {module}.py nor {module}/; "
            "name the module to import"
        )
    return module


def _duplicate(manifest: Manifest, path: Path, owner: Path) -> ManifestError:
    return ManifestError(f"{path}: the name {manifest.name!r} is taken by {owner}; give one of the two another name")


def _stated_name(path: Path) -> str:
    """The name in a plugin.toml that has an error elsewhere; "" where there is none."""
    if path.name != MANIFEST_NAME:
        return ""
    try:
        table = tables.read(path, tables.Source(str(path), ManifestError)).get("plugin")
    except ManifestError:
        return ""
    name = table.get("name") if isinstance(table, dict) else None
    return name if isinstance(name, str) and is_name(name) else ""


def _place_name(path: Path) -> str:
    return path.parent.name if path.name == MANIFEST_NAME else path.stem
