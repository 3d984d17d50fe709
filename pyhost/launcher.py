"""The ``pyhost`` command, and its step from an ordinary Python into pyhost's own executable.

The server wants a CPython that is configured and given its allocators before it starts, so it runs in a program of
pyhost's own, ``bin/pyhost``. What an installer puts on PATH is a Python script, though: for the server it replaces
itself by that program, in the same process, and tells it in the environment which Python it came from.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pyhost import _core
from pyhost.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

PYTHON_VARIABLE = "PYHOST_PYTHON"
"""Environment variable with the path of the Python whose packages the executable uses."""


def main() -> None:
    """Run the ``pyhost`` command."""
    from pyhost import cli

    cli.main()


def exec_host(argv: Sequence[str], settings: Mapping[str, str] | None = None) -> NoReturn:
    """Replace this process by the executable, run with ``argv`` (without a program name).

    ``settings`` are added to its environment.

    Raises ConfigurationError when the executable is missing or cannot be run.
    """
    executable = find_executable(Path(_core.__file__))
    environment = {**os.environ, **(settings or {}), PYTHON_VARIABLE: python_path(sys.executable)}
    # What is buffered here is lost when the program is replaced.
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(executable, ["pyhost", *argv], environment)
    except OSError as error:
        raise ConfigurationError(
            f"cannot run pyhost's executable {executable}: {error.strerror}; "
            "install pyhost anew, on a file system that allows programs"
        ) from error


def find_executable(extension: Path) -> Path:
    """Return the executable that belongs to the extension module at ``extension``.

    Installed, it is in ``bin`` beside the extension module. An editable install holds no executables and loads the
    extension module from the build folder, where the linker put both side by side.

    Raises ConfigurationError when it is in neither place.
    """
    candidates = (extension.parent / "bin" / "pyhost", extension.parent / "pyhost")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ConfigurationError(
        f"pyhost's executable is missing: neither {candidates[0]} nor {candidates[1]} is a file; "
        "install pyhost anew (pip install --force-reinstall, or uv sync --reinstall-package pyhost)"
    )


def python_path(executable: str) -> str:
    """Return ``executable`` (as ``sys.executable``) in the form that the host needs.

    It is absolute and without ``..``, which CPython warns about; but symbolic links stay, because a virtual
    environment is found from where its own ``python`` stands, not from where that link leads.

    Raises ConfigurationError when it is empty: Python does not know where it is.
    """
    if not executable:
        raise ConfigurationError(
            "cannot start pyhost's executable: this Python does not know its own path (sys.executable is empty); "
            "start it by its full path"
        )
    return os.path.abspath(executable)  # noqa: PTH100 - Path.absolute() keeps "..".
