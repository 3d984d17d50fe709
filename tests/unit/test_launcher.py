"""The launcher's decisions: which executable, which Python; and the step into a real program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyhost import launcher
from pyhost.errors import ConfigurationError


def make_file(path: Path, text: str = "", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_installed_executable_is_in_bin(tmp_path):
    extension = make_file(tmp_path / "pyhost" / "_core.so")
    executable = make_file(tmp_path / "pyhost" / "bin" / "pyhost")
    assert launcher.find_executable(extension) == executable


def test_built_executable_is_beside_the_extension(tmp_path):
    extension = make_file(tmp_path / "build" / "host" / "_core.so")
    executable = make_file(tmp_path / "build" / "host" / "pyhost")
    assert launcher.find_executable(extension) == executable


def test_installed_executable_wins(tmp_path):
    extension = make_file(tmp_path / "_core.so")
    make_file(tmp_path / "pyhost")
    installed = make_file(tmp_path / "bin" / "pyhost")
    assert launcher.find_executable(extension) == installed


def test_a_folder_is_no_executable(tmp_path):
    extension = make_file(tmp_path / "_core.so")
    (tmp_path / "pyhost").mkdir()
    with pytest.raises(ConfigurationError) as caught:
        launcher.find_executable(extension)
    assert str(caught.value) == (
        f"pyhost's executable is missing: neither {tmp_path}/bin/pyhost nor {tmp_path}/pyhost is a file; "
        "install pyhost anew (pip install --force-reinstall, or uv sync --reinstall-package pyhost)"
    )


def test_python_path_keeps_links_and_drops_dots(tmp_path):
    real = make_file(tmp_path / "real" / "python")
    link = tmp_path / "venv" / "bin" / "python"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert launcher.python_path(f"{tmp_path}/venv/lib/../bin/./python") == str(link)


def test_python_path_is_absolute():
    assert launcher.python_path("python") == f"{os.getcwd()}/python"  # noqa: PTH109 - compared as text


def test_a_python_that_does_not_know_its_path():
    with pytest.raises(ConfigurationError, match=r"^cannot start pyhost's executable: .*sys\.executable is empty"):
        launcher.python_path("")


def make_package(folder: Path) -> Path:
    """Lay out an installed package that has the launcher and no more in ``folder``; returns its path."""
    package = folder / "pyhost"
    make_file(package / "__init__.py")
    make_file(package / "_core.py")
    for module in ("launcher.py", "errors.py"):
        make_file(package / module, Path(launcher.__file__).with_name(module).read_text())
    return package


def run_exec_host(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run exec_host of the package in ``folder``, in a Python that does not see the installed pyhost."""
    script = "import sys; from pyhost.launcher import exec_host; print('flushed', end=' '); exec_host(sys.argv[1:])"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, "-S", "-c", script, *argv],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_exec_host_becomes_the_program(tmp_path):
    package = make_package(tmp_path)
    make_file(package / "bin" / "pyhost", '#!/bin/sh\necho "$PYHOST_PYTHON" "$@"\nexit 7\n')
    done = run_exec_host(tmp_path, "--plugins", "some where")
    assert (done.stdout, done.stderr) == (f"flushed {sys.executable} --plugins some where\n", "")
    assert done.returncode == 7


def test_exec_host_says_why_it_cannot(tmp_path):
    package = make_package(tmp_path)
    executable = make_file(package / "bin" / "pyhost", "not a program", mode=0o644)
    assert run_exec_host(tmp_path).stderr.splitlines()[-1] == (
        f"pyhost.errors.ConfigurationError: cannot run pyhost's executable {executable}: Permission denied; "
        "install pyhost anew, on a file system that allows programs"
    )
