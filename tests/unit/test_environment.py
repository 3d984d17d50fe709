from __future__ import annotations

import dataclasses
import sysconfig
from pathlib import Path

import msgspec
import pytest

from pyhost import environment
from pyhost.environment import Environment, Hook, Record
from pyhost.errors import PluginLoadError
from pyhost.manifest import Limits, Manifest, lock_file

RECORD = Record(("six",), (("six", "1.16.0"),), ("sub", "/srv/lib"), ())
EDITABLE = Hook("lib", "__editable__.lib.pth", editable=True)
REFUSAL = "module numpy._core._multiarray_umath does not support loading in subinterpreters"


@pytest.fixture
def plugin(tmp_path):
    """The manifest of plugins/text-tools, which depends on six."""
    folder = tmp_path / "plugins" / "text-tools"
    folder.mkdir(parents=True)
    source = folder / "plugin.toml"
    return Manifest("text-tools", "0", "text_tools", 1, folder, None, source, Limits(), dependencies=("six",))


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def make(home, number, digest, record=RECORD):
    folder = home / f"{number}-{digest}"
    (folder / "packages").mkdir(parents=True)
    (folder / "record.json").write_bytes(msgspec.json.encode(record))
    return folder


def refused(plugin, state):
    with pytest.raises(PluginLoadError) as caught:
        environment.environment_of(plugin, state)
    return caught.value.reason


def test_each_plugin_and_each_python_has_a_folder_of_its_own(plugin, state, tmp_path):
    home = environment.home_of(plugin, state)
    assert home.name == sysconfig.get_config_var("SOABI")
    assert home.parent.name.startswith("text-tools-")
    assert home.parent.parent == state / "environments"
    other = dataclasses.replace(plugin, source=tmp_path / "others" / "text-tools" / "plugin.toml")
    assert environment.home_of(other, state) != home


def test_a_linked_plugin_is_the_one_that_the_link_leads_to(plugin, state, tmp_path):
    link = tmp_path / "linked"
    link.symlink_to(plugin.folder)
    linked = dataclasses.replace(plugin, folder=link, source=link / "plugin.toml")
    assert environment.home_of(linked, state) == environment.home_of(plugin, state)


def test_the_default_state_folder_is_asked_for_at_need(plugin, monkeypatch, tmp_path):
    monkeypatch.setenv("PYHOST_STATE", str(tmp_path / "elsewhere"))
    assert environment.home_of(plugin, None).is_relative_to(tmp_path / "elsewhere")


def test_the_newest_environment_with_the_digest_is_found(tmp_path):
    one, other = "0" * 16, "f" * 16
    assert environment.find(tmp_path, one) is None
    folders = [make(tmp_path, number, digest) for number, digest in ((2, one), (10, one), (11, other))]
    (tmp_path / "new-abc").mkdir()
    (tmp_path / "lock").touch()
    assert [item.folder for item in environment.numbered(tmp_path)] == folders
    assert environment.find(tmp_path, one) == Environment(folders[1], RECORD)
    (folders[1] / "record.json").write_text("{}")  # damaged
    assert environment.find(tmp_path, one) == Environment(folders[0], RECORD)
    (folders[0] / "record.json").unlink()
    assert environment.find(tmp_path, one) is None


def test_a_plugin_without_dependencies_needs_no_environment(plugin):
    assert environment.environment_of(dataclasses.replace(plugin, dependencies=()), None) is None


def test_the_environment_is_that_of_the_lock_file(plugin, state):
    home = environment.home_of(plugin, state)
    command = f"pyhost install --plugins {plugin.folder.parent} --state {state} text-tools"
    assert refused(plugin, state) == f"its dependencies are not installed; run: {command}"
    lock_file(plugin).write_bytes(b"a lock")
    assert refused(plugin, state) == f"its dependencies are not installed; run: {command}"
    folder = make(home, 1, environment.digest_of(b"a lock"))
    assert environment.environment_of(plugin, state) == Environment(folder, RECORD)
    changed = dataclasses.replace(plugin, dependencies=("six", "attrs"))
    assert refused(changed, state) == f"its dependencies have changed since they were installed; run: {command}"
    lock_file(plugin).write_bytes(b"another lock")
    assert refused(plugin, state) == f"its dependencies are not installed; run: {command}"


def test_the_command_names_the_folder_of_plugins(plugin):
    assert environment.install_command(plugin, None) == f"pyhost install --plugins {plugin.folder.parent} text-tools"
    single = Manifest("a", "0", "a", 1, None, Path("/my plugins/a.py"), Path("/my plugins/a.py"), Limits())
    assert environment.install_command(single, None) == "pyhost install --plugins '/my plugins' a"


def test_the_paths_are_the_environments_and_the_hosts_on_request(plugin, tmp_path):
    found = Environment(tmp_path / "1-0", RECORD)
    own = [f"{tmp_path}/1-0/packages", f"{tmp_path}/1-0/packages/sub", "/srv/lib"]
    assert environment.package_paths(plugin, found) == own
    assert environment.package_paths(plugin, None) == []
    heir = dataclasses.replace(plugin, inherit=True)
    paths = environment.package_paths(heir, found)
    assert paths[:3] == own
    assert sysconfig.get_path("purelib") in paths[3:]
    assert sysconfig.get_path("stdlib") not in paths


def test_a_path_file_names_folders_and_may_hold_code(tmp_path):
    for name in ("one", "two with a space"):
        (tmp_path / name).mkdir()
    file = tmp_path / "x.pth"
    file.write_text(f"\ufeff# a comment\none\n\nnowhere\ntwo with a space  \n{tmp_path}\nimport\n", encoding="utf-8")
    assert environment.read_path_file(file) == (["one", "two with a space", str(tmp_path)], False)
    file.write_text("import sys; sys.x = 1\none\nimport\tos\n")
    assert environment.read_path_file(file) == (["one"], True)


def test_path_files_are_read_in_the_order_of_site(tmp_path):
    for name in ("b.pth", "a.pth", ".hidden.pth", "c.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in environment.path_files(tmp_path)] == ["a.pth", "b.pth"]


@pytest.mark.parametrize(
    ("type_name", "message", "hooks", "reason"),
    [
        ("ValueError", "bad", (EDITABLE,), "ValueError: bad"),
        ("ValueError", "", (), "ValueError"),
        ("ModuleNotFoundError", "No module named 'lib'", (), "ModuleNotFoundError: No module named 'lib'"),
        (
            "ModuleNotFoundError",
            "No module named 'lib'",
            (Hook("cov", "cov.pth", editable=False), EDITABLE),
            f"ModuleNotFoundError: No module named 'lib'; {EDITABLE.explain()}",
        ),
        (
            "ImportError",
            f"\nPLEASE READ THIS\nOriginal error was: {REFUSAL}\n",
            (EDITABLE,),
            (
                f"ImportError: {REFUSAL}: its C code works in no plugin; depend on a package, or a version of it, "
                "without such code"
            ),
        ),
    ],
)
def test_a_failed_import_says_what_to_do(type_name, message, hooks, reason):
    found = Environment(Path("/x"), dataclasses.replace(RECORD, hooks=hooks))
    assert environment.reason_of(type_name, message, found) == reason


def test_a_failure_without_an_environment():
    assert environment.reason_of("ImportError", "no", None) == "ImportError: no"
