"""Plugins with dependencies of their own: real installations by uv, from packages made on the spot, real interpreters."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from support.packages import BY_HOOK, BY_PATH, use_only, write_source, write_wheel
from support.plugins import touch_with

import pyhost
from pyhost import cli, environment, manifest
from pyhost.errors import PluginLoadError
from pyhost.exit_codes import ExitCode

PATIENCE = 60.0

CODE = """
import sys
import demo
import pyhost

@pyhost.export
def version():
    return demo.VERSION, demo.__file__

@pyhost.export
def path():
    return sys.path

@pyhost.export
def load(name):
    return __import__(name).__file__
"""


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch):
    """A state folder, an empty cache, and wheels of demo 1.0 and 2.0 as the only packages that there are."""
    monkeypatch.setenv("PYHOST_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    use_only(tmp_path / "wheels", tmp_path)
    write_wheel(tmp_path / "wheels", "demo", "1.0")
    write_wheel(tmp_path / "wheels", "demo", "2.0", needs=["helper>=1"])
    write_wheel(tmp_path / "wheels", "helper", "1.5")
    return tmp_path


@pytest.fixture
def start_install(pyhost_command, world):
    """Starts ``pyhost install`` in the folder above the plugins."""
    processes = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            pyhost_command("install", *arguments),
            cwd=world,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def install(world, monkeypatch, capsys):
    """Runs ``pyhost install`` there, in this process: exit code, output, errors."""
    monkeypatch.chdir(world)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(["install", *arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def done(install):
    """Runs ``pyhost install``, which has to succeed without a warning: its output, without times."""

    def run(*arguments: str) -> list[str]:
        code, output, errors = install(*arguments)
        assert (code, errors) == (ExitCode.OK, "")
        return [line.partition(" in ")[0] for line in output.splitlines()]

    return run


def environments(world, name: str) -> list[Path]:
    found = sorted((world / "state" / "environments").glob(f"{name}-*/*/*-*"))
    return [folder for folder in found if folder.is_dir()]


def pinned(maker, name: str, *dependencies: str, code: str = CODE, **keys: object) -> Path:
    return maker.write(name, code, dependencies=list(dependencies), **keys)


def test_two_versions_of_a_package_run_side_by_side(maker, done):
    pinned(maker, "old", "demo==1.0", interpreters=2)
    pinned(maker, "new-one", "demo==2.0")
    assert done() == [
        "new-one: 2 packages installed",
        "  demo 2.0",
        "  helper 1.5",
        "old: 1 package installed",
        "  demo 1.0",
    ]
    host = maker.start()
    versions = {name: host.call(f"{name}.version") for name in ("old", "new-one")}
    assert (versions["old"][0], versions["new-one"][0]) == ("1.0", "2.0")
    assert len({file for _, file in versions.values()}) == 2
    assert host.call("new-one.load", "helper")
    with pytest.raises(pyhost.PluginError, match="No module named 'helper'"):
        host.call("old.load", "helper")


def test_the_path_is_the_plugin_the_standard_library_and_the_environment(maker, done, world):
    pinned(maker, "x", "demo")
    done()
    library = sysconfig.get_path("stdlib")
    packages = environments(world, "x")[0] / "packages"
    assert maker.start().call("x.path") == [
        str(maker.folder / "x"), library, f"{library}/lib-dynload", str(packages)
    ]  # fmt: skip


def test_packages_arrive_compiled(maker, done, world):
    pinned(maker, "x", "demo")
    done()
    packages = environments(world, "x")[0] / "packages"
    assert (packages / "__pycache__" / f"demo.{sys.implementation.cache_tag}.pyc").is_file()


def test_the_lock_file_is_what_gets_installed(maker, done, world):
    folder = pinned(maker, "x", "demo")
    write_wheel(world / "wheels", "demo", "1.5")
    (world / "wheels" / "demo-2.0-py3-none-any.whl").rename(world / "hidden.whl")
    assert done("x")[1:] == ["  demo 1.5"]
    lock = (folder / "pylock.toml").read_bytes()
    (world / "hidden.whl").rename(world / "wheels" / "demo-2.0-py3-none-any.whl")
    assert done() == ["nothing to install"]
    shutil.rmtree(world / "state")
    assert done()[1:] == ["  demo 1.5"]
    assert (folder / "pylock.toml").read_bytes() == lock
    assert done("--upgrade")[1:] == ["  demo 2.0", "  helper 1.5"]
    assert (folder / "pylock.toml").read_bytes() != lock
    assert done("--upgrade") == ["nothing to install"]


def test_changed_dependencies_are_resolved_anew_and_keep_what_fits(maker, done, world):
    write_wheel(world / "wheels", "other", "3.0")
    pinned(maker, "x", "demo<2")
    done()
    write_wheel(world / "wheels", "demo", "1.1")
    host = maker.start()
    pinned(maker, "x", "demo<2", "other")
    with pytest.raises(PluginLoadError) as caught:
        host.reload_plugin("x")
    assert caught.value.reason == (
        "its dependencies have changed since they were installed; run: "
        f"pyhost install --plugins {maker.folder} x"
    )  # fmt: skip
    assert host.call("x.version")[0] == "1.0"  # the version before serves on
    assert done() == ["x: 2 packages installed", "  demo 1.0", "  other 3.0"]
    host.reload_plugin("x")
    assert host.call("x.load", "other")


def test_a_plugin_whose_dependencies_are_not_installed_says_what_to_run(maker, done):
    pinned(maker, "my-plugin", "demo")
    host = maker.start(other="import pyhost\n@pyhost.export\ndef f(): return 1\n")
    status = host.status("my-plugin")
    assert (status.state, status.next_start) == ("fatal", None)  # another try would not help
    command = f"pyhost install --plugins {maker.folder} my-plugin"
    assert status.reason == f"its dependencies are not installed; run: {command}"
    assert host.call("other.f") == 1
    done(*command.split()[2:])
    assert host.rescan().loaded == ("my-plugin",)
    assert host.call("my-plugin.version")[0] == "2.0"


def test_another_state_folder_is_another_world(maker, done, world):
    pinned(maker, "x", "demo")
    done("--state", "elsewhere")
    assert maker.start().status("x").state == "fatal"
    with pyhost.Host(maker.folder, state=world / "elsewhere") as host:
        assert host.call("x.version")[0] == "2.0"
        done()
        pinned(maker, "x", "demo", "helper")
        with pytest.raises(PluginLoadError, match=f"--state {world}/elsewhere x$"):
            host.reload_plugin("x")


def test_a_rescan_takes_a_lock_file_that_changed(maker, done):
    pinned(maker, "x", "demo==1.0")
    done()
    host = maker.start()
    assert host.rescan().unchanged == ("x",)
    pinned(maker, "x", "demo")
    done("--upgrade")
    assert host.rescan().replaced == ("x",)
    assert host.call("x.version")[0] == "2.0"


def test_a_running_plugin_keeps_its_files_and_older_ones_go(maker, done, world):
    write_wheel(world / "wheels", "late", "1.0")
    write_wheel(world / "wheels", "late", "2.0")
    write_wheel(world / "wheels", "late", "3.0")
    pinned(maker, "x", "demo<2", "late==1.0")
    done()
    host = maker.start()
    pinned(maker, "x", "demo<2", "late==2.0")
    done()
    assert len(environments(world, "x")) == 2
    assert host.call("x.load", "late")  # for the first time, by an interpreter that began before
    host.reload_plugin("x")
    pinned(maker, "x", "demo<2", "late==3.0")
    done()
    assert len(environments(world, "x")) == 2
    assert host.call("x.load", "late")


def test_a_damaged_lock_file_is_made_anew(maker, done):
    folder = pinned(maker, "x", "demo==1.0")
    done()
    lock = (folder / "pylock.toml").read_text()
    (folder / "pylock.toml").write_text(f"<<<<<<< ours\n{lock}")
    assert "are not installed" in maker.start().status("x").reason
    done()
    assert (folder / "pylock.toml").read_text() == lock


def test_a_lock_file_that_came_from_elsewhere_leaves_what_runs(maker, done, world):
    write_wheel(world / "wheels", "late", "1.0")
    folder = pinned(maker, "x", "demo==1.0", "late")
    done()
    host = maker.start()
    (folder / "pylock.toml").unlink()
    pinned(maker, "x", "demo==2.0", "late")
    done()
    assert host.call("x.load", "late")


def test_a_single_file_says_it_in_its_script_comment(maker, done):
    comment = '# /// script\n# dependencies = ["demo==1.0"]\n# ///\n'
    touch_with(maker.folder / "tiny-tool.py", comment + CODE)
    assert done() == ["tiny-tool: 1 package installed", "  demo 1.0"]
    assert (maker.folder / "pylock.tiny-tool.toml").is_file()
    host = maker.start()
    assert host.call("tiny-tool.version")[0] == "1.0"
    touch_with(maker.folder / "tiny-tool.py", comment.replace("==1.0", "") + CODE)
    done()
    assert host.rescan().replaced == ("tiny-tool",)
    assert host.call("tiny-tool.version")[0] == "1.0"  # it fits, so it stays


def test_folders_that_path_files_name_are_on_the_path(maker, done, world):
    inside = {"inside/hidden.py": "", "x.pth": "# a comment\ninside\nnowhere\n"}
    write_wheel(world / "wheels", "pathy", "1.0", inside)
    pinned(maker, "x", "demo<2", "pathy")
    done()
    host = maker.start()
    assert host.call("x.load", "hidden") == str(environments(world, "x")[0] / "packages" / "inside" / "hidden.py")


def test_code_in_a_path_file_is_not_run_and_that_is_said(maker, install, world):
    write_wheel(world / "wheels", "hooked", "1.0", {"hook.pth": "import sys; sys.hooked = True\n"})
    pinned(maker, "x", "demo<2", "hooked", code=CODE + "\nassert not hasattr(sys, 'hooked')\n")
    code, _, errors = install()
    assert (code, errors) == (
        ExitCode.OK, "pyhost: plugin 'x': the code in hook.pth of hooked is not run in plugins' interpreters\n"
    )  # fmt: skip
    assert maker.start().call("x.load", "hooked")


@pytest.mark.parametrize("requirement", ["-e ../../lib", "lib @ ../../lib"])
def test_a_folder_of_source_beside_the_plugins(maker, done, world, requirement):
    write_source(world, "lib", "VALUE = 1\n")
    pinned(maker, "x", "demo<2", requirement)
    assert done() == ["x: 2 packages installed", "  demo 1.0", "  lib 1.0"]
    file = maker.start().call("x.load", "lib")
    assert Path(file).is_relative_to(world / "lib" / "src" if requirement.startswith("-e") else world / "state")


def test_an_editable_folder_is_read_anew_by_a_reload_and_a_copied_one_by_an_upgrade(maker, done, world):
    code = "import {0}, pyhost\n@pyhost.export\ndef value(): return {0}.VALUE\n"
    for name in ("edited", "copied"):
        write_source(world, name, "VALUE = 1\n")
        requirement = f"-e ../../{name}" if name == "edited" else f"{name} @ ../../{name}"
        pinned(maker, f"with-{name}", requirement, code=code.format(name))
    done()
    host = maker.start()
    for name in ("edited", "copied"):
        touch_with(world / name / "src" / f"{name}.py", "VALUE = 22\n")
        host.reload_plugin(f"with-{name}")
    assert (host.call("with-edited.value"), host.call("with-copied.value")) == (22, 1)
    assert done("--upgrade", "with-copied") == ["with-copied: 1 package installed", "  copied 1.0"]
    host.reload_plugin("with-copied")
    assert host.call("with-copied.value") == 22


def test_an_editable_install_by_a_hook_says_why_it_cannot_work_and_what_can_be_done(maker, install, done, world):
    write_source(world, "lib", "VALUE = 1\n", BY_HOOK)
    folder = pinned(maker, "x", "-e ../../lib", code="import lib\n")
    code, output, errors = install()
    assert code == ExitCode.OK
    assert output.splitlines()[1:] == ["  lib 1.0"]
    reason = (
        "lib cannot be imported, as its editable install is code in __editable__.lib.pth, which is not run in plugins' "
        'interpreters; write "lib @ FOLDER" in place of "-e FOLDER", or let its build name a folder there (setuptools: '
        'config-settings = { editable_mode = "compat" } under [pip] in a uv.toml); then run: pyhost install --upgrade'
    )
    assert errors == f"pyhost: plugin 'x': {reason}\n"
    host = maker.start()
    assert host.status("x").reason == f"ModuleNotFoundError: No module named 'lib'; {reason}"
    (folder / "uv.toml").write_text('[pip]\nconfig-settings = { editable_mode = "compat" }\nno-index = true\n')
    done("--upgrade")
    assert host.rescan().loaded == ("x",)


def test_a_wheel_as_it_is(maker, done, world):
    wheel = write_wheel(world / "aside", "direct", "4.0")
    pinned(maker, "x", "demo<2", f"direct @ ../../aside/{wheel.name}")
    assert done()[1:] == ["  demo 1.0", "  direct 4.0"]


def test_the_hosts_packages_are_there_for_who_inherits(maker, done):
    pinned(maker, "heir", "demo", inherit=True)
    pinned(maker, "poor", "demo")
    maker.write("bare", "import click, pyhost\n@pyhost.export\ndef f(): return click.__file__\n", inherit=True)
    done()
    host = maker.start()
    assert Path(host.call("heir.load", "click")).is_relative_to(sysconfig.get_path("purelib"))
    assert Path(host.call("bare.f")).is_relative_to(sysconfig.get_path("purelib"))
    with pytest.raises(pyhost.PluginError, match="No module named 'click'"):
        host.call("poor.load", "click")


def test_the_plugins_own_version_comes_before_the_hosts(maker, done, world):
    write_wheel(world / "wheels", "click", "0.1")
    pinned(maker, "x", "demo<2", "click==0.1", inherit=True)
    done()
    assert Path(maker.start().call("x.load", "click")).is_relative_to(world / "state")


def test_no_package_hides_the_standard_library(maker, done, world):
    write_wheel(world / "wheels", "colorsys", "9.0")
    pinned(maker, "x", "demo<2", "colorsys")
    done()
    assert maker.start().call("x.load", "colorsys").startswith(sysconfig.get_path("stdlib"))


def test_a_replaced_interpreter_has_the_environment_of_its_version(maker, done, world):
    pinned(
        maker,
        "x",
        "demo==1.0",
        limits={"memory": "64MiB"},
        code=CODE + "\n@pyhost.export\ndef hog():\n    return len([bytes(1 << 16) for _ in iter(int, 1)])\n",
    )
    done()
    host = maker.start()
    before = host.call("x.version")
    pinned(maker, "x", "demo==2.0", code=CODE)
    done()
    with pytest.raises(pyhost.errors.CallError):
        host.call("x.hog")
    assert host.call("x.version") == before


def test_without_uv_it_says_how_to_get_it(maker, install, world, monkeypatch):
    pinned(maker, "x", "demo")
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", str(world))
    error = 'pyhost: pyhost install needs uv; run: pip install "pyhost[install]", or: pip install uv\n'
    assert install() == (ExitCode.INSTALL_FAILED, "", error)
    monkeypatch.setenv("UV", "/nowhere/uv")
    error = "pyhost: the environment of plugin 'x' cannot be made: /nowhere/uv: No such file or directory\n"
    assert install() == (ExitCode.INSTALL_FAILED, "", error)


def test_what_cannot_be_resolved_is_said_in_uvs_words_and_stops_no_other(maker, install, world):
    folder = pinned(maker, "bad", "demo==3.0")
    pinned(maker, "good", "demo==1.0")
    code, output, errors = install()
    assert code == ExitCode.INSTALL_FAILED
    assert output.splitlines()[1:] == ["  demo 1.0"]
    assert errors.startswith("pyhost: the dependencies of plugin 'bad' could not be resolved:\n  ")
    assert "demo==3.0" in errors
    assert not list(folder.glob("pylock*"))
    assert environments(world, "bad") == []


def test_what_cannot_be_installed_leaves_what_was_there(maker, install, done, world):
    folder = pinned(maker, "x", "demo==1.0")
    done()
    lock = (folder / "pylock.toml").read_bytes()
    wheel = write_wheel(world / "wheels", "torn", "1.0")
    (world / "wheels" / "torn-1.0-py3-none-any.whl").write_bytes(wheel.read_bytes()[:-30])
    pinned(maker, "x", "demo==1.0", "torn")
    code, _, errors = install()
    assert code == ExitCode.INSTALL_FAILED
    assert errors.startswith("pyhost: the dependencies of plugin 'x' could not be ")
    assert (folder / "pylock.toml").read_bytes() == lock
    assert len(environments(world, "x")) == 1
    pinned(maker, "x", "demo==1.0")
    assert maker.start().call("x.version")[0] == "1.0"


def test_a_folder_that_cannot_be_made_is_named(maker, install, world):
    (world / "taken").write_text("a file")
    pinned(maker, "x", "demo")
    code, _, errors = install("--state", "taken")
    assert code == ExitCode.INSTALL_FAILED
    assert errors.startswith(f"pyhost: the environment of plugin 'x' cannot be made: {world}/taken/environments")
    assert errors.endswith("Not a directory\n")


def test_plugins_that_are_not_there_or_broken_or_need_nothing(maker, install):
    pinned(maker, "text-tools", "demo")
    maker.write("plain", "")
    touch_with(maker.folder / "broken" / "plugin.toml", "[plugin]\n")
    code, output, errors = install("text-tool")
    assert (code, output, errors) == (
        ExitCode.USAGE, "", f"pyhost: there is no plugin 'text-tool' in {maker.folder}; did you mean text-tools?\n"
    )  # fmt: skip
    assert install("plain") == (ExitCode.OK, "nothing to install\n", "")
    code, output, errors = install()
    assert code == ExitCode.INSTALL_FAILED
    assert output.startswith("text-tools: 2 packages installed in ")
    assert errors.startswith(f"pyhost: {maker.folder}/broken/plugin.toml: plugin.name is missing")
    assert install("--plugins", "nowhere")[0] == ExitCode.USAGE


def test_json_says_what_is_installed(maker, install, world):
    pinned(maker, "x", "demo")
    for is_new in (True, False):
        code, output, errors = install("--json")
        assert (code, errors) == (ExitCode.OK, "")
        (item,) = json.loads(output)["plugins"]
        assert item.pop("seconds") > 0
        assert item == {
            "name": "x",
            "error": "",
            "is_new": is_new,
            "environment": str(environments(world, "x")[0]),
            "packages": {"demo": "2.0", "helper": "1.5"},
            "warnings": [],
        }


class Gate:
    """Holds a package's build until it is opened."""

    def __init__(self, source: Path) -> None:
        self._file = source / "gate"
        self._file.touch()
        for name in ("gate.entered", "gate.open"):
            os.mkfifo(source / name)
        # Open for reading and writing, so that nobody waits for the other side to open.
        self._entered = os.open(source / "gate.entered", os.O_RDWR | os.O_NONBLOCK)
        self._open = os.open(source / "gate.open", os.O_RDWR | os.O_NONBLOCK)

    def wait_entered(self) -> None:
        ready, _, _ = select.select([self._entered], [], [], PATIENCE)
        assert ready, "the build did not begin"
        os.read(self._entered, 1)

    def open(self) -> None:
        self._file.unlink(missing_ok=True)
        os.write(self._open, b"!" * 9)

    def close(self) -> None:
        self.open()
        os.close(self._entered)
        os.close(self._open)


@pytest.fixture
def gate(world):
    """A gate in the build of ``lib``, a folder of source beside the plugins."""
    made = Gate(write_source(world, "lib", "VALUE = 1\n", BY_PATH))
    yield made
    made.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_installation_that_is_cut_short_leaves_what_was_there(maker, done, world, gate, start_install, number):
    folder = pinned(maker, "x", "demo==1.0")
    done()
    lock = (folder / "pylock.toml").read_bytes()
    pinned(maker, "x", "demo==1.0", "lib @ ../../lib")
    process = start_install()
    gate.wait_entered()
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE) if number == signal.SIGINT else (process.wait(PATIENCE), "")
    assert process.returncode == (ExitCode.INTERRUPTED if number == signal.SIGINT else -number)
    assert errors.strip() == ""
    # The interrupted one leaves the plugin as it was, and nothing that a rescan would take for a change.
    assert (folder / "pylock.toml").read_bytes() == lock
    pinned(maker, "x", "demo==1.0")
    host = maker.start()
    assert host.call("x.version")[0] == "1.0"
    assert host.rescan().unchanged == ("x",)
    # The next one waits for what the killed one left running.
    pinned(maker, "x", "demo==1.0", "lib @ ../../lib")
    following = start_install()
    gate.open()
    output, errors = following.communicate(timeout=PATIENCE)
    assert (following.returncode, errors) == (ExitCode.OK, "")
    assert output.splitlines()[1:] == ["  demo 1.0", "  lib 1.0"]
    host.reload_plugin("x")
    assert host.call("x.load", "lib")
    home = environment.home_of(manifest.load(folder), None)
    assert len([path for path in home.iterdir() if path.is_dir()]) == 2  # what it left is gone
    assert sorted(path.name for path in folder.glob("pylock*")) == ["pylock.toml"]


def test_two_installations_at_once_make_one_environment(maker, world, gate, start_install):
    pinned(maker, "x", "demo==1.0", "lib @ ../../lib")
    first = start_install()
    gate.wait_entered()
    second = start_install()
    gate.open()
    outcomes = [process.communicate(timeout=PATIENCE) for process in (first, second)]
    assert [(process.returncode, errors) for process, (_, errors) in zip((first, second), outcomes, strict=True)] == [
        (ExitCode.OK, ""), (ExitCode.OK, "")
    ]  # fmt: skip
    assert outcomes[0][0].splitlines()[1:] == ["  demo 1.0", "  lib 1.0"]
    assert outcomes[1][0] == "nothing to install\n"
    assert len(environments(world, "x")) == 1


def test_a_server_takes_what_was_installed_when_it_loads_the_plugin_anew(maker, done, start_server, world, monkeypatch):
    monkeypatch.delenv("PYHOST_STATE")
    state = str(world / "its state")
    pinned(maker, "x", "demo==1.0", inherit=True)
    done("--state", state)
    server = start_server(maker.folder, "--state", state)
    assert server.lines[0] == "plugin x 0 runs in 1 interpreter"
    with server.unix() as client:
        pinned(maker, "x", "demo==2.0", inherit=True)
        refused = client.post("/plugins/x/reload").json()
        assert f"run: pyhost install --plugins {maker.folder} --state '{state}' x" in refused["detail"]
        done("--state", state)
        assert client.post("/plugins/x/reload").status_code == 200
        assert client.post("/call/x/version").json()["result"][0] == "2.0"
        assert client.post("/call/x/load", json=["click"]).json()["result"].startswith(sysconfig.get_path("purelib"))


def test_a_server_that_watches_takes_what_was_installed_by_itself(maker, done, start_server):
    pinned(maker, "x", "demo==1.0")
    done()
    server = start_server(maker.folder, "--watch")
    pinned(maker, "x", "demo==2.0")
    done()
    deadline = time.monotonic() + PATIENCE
    with server.unix() as client:
        while client.post("/call/x/version").json()["result"][0] != "2.0":
            assert time.monotonic() < deadline
            time.sleep(0.02)
