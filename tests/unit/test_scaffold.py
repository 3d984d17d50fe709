import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from pyhost import manifest, scaffold
from pyhost.errors import ConfigurationError
from pyhost.manifest import Limits


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("plugins")
    folder.mkdir()
    return folder


@pytest.mark.parametrize(("name", "module"), [("hello", "hello"), ("hello-all", "hello_all"), ("_x", "_x")])
def test_it_makes_a_plugin(plugins, name, module):
    folder = plugins / name
    files = [folder / "plugin.toml", folder / f"{module}.py", folder / f"test_{module}.py"]
    assert scaffold.create(name, plugins) == files
    assert sorted(folder.iterdir()) == sorted(files)
    loaded = manifest.load(folder)
    assert (loaded.name, loaded.version, loaded.module, loaded.interpreters) == (name, "0.1.0", module, 1)
    assert loaded.limits == Limits()
    assert manifest.load_all(plugins) == ([loaded], [])


def test_its_functions_are_plain_python(plugins):
    _, module, _ = scaffold.create("hello", plugins)
    functions = runpy.run_path(str(module))
    functions["start"]()
    assert functions["greet"]("Ada") == "Hello, Ada!"
    with pytest.raises(ValueError, match=r"^no greeting in 'xx', only in en, fr$"):
        functions["greet"]("Ada", language="xx")


def test_its_test_passes_beside_a_broken_neighbour(plugins):
    (plugins / "broken.py").write_text("1 / 0\n")
    *_, test = scaffold.create("hello-all", plugins)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 passed" in run.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "'' cannot be a plugin's name; allowed: up to 100 letters, digits, _ and -, starting with a letter or _"),
        (
            "../x",
            (
                "'../x' cannot be a plugin's name; allowed: up to 100 letters, digits, _ and -, "
                "starting with a letter or _"
            ),
        ),
        (
            "queue",
            "the module of plugin 'queue' would bear a name taken by the standard library's queue; choose another",
        ),
        ("class", "the module of plugin 'class' would bear a name taken by Python's keyword class; choose another"),
        ("pyhost", "the module of plugin 'pyhost' would bear a name taken by pyhost itself; choose another"),
    ],
)
def test_names_that_no_plugin_can_have(plugins, name, message):
    with pytest.raises(ConfigurationError) as caught:
        scaffold.create(name, plugins)
    assert str(caught.value) == message
    assert list(plugins.iterdir()) == []


def test_it_overwrites_nothing(plugins):
    (plugins / "hello").mkdir()
    with pytest.raises(ConfigurationError) as caught:
        scaffold.create("hello", plugins)
    assert str(caught.value) == "plugins/hello exists already; choose another name, or remove it first"
    assert list((plugins / "hello").iterdir()) == []


def test_the_folder_above_is_made_too(plugins):
    files = scaffold.create("hello", plugins / "inner" / "plugins")
    assert all(file.is_file() for file in files)


def test_the_folder_above_has_to_be_a_folder(plugins):
    (plugins / "file").touch()
    with pytest.raises(ConfigurationError) as caught:
        scaffold.create("hello", plugins / "file")
    assert str(caught.value) == "plugins/file exists already; choose another name, or remove it first"
