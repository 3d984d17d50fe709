"""Fixtures of all tests: hosts over plugins written on the spot, barriers, programs, and a guard against hanging."""

from __future__ import annotations

import faulthandler
import os
import sys
from pathlib import Path

import pytest

# What ended interpreters leave in memory becomes inaccessible: whoever still reaches into it dies there. Before pyhost is
# imported, and for the processes that tests start.
os.environ.setdefault("PYHOST_RECLAIM", "protect")

# So that every test module can import `support`: under importlib mode no test folder is importable by itself.
sys.path.insert(0, str(Path(__file__).parent))

from support.barriers import BarrierMaker
from support.plugins import HostMaker
from support.programs import Program

HANG = 180
"""Seconds after which one test has hung: all threads' tracebacks are printed and the run ends."""

_terminal = pytest.StashKey[int]()
_status = pytest.StashKey[int]()


def pytest_configure(config):
    # Standard error as it is before a test's output is captured.
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        config.stash[_terminal] = os.dup(2)


def pytest_sessionfinish(session, exitstatus):
    session.config.stash[_status] = exitstatus


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    core = sys.modules.get("pyhost._core")
    if core is not None and core.left_count() > 0:
        # Python cannot end in order while an interpreter of a test is left, and pytest's exit code would be lost.
        sys.stdout.flush()
        os._exit(config.stash[_status] or pytest.ExitCode.TESTS_FAILED)
    os.close(config.stash[_terminal])


@pytest.fixture(autouse=True)
def hang_guard(request):
    faulthandler.dump_traceback_later(HANG, exit=True, file=request.config.stash[_terminal])
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def make_barrier():
    """Makes barriers; all are open when the test ends."""
    barriers = BarrierMaker()
    yield barriers
    barriers.close()


@pytest.fixture
def barrier(make_barrier):
    return make_barrier()


@pytest.fixture
def maker(tmp_path, make_barrier):
    """Starts hosts over ``tmp_path / "plugins"``; they are closed before the pipes of the barriers."""
    maker = HostMaker(tmp_path / "plugins")
    yield maker
    make_barrier.release()
    maker.close()


@pytest.fixture(scope="module")
def module_maker(tmp_path_factory):
    """The same for hosts that a whole module uses."""
    maker = HostMaker(tmp_path_factory.mktemp("module") / "plugins")
    yield maker
    maker.close()


@pytest.fixture
def start_program(tmp_path):
    """Starts programs, each in a folder of its own."""
    programs = []

    def start(code, options=(), **names):
        programs.append(Program(tmp_path / f"program-{len(programs)}", code, options, **names))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()


@pytest.fixture
def run_program(start_program):
    """Runs a program to its end; its outcome."""

    def run(code, options=(), **names):
        return start_program(code, options, **names).finish()

    return run
