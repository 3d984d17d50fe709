"""Programs in C and C++ against an installed pyhost: how they are built, and the examples, which run."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import PATIENCE

from pyhost import _core

ROOT = Path(__file__).parents[2]
HOST_TESTS = ROOT / "tests" / "host"
EXAMPLES = ROOT / "examples"
PAGE = (ROOT / "docs" / "library.md").read_text()


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed here: {', '.join(missing)}")


def run(*command: object, given: str | None = None, patience: float = PATIENCE, **settings: str) -> str:
    ordinary = {name: value for name, value in os.environ.items() if not name.startswith(("PYHOST_", "PYTHON"))}
    ended = subprocess.run(
        [str(part) for part in command],
        input=given,
        capture_output=True,
        text=True,
        timeout=patience,
        env=ordinary | settings,
        check=False,
    )
    assert ended.returncode == 0, f"{command} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}"
    return ended.stdout


@dataclass(frozen=True)
class Installed:
    """A virtual environment in which pyhost is installed as from a wheel."""

    python: Path

    def config(self, *options: str) -> str:
        return run(self.python, "-P", "-m", "pyhost", "config", *options).strip()

    def compile(self, source: Path, target: Path, *options: str) -> Path:
        flags = self.config("--cflags", "--libs").split()
        compiler = "c++" if source.suffix == ".cpp" else "cc"
        run(compiler, "-O1", "-g", "-Wall", "-Wextra", "-Werror", *options, source, "-o", target, *flags)
        return target


def make_environment(folder: Path) -> Path:
    """A new environment with a wheel of this checkout, and with the packages of this one; its Python."""
    import mesonpy

    before = Path.cwd()
    os.chdir(ROOT)
    try:
        wheel = folder / mesonpy.build_wheel(str(folder))
    finally:
        os.chdir(before)
    venv.create(folder / "venv", symlinks=True)
    packages = next((folder / "venv" / "lib").glob("python3*")) / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # The path alone: the finder of an editable install, which is named there, too, is not run.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv" / "bin" / "python"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    if (Path(_core.__file__).parent / "include" / "pyhost.h").is_file():
        return Installed(Path(sys.executable))
    return Installed(make_environment(tmp_path_factory.mktemp("installed")))


@pytest.fixture(scope="module")
def program(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed.compile(HOST_TESTS / "library.cpp", tmp_path_factory.mktemp("program") / "library", "-std=c++17")


def test_config_names_what_is_there(installed: Installed) -> None:
    values = json.loads(installed.config("--json"))
    include = Path(values["cflags"].removeprefix("-I"))
    assert (include / "pyhost.h").is_file()
    assert (include / "pyhost.hpp").is_file()
    assert (Path(values["cmakedir"]) / "pyhostConfig.cmake").is_file()
    assert (Path(values["pkgconfigdir"]) / "pyhost.pc").is_file()
    assert installed.config("--cflags") == values["cflags"]
    assert installed.config("--cflags", "--libs") == f"{values['cflags']} {values['libs']}"
    assert installed.config().splitlines() == [f"{name}: {value}" for name, value in values.items()]


def test_the_header_is_c11_and_cpp_alone(installed: Installed, tmp_path: Path) -> None:
    source = tmp_path / "header.c"
    source.write_text("#include <pyhost.h>\nint main(void) { return pyhost_version() == 0; }\n")
    run(installed.compile(source, tmp_path / "header", "-std=c11", "-pedantic"))


@needs("cc")
@pytest.mark.parametrize("noun", ["call", "channel", "runtime", "value"])
def test_the_c_tests_hold_for_the_installed_library(installed: Installed, tmp_path: Path, noun: str) -> None:
    program = installed.compile(HOST_TESTS / f"test_api_{noun}.c", tmp_path / noun, "-D_GNU_SOURCE", "-pthread")
    run(program, PYHOST_PYTHON=str(installed.python), PYHOST_TEST_PLUGINS=str(HOST_TESTS / "plugins"))


@needs("c++")
def test_cpp_programs_use_all_of_it(program: Path) -> None:
    assert run(program, HOST_TESTS / "plugins", HOST_TESTS / "more" / "doubler.py") == "all right\n"


@needs("c++", "valgrind")
def test_nothing_of_pyhost_leaks(program: Path) -> None:
    run(
        "valgrind",
        "--fair-sched=yes",  # it lets one thread run at a time, and one that loops would keep the others waiting
        "--error-exitcode=99",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite",
        f"--suppressions={HOST_TESTS / 'valgrind.supp'}",
        program,
        HOST_TESTS / "plugins",
        HOST_TESTS / "more" / "doubler.py",
        patience=10 * PATIENCE,
    )


@needs("c++", "cmake")
def test_a_pipeline_built_by_cmake(installed: Installed, tmp_path: Path) -> None:
    source = EXAMPLES / "pipeline"
    run("cmake", "-S", source, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={installed.config('--cmakedir')}")
    run("cmake", "--build", tmp_path)
    lines = "Oslo 9, Cairo 10\n" * 100 + "Quito 14, Lima 3\n"
    assert run(tmp_path / "pipeline", source / "stages", 8, given=lines) == "cold 100\nunknown 1\nusual 1\nwarm 100\n"


@needs("cc")
def test_an_event_loop_in_c(installed: Installed, tmp_path: Path) -> None:
    source = EXAMPLES / "rules"
    rules = installed.compile(source / "rules.c", tmp_path / "rules")
    events = "".join(f"login user{i} {i % 9}\n" for i in range(1000))
    verdicts = run(rules, source / "plugins", given=events).splitlines()
    assert sorted(verdicts) == sorted(f"{'lock' if i % 9 > 5 else 'allow'} user{i}" for i in range(1000))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


SOURCES = (
    ("cpp", "wordcount", "words.cpp"),
    ("cpp", "pyhost::Channel lines", "shout.cpp"),
    ("c", "int main", "words.c"),
    ("cmake", "", "CMakeLists.txt"),
    ("meson", "", "meson.build"),
    ("python", "# plugins/shout.py", "plugins/shout.py"),
)
"""The page's sources: their language, what only that one holds, and where it belongs."""


def sources() -> dict[str, str]:
    found = {}
    for language, mark, path in SOURCES:
        (found[path],) = (block for block in blocks(language) if mark in block)
    return found


def commands() -> dict[str, tuple[str, str]]:
    """What the page says to type, and what it says comes of it, by the program that it is about."""
    found = {}
    for block in blocks("console"):
        typed = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
        said = [line for line in block.splitlines() if not line.startswith("$ ")]
        names = ("shout", "meson", "cmake", "pkg-config", "c++", "cc")
        program = next(name for name in names if any(f"{name} " in line or f"{name}.cpp" in line for line in typed))
        assert program not in found
        found[program] = ("\n".join(typed), "\n".join(said or ["a 2", "b 1"]) + "\n")
    return found


@pytest.mark.parametrize(
    "about",
    [
        pytest.param(name, marks=needs(*also), id=name)
        for name, *also in [
            ["c++", "c++"],
            ["cc", "cc"],
            ["shout", "c++"],
            ["cmake", "cmake", "c++"],
            ["pkg-config", "pkg-config", "cc"],
            ["meson", "meson", "ninja", "pkg-config", "cc"],
        ]
    ],
)
def test_what_the_page_says_runs(installed: Installed, tmp_path: Path, about: str) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "wordcount").symlink_to(ROOT / "plugins" / "wordcount")
    for path, text in sources().items():
        (tmp_path / path).write_text(text)
    command = tmp_path / "bin" / "pyhost"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {installed.python} -P -m pyhost "$@"\n')
    command.chmod(0o755)
    typed, expected = commands()[about]
    said = run(
        "bash", "-c", f"set -e; cd {tmp_path}\n{typed}", PATH=f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    )
    assert said.endswith(expected)


def test_the_pages_blocks_are_programs_that_run_or_parts_of_one() -> None:
    assert set(commands()) == {"c++", "cc", "shout", "cmake", "pkg-config", "meson"}
    programs = [block for language in ("c", "cpp", "python") for block in blocks(language) if "#include" in block]
    assert set(programs) <= set(sources().values())


def sqlite_is_there() -> bool:
    return shutil.which("sqlite3") is not None and Path("/usr/include/sqlite3ext.h").is_file()


@needs("cc")
@pytest.mark.skipif(not sqlite_is_there(), reason="not installed here: sqlite3, or its headers")
def test_sql_calls_plugins_in_the_sqlite3_shell(installed: Installed, tmp_path: Path) -> None:
    source = EXAMPLES / "sqlite"
    extension = installed.compile(source / "sqlite_pyhost.c", tmp_path / "sqlite_pyhost.so", "-fPIC", "-shared")
    statements = f"""
        .load {extension}
        SELECT pyhost_load('{source / "plugins"}');
        SELECT py('text.reverse', 'abc'), py('text.reverse', NULL) IS NULL, py('text.digits', -12345);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT sum(py('text.digits', i)) FROM n;
    """
    assert run("sqlite3", ":memory:", given=textwrap.dedent(statements)).split() == ["cba|1|6", "2893"]
