from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pyhost import installer
from pyhost.environment import Hook
from pyhost.installer import InstallError

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
LATER = f"{sys.version_info.major}.{sys.version_info.minor + 1}"


def lock(python=HERE, stated='dependencies = ["six"]'):
    return f'requires-python = ">={python}"\n[tool.pyhost]\n{stated}\n'.encode()


@pytest.mark.parametrize(
    ("content", "current"),
    [
        (lock(), True),
        (lock(python="3.13"), True),
        (lock(python=LATER), False),
        (lock(stated='dependencies = ["six", "attrs"]'), False),
        (lock(stated="dependencies = 1"), False),
        (lock(stated=""), False),
        (b'requires-python = ">=3.13"\n', False),
        (b'requires-python = "soon"\n[tool.pyhost]\ndependencies = ["six"]', False),
        (b"", False),
        (b"[", False),
        (b"\xff", False),
    ],
)
def test_a_lock_file_is_for_dependencies_and_a_python(content, current):
    assert installer.is_current(content, ("six",)) is current


def test_uv_is_the_one_beside_pyhost():
    assert Path(installer.find_uv()).is_relative_to(sys.prefix)


def test_without_one_it_is_what_the_environment_names_or_on_the_path(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("UV", "/opt/uv")
    assert installer.find_uv() == "/opt/uv"
    monkeypatch.delenv("UV")
    program = tmp_path / "uv"
    program.touch()
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installer.find_uv() == str(program)


def test_without_any_it_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(InstallError) as caught:
        installer.find_uv()
    assert str(caught.value) == 'pyhost install needs uv; run: pip install "pyhost[install]", or: pip install uv'


def install_by_hand(packages, name, files, direct_url=None):
    """A package as an installer leaves it."""
    information = packages / f"{name}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    for file, text in files.items():
        (packages / file).write_text(text)
    (information / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    if direct_url is not None:
        (information / "direct_url.json").write_text(direct_url)


def test_a_record_says_what_is_installed(tmp_path):
    (tmp_path / "source").mkdir()
    packages = tmp_path / "packages"
    editable = '{"url": "file:///source", "dir_info": {"editable": true}}'
    install_by_hand(packages, "zebra", {"zebra.pth": "../source\n../nowhere\n"})
    install_by_hand(packages, "Ant", {"ant.pth": "../source\nimport ant\n"})
    install_by_hand(packages, "bee", {"bee.pth": "import bee_finder\n"}, editable)
    install_by_hand(packages, "setuptools", {"distutils-precedence.pth": "import os\n", "x-nspkg.pth": "import os\n"})
    record = installer.describe(packages, ("zebra",))
    assert record.dependencies == ("zebra",)
    assert record.packages == (("Ant", "1.0"), ("bee", "1.0"), ("setuptools", "1.0"), ("zebra", "1.0"))
    assert record.folders == ("../source",)
    assert set(record.hooks) == {Hook("Ant", "ant.pth", editable=False), Hook("bee", "bee.pth", editable=True)}
