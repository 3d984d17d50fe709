"""Python programs that run in a process of their own, where exit codes, signals and crashes can be looked at."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from support import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

_TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - for PYTHONPATH

_HEAD = f"""
import faulthandler, os, sys
from pathlib import Path
faulthandler.enable()
faulthandler.dump_traceback_later({PATIENCE}, exit=True)
import pyhost
from pyhost import _core, loader
from support.barriers import Barrier
from support.plugins import COMMON, HostMaker
loader.STOP_LIMIT = 0.5  # what does not end is waited for no longer than that
maker = HostMaker(Path(sys.argv[1]))
"""


def _environment() -> dict[str, str]:
    """The environment with this folder to import from, and without what makes Python other than users have it."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "PYTHONPATH": _TESTS,
    }


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended."""

    code: int
    """The exit code; negative for the signal that ended it."""
    output: str
    errors: str


class Program:
    """A program that has started.

    Its code has ``maker``, a HostMaker over a folder of its own, and the ``names``, such as the code of plugins.
    ``options`` are Python's.
    """

    def __init__(self, folder: Path, code: str, options: tuple[str, ...] = (), **names: str) -> None:
        folder.mkdir(parents=True)
        script = folder / "program.py"
        given = "".join(f"{name} = {text!r}\n" for name, text in names.items())
        script.write_text(_HEAD + given + textwrap.dedent(code), encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, *options, str(script), str(folder / "plugins")],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def output(self) -> IO[str]:
        """What it prints, as it comes."""
        assert self.process.stdout is not None
        return self.process.stdout

    def finish(self) -> Outcome:
        """Wait for its end."""
        try:
            output, errors = self.process.communicate(timeout=2 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, errors = self.process.communicate()
        return Outcome(self.process.returncode, output, errors)

    def kill(self) -> None:
        """End it if it still runs."""
        if self.process.returncode is None:
            self.process.kill()
            self.process.communicate()
