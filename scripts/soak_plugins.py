"""The plugins of ``soak.py``: some that must never fail a call, and some that do everything wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "import pyhost\n"

STEADY = """
@pyhost.export
def add(left: int, right: int) -> int:
    return left + right
"""

DIRECT = """
@pyhost.export(direct=True)
def add(left: int, right: int) -> int:
    return left + right
"""

COROUTINES = """
import asyncio

@pyhost.export
async def add(left: int, right: int) -> int:
    await asyncio.sleep(0.001)
    return left + right
"""

CHAIN = """
@pyhost.export
def add(left: int, right: int) -> int:
    return pyhost.call("steady.add", left, right)
"""

STATE = """
count = 0

@pyhost.on_start
def start(state):
    global count
    count = state or 0

@pyhost.on_reload
def hand_over():
    return count

@pyhost.export
def add(left: int, right: int) -> int:
    global count
    count += 1
    return left + right
"""

HUNGRY = """
@pyhost.export
def add(left: int, right: int) -> int:
    return left + right

@pyhost.export
def grow(insists: bool):
    pieces = []
    while True:
        try:
            pieces.append(bytearray(1 << 16))
        except MemoryError:
            if not insists:
                raise
"""

RUNAWAY = """
import asyncio, threading, time

@pyhost.export
def busy():
    while True:
        pass

@pyhost.export
def swallow(seconds: float):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            while time.monotonic() < end:
                pass
        except BaseException:
            pass

@pyhost.export
def sleep(seconds: float):
    time.sleep(seconds)

@pyhost.export
def compute(power: int):
    return len(str(7 ** power % 10)) + (3 ** power) % 7

@pyhost.export
def leave_thread(seconds: float):
    threading.Thread(target=time.sleep, args=(seconds,)).start()

@pyhost.export
def exit():
    raise SystemExit(3)
"""

LOOP = """
import asyncio, time

kept = []

@pyhost.export
async def never_yields():
    while True:
        pass

@pyhost.export
async def hold_up(seconds: float):
    async def spin():
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
    kept[:] = [asyncio.create_task(spin())]

@pyhost.export
async def wait():
    await asyncio.sleep(60)
"""


@dataclass(frozen=True, slots=True)
class SoakPlugin:
    """A plugin, and what may be done to it."""

    name: str
    code: str
    tables: str = ""
    """The rest of its plugin.toml."""
    stops: bool = False
    """Whether it is stopped and drained meanwhile, so that calls may find it not running."""

    def write(self, folder: Path, version: int, *, broken: bool = False) -> None:
        """Write it as another version, one that does not load if ``broken``."""
        place = folder / self.name
        place.mkdir(exist_ok=True)
        text = f'[plugin]\nname = "{self.name}"\nversion = "{version}"\n{self.tables}'
        (place / "plugin.toml").write_text(text)
        code = "raise RuntimeError('broken on purpose')\n" if broken else HEAD + self.code
        (place / f"{self.name}.py").write_text(f"VERSION = {version}\n{code}")


RESTARTS = '[restart]\nintensity = 1000\nperiod = "1s"\n'
PLUGINS = (
    SoakPlugin("steady", STEADY, "interpreters = 2\n"),
    SoakPlugin("direct", DIRECT),
    SoakPlugin("coroutines", COROUTINES),
    SoakPlugin("chain", CHAIN, "[restart]\nmax_calls = 500\n"),
    SoakPlugin("state", STATE),
    SoakPlugin("fickle", STEADY, stops=True),
    SoakPlugin("hungry", HUNGRY, f'[limits]\nmemory = "24MiB"\ndeadline = "1s"\n{RESTARTS}', stops=True),
    SoakPlugin("runaway", RUNAWAY, f'interpreters = 2\n[limits]\ndeadline = "500ms"\n{RESTARTS}', stops=True),
    SoakPlugin("loop", LOOP, f'[limits]\ndeadline = "500ms"\n{RESTARTS}', stops=True),
)
"""The first five only change while they serve: their calls must not fail at all."""
