"""The stress test of memory, run small: what it measures, and how it answers wrong arguments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
PATIENCE = 120.0

sys.path.insert(0, str(SCRIPTS))
import stress_report  # noqa: E402
from stress_report import Report  # noqa: E402
from stress_sides import Alive, Churn, Known, KnownAccount  # noqa: E402


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / "stress_memory.py"), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, env=os.environ | environment, check=False
    )


def run_after(statement: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in a Python that has executed the statement."""
    program = (
        f"import runpy, sys; sys.path.insert(0, {str(SCRIPTS)!r}); sys.argv = ['stress_memory.py', *{arguments!r}]\n"
        f"{statement}\n"
        "runpy.run_module('stress_memory', run_name='__main__')\n"
    )
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def measured(tmp_path: Path, *arguments: str | Path):
    """The document that a run writes, and what it prints."""
    file = tmp_path / "figures.json"
    process = run(*arguments, "--json", file)
    assert process.returncode == 0, process.stderr
    return json.loads(file.read_text()), process.stdout


def test_interpreters_beside_others(tmp_path):
    found, printed = measured(tmp_path, "--interpreters", "2,1", "--workload", "json", "--vs", "process,stdlib")
    assert [(item["count"], item["side"]) for item in found["alive"]] == [
        (count, side) for count in (1, 2) for side in ("pyhost", "process", "stdlib")
    ]
    for item in found["alive"]:
        assert item["rss"] > item["count"] * 500_000  # no CPython is smaller
        assert item["pss"] > item["count"] * 500_000
        assert len(item["creation"]) == len(item["end"]) == item["count"]
        assert min(item["creation"] + item["end"]) > 0
        assert (item["account"] is not None) == (item["side"] == "pyhost")
        if item["side"] == "process":
            assert item["left"] < 500_000  # nothing of them, but a page here and there of those that go on
    assert [check["name"] for check in found["checks"]][:2] == [
        "memory of one more, 1 alive: pyhost / process",
        "memory of one more, 1 alive: pyhost / stdlib",
    ]
    assert {check["met"] for check in found["checks"]} == {None}, "so few are held against no target"
    assert "json on Python" in printed


def test_churn(tmp_path):
    found, printed = measured(tmp_path, "--churn", "3", "--vs", "stdlib")
    assert found["alive"] == []
    assert [(item["side"], len(item["rss"])) for item in found["churn"]] == [("pyhost", 3), ("stdlib", 3)]
    assert found["slopes"].keys() == {"pyhost", "stdlib"}
    assert "growth in a cycle, 3 cycles: stdlib" in printed


def test_accounts_of_known_allocations(tmp_path):
    found, printed = measured(tmp_path, "--workload", "known", "--interpreters", "5")
    (known,) = found["known"]
    assert len({account["kind"] for account in known["accounts"]}) == 5
    assert len({account["told"] for account in known["accounts"]}) == 5
    for account in known["accounts"]:
        assert account["grown"] == pytest.approx(account["told"], rel=0.05), account["kind"]
    assert known["account"] > sum(account["grown"] for account in known["accounts"])
    assert "furthest account from what its plugin was told, of 5" in printed


def test_without_accounts(tmp_path):
    process = run("--workload", "known", PYHOST_MEMORY_ACCOUNTS="0")
    assert process.returncode == 1
    assert "pyhost keeps no memory accounts here: run without PYHOST_MEMORY_ACCOUNTS=0" in process.stderr
    assert process.stderr.endswith("stress_memory: measuring 50 known on pyhost: exit code 1\n")


def test_a_plugin_does_the_same_work_on_every_side(tmp_path):
    place, marks = tmp_path / "plugin", tmp_path / "marks"
    place.mkdir()
    (place / "plugin.toml").write_text('[plugin]\nname = "marker"\ninterpreters = 3\n[limits]\ndeadline = "9s"\n')
    (place / "marker.py").write_text(
        "import pyhost, helper\n"
        "@pyhost.export\nasync def coroutine(): helper.mark('wrong')\n"
        "@pyhost.export\ndef needs(text): helper.mark('wrong')\n"
        "@pyhost.export\ndef mark(text='right'): helper.mark(text)\n"
    )
    (place / "helper.py").write_text(f"def mark(text):\n    print(text, file=open({str(marks)!r}, 'a'))\n")
    found, _ = measured(tmp_path, "--interpreters", "2", "--workload", place, "--vs", "process,stdlib")
    assert found["workload"] == "plugin"
    assert marks.read_text().split() == ["right"] * 3 * (2 + 1), "three sides, each with one that warms up"


def test_the_plot(tmp_path):
    pytest.importorskip("matplotlib")
    for number, arguments in enumerate(
        (["--interpreters", "1,2", "--churn", "2", "--vs", "stdlib"], ["--workload", "known", "--interpreters", "2"])
    ):
        file = tmp_path / f"{number}.png"
        process = run(*arguments, "--plot", file)
        assert process.returncode == 0, process.stderr
        assert file.read_bytes().startswith(b"\x89PNG")


def test_a_plot_without_matplotlib():
    process = run_after("sys.modules['matplotlib'] = None", "--plot", "memory.png")
    assert process.returncode == 2
    assert process.stderr == "stress_memory.py: argument --plot: needs matplotlib; run with `uv run --group plot`\n"


def test_a_missed_target_is_exit_code_1():
    stricter = "import stress_report; stress_report.SHARE_OF['bare', 'stdlib'] = 0.01"
    process = run_after(stricter, "--interpreters", "10", "--vs", "stdlib")
    assert process.returncode == 1
    assert "<= 0.01 MISSED" in process.stdout


def alive(side: str, count: int, pss: int) -> Alive:
    return Alive(side, count, account=None, rss=2 * pss, pss=pss, left=0, creation=[0.1] * count, end=[0.1] * count)


@pytest.mark.parametrize(
    ("workload", "other", "share", "target", "met"),
    [
        ("bare", "stdlib", 0.8, "<= 0.8", True),
        ("bare", "stdlib", 0.81, "<= 0.8", False),
        ("bare", "process", 2.0, "", None),
        ("asyncio", "process", 0.5, "<= 0.5", True),
        ("asyncio", "process", 0.51, "<= 0.5", False),
        ("asyncio", "stdlib", 2.0, "", None),
    ],
)
def test_memory_is_held_against_the_others(workload, other, share, target, met):
    found = [alive("pyhost", 10, int(share * 1000)), alive(other, 10, 1000)]
    (check,) = stress_report.checks(Report("3.13.0", workload, found, [], []))
    assert (check.value, check.target, check.met) == (f"{share:.2f}", target, met)


@pytest.mark.parametrize(
    ("side", "cycles", "growth", "target", "met"),
    [
        ("pyhost", 100, 8000, "<= 8.0 kB", True),
        ("pyhost", 100, 8001, "<= 8.0 kB", False),
        ("pyhost", 99, 8001, "", None),
        ("stdlib", 100, 8001, "", None),
    ],
)
def test_growth_is_held_against_its_target(side, cycles, growth, target, met):
    churn = Churn(side, [growth * cycle for cycle in range(cycles)])
    (check,) = stress_report.checks(Report("3.13.0", "bare", [], [churn], []))
    assert (check.target, check.met) == (target, met)


@pytest.mark.parametrize(
    ("grown", "account", "met"), [(1050, 900, (True, True)), (949, 900, (False, True)), (1000, 899, (True, False))]
)
def test_accounts_are_held_against_what_is_known(grown, account, met):
    accounts = [KnownAccount("texts", 1000, 1000)] * 9 + [KnownAccount("texts", 1000, grown)]
    found = stress_report.checks(Report("3.13.0", "known", [], [], [Known(accounts, account, 1000)]))
    assert tuple(check.met for check in found) == met


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--interpreters", "0"], "argument --interpreters: '0' is not a whole number from 1"),
        (["--interpreters", "1,,2"], "argument --interpreters: '' is not a whole number from 1"),
        (["--interpreters", "many"], "argument --interpreters: 'many' is not a whole number from 1"),
        (["--churn", "1"], "argument --churn: '1' is not a whole number from 2"),
        (["--vs", "threads"], "argument --vs: 'threads' is none of process, stdlib"),
        (["--workload", "nothing"], "--workload nothing: there is neither a plugin there nor a workload of that name"),
        (["--workload", "known", "--vs", "stdlib"], "known checks pyhost's accounts; leave out --vs and --churn"),
        (["--json", "/nowhere/file"], "argument --json: '/nowhere/file' cannot be written"),
        (["--json", "/"], "argument --json: '/' cannot be written"),
        (["--unknown"], "unrecognized arguments: --unknown"),
    ],
)
def test_wrong_arguments(arguments, message):
    process = run(*arguments)
    assert process.returncode == 2
    assert process.stdout == ""
    (line,) = process.stderr.splitlines()
    assert line.startswith("stress_memory")
    assert message in line


def test_a_plugin_that_does_not_run(tmp_path):
    (tmp_path / "broken.py").write_text("raise RuntimeError('no luck')\n")
    process = run("--workload", tmp_path / "broken.py")
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1] == (
        f"stress_memory: --workload {tmp_path}/broken.py: the plugin does not run: RuntimeError: no luck"
    )


def test_a_manifest_that_is_wrong(tmp_path):
    (tmp_path / "plugin.toml").write_text("[plugin]\n")
    process = run("--workload", tmp_path)
    assert process.returncode == 2
    (line,) = process.stderr.splitlines()
    assert f"--workload {tmp_path}/plugin.toml: plugin.name is missing" in line
