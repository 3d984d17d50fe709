"""From a manifest to interpreters that are ready, and back: one version of a plugin."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyhost import environment
from pyhost.bundle import code_of, standard_library_paths
from pyhost.errors import PluginLoadError, advice_for
from pyhost.lifecycle import InterpreterState
from pyhost.manifest import Manifest, entry_file, fingerprint
from pyhost.plugin import ON_RELOAD
from pyhost.quantities import format_size
from pyhost.signature import read_function
from pyhost.supervisor import worn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pyhost import _core
    from pyhost.environment import Environment
    from pyhost.pool import WarmPool
    from pyhost.status import FunctionDescription

STOP_LIMIT = 5.0
"""Seconds for a plugin's on_stop and for its own threads to end."""
END_LIMIT = 2.5
"""Seconds more for what is interrupted then, and for destructors; what has not ended after that is set aside."""
_SLICE = 0.1
"""Seconds after which a wait looks whether it is to end sooner than it thought."""
_ENDED = {InterpreterState.STOPPED, InterpreterState.FAILED}


@dataclass(frozen=True, slots=True)
class StartFailure:
    """Why an interpreter did not start."""

    error: PluginLoadError
    exited: bool = False
    """The plugin left by ``sys.exit(0)``."""
    lasts: bool = False
    """It would not start at another try, either: somebody has to put that right."""


def boot_configuration(
    manifest: Manifest,
    packages: Environment | None = None,
    expected: Iterable[str] | None = None,
    *,
    takes_over: bool = False,
) -> dict[str, Any]:
    """What ``guest.Guest`` needs, as plain data.

    ``expected``: the exports that it must have, in order; None: any. With ``takes_over`` it asks the version that
    serves now for its state. As in any Python, the standard library comes before the installed ``packages``: none of
    these can hide it.
    """
    first = [str(manifest.folder)] if manifest.folder is not None else []
    file = entry_file(manifest)
    return {
        "name": manifest.name,
        "version": manifest.version,
        "takes_over": takes_over,
        "path": [*first, *standard_library_paths(), *environment.package_paths(manifest, packages)],
        "module": manifest.module,
        "file": str(file) if file is not None else None,
        "code": code_of(manifest.module, str(file)) if file is not None else None,
        "expected": tuple(expected) if expected is not None else None,
        "start_limit": manifest.limits.start,
    }


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)


def _without(items: tuple[_core.Interpreter, ...], *gone: _core.Interpreter) -> tuple[_core.Interpreter, ...]:
    return tuple(item for item in items if item not in gone)


class LoadedPlugin:
    """One version of a plugin and its interpreters.

    Its plugin (``supervised.py``) lets one thread at a time change which interpreters serve; any thread may wait and
    read meanwhile.
    """

    def __init__(self, manifest: Manifest, router: _core.Router, pool: WarmPool, state_folder: Path | None) -> None:
        self.manifest = manifest
        self.doc = ""
        self.functions: tuple[FunctionDescription, ...] = ()
        self.reloads = False
        """Whether it gives its state to the version after it."""
        self.began = time.monotonic()
        self.fingerprint = ""
        self.has_begun = threading.Event()
        """To be set when ``begin`` is over, and whoever called it has said what follows."""
        self.ended = threading.Event()
        """To be set when it has ended, or been set aside, and whatever has to be said of that was."""
        self._router = router
        self._pool = pool
        self._state_folder = state_folder
        self._environment: Environment | None = None
        self._serving: tuple[_core.Interpreter, ...] = ()
        self._coming: tuple[_core.Interpreter, ...] = ()
        self._leaving: tuple[_core.Interpreter, ...] = ()
        # What is coming to take the place of one that serves.
        self._successors: dict[_core.Interpreter, _core.Interpreter] = {}
        self._held_when_ready: dict[_core.Interpreter, int] = {}
        self._told: set[int] = set()  # interpreters whose on_stop has been asked for its failure
        self._ended_cpu = 0.0
        self._until = math.inf
        self._final = math.inf
        self._is_closed = False

    @property
    def members(self) -> tuple[_core.Interpreter, ...]:
        """The interpreters that serve, then those that will when they have started."""
        return (*self._serving, *self._coming)

    @property
    def left(self) -> int:
        """How many interpreters serve, or will; one that is about to replace another does not count twice."""
        return len(self._serving) + len(self._coming) - len(self._successors)

    @property
    def is_short(self) -> bool:
        """Whether it has fewer interpreters that serve than it should."""
        return len(self._serving) < self.manifest.interpreters

    def begin(self, *, takes_over: bool = False) -> None:
        """Read the plugin's files, and start the interpreters, which import it; does not wait for them.

        ``takes_over``: the version that serves now gives its state. Raises PluginLoadError where its dependencies are
        not installed, and OSError where there are no more threads; those that have begun are then to be ended all the
        same.
        """
        self.fingerprint = fingerprint(self.manifest)
        self._environment = environment.environment_of(self.manifest, self._state_folder)
        boot = boot_configuration(self.manifest, self._environment, takes_over=takes_over)
        for _ in range(self.manifest.interpreters):
            self._coming += (self._start_interpreter(boot),)

    def wait_started(self) -> StartFailure | None:
        """Wait until all interpreters are ready; the failure of the first that is not."""
        deadline = time.monotonic() + self.manifest.limits.start
        failures = [self._wait_ready(item, deadline) for item in self._coming]
        return next((failure for failure in failures if failure is not None), None)

    def wait_ready(self, interpreter: _core.Interpreter) -> StartFailure | None:
        """Wait until an interpreter that was started later is ready."""
        return self._wait_ready(interpreter, time.monotonic() + self.manifest.limits.start)

    def take_over(self, old: LoadedPlugin | None) -> None:
        """Let calls reach it; another version, whose calls it takes over, is closed right after that."""
        self._serving, self._coming = self._coming, ()
        for item in self._serving:
            self._note_memory(item)
        self.publish(counts_on=False)
        if old is not None:
            old.step_back()
            old.close()

    def publish(self, *, counts_on: bool = True) -> None:
        """Let calls reach the interpreters that serve, or where none does, wait for those that are coming.

        ``counts_on``: the functions keep their counts.
        """
        deadline = self.manifest.limits.deadline
        functions = tuple((function.name, function.direct, deadline) for function in self.functions)
        if self.reloads:
            functions += ((ON_RELOAD, False, deadline),)
        self._router.publish(self.manifest.name, self._serving or self._coming, functions, counts_on)

    def close(self) -> None:
        """Stop taking calls; those that wait are still run. Does not wait."""
        self._is_closed = True
        for interpreter in self.members:
            interpreter.close()

    def step_back(self) -> None:
        """Let calls to others go before what is to be done when its calls are over."""
        for interpreter in self.members:
            interpreter.step_back()

    def hurry(self, deadline: float, final: float = math.inf) -> None:
        """Let no wait last longer than until ``deadline``, and none for an end longer than until ``final``.

        Both are times of ``time.monotonic``.
        """
        self._until = min(self._until, deadline)
        self._final = min(self._final, final)

    def end(self, deadline: float) -> list[str]:
        """Wait for the end of its interpreters, which are closed; the tracebacks of what failed in on_stop.

        At the deadline, or what ``hurry`` says, the calls of those that run still are given up; what does not end
        within ``STOP_LIMIT`` and ``END_LIMIT`` after that is set aside. What is set aside already is not waited for
        again.
        """
        self.hurry(deadline)
        return self._end((*self.members, *self._leaving), deadline)

    def failed(self) -> dict[_core.Interpreter, str]:
        """Those of its interpreters that served and are of no use any more, and what happened to each."""
        return {item: trouble for item in self._serving if (trouble := self._trouble_of(item))}

    def take_out(self, failed: Iterable[_core.Interpreter]) -> None:
        """Count no more on these. ``publish`` and then ``put_away`` have to follow."""
        for item in failed:
            self._serving = _without(self._serving, item)
            self._leaving += (item,)
            self._successors = {new: old for new, old in self._successors.items() if old is not item}
            self._held_when_ready.pop(item, None)

    def put_away(self, interpreter: _core.Interpreter) -> None:
        """Close one that was taken out. The calls that wait for it go to another; without one they are given up.

        One that does not come back from what it runs is set aside: it is lost, until it does.
        """
        if interpreter.condemned:
            interpreter.condemn()
        elif self.members and not self._is_closed:
            interpreter.hand_over(min(self.members, key=lambda item: item.load))
        else:
            interpreter.abandon()
        if self._is_runaway(interpreter):
            interpreter.set_aside()

    def start_another(self, in_place_of: _core.Interpreter | None = None) -> _core.Interpreter:
        """Start one more interpreter, maybe to replace one that serves. ``arrive`` or ``drop`` has to follow.

        Raises OSError where there are no more threads.
        """
        exports = (item.name for item in self.functions)
        new = self._start_interpreter(boot_configuration(self.manifest, self._environment, exports))
        self._coming += (new,)
        if in_place_of is not None:
            self._successors[new] = in_place_of
        return new

    def find_worn(self) -> tuple[_core.Interpreter, str] | None:
        """One that serves and is to be recycled, and why; None while a successor is coming."""
        if self._successors:
            return None
        reasons = ((item, self._why_worn(item)) for item in self._serving)
        return next(((item, reason) for item, reason in reasons if reason), None)

    def arrive(self, new: _core.Interpreter) -> _core.Interpreter | None:
        """Let calls reach one that has become ready; the one whose place it takes is closed and returned, if any."""
        replaced = self._successors.pop(new, None)
        self._coming = _without(self._coming, new)
        self._serving = (*(item for item in self._serving if item is not replaced), new)
        self._note_memory(new)
        self.publish()
        if replaced is not None:
            replaced.step_back()
            replaced.close()
            self._leaving += (replaced,)
            self._held_when_ready.pop(replaced, None)
        return replaced

    def drop(self, new: _core.Interpreter) -> _core.Interpreter | None:
        """Give up one that did not become ready, and the calls that wait for it; whose place it was to take, if any.

        ``publish`` and then ``put_away`` have to follow.
        """
        self._coming = _without(self._coming, new)
        self._leaving += (new,)
        return self._successors.pop(new, None)

    def retire(self, interpreter: _core.Interpreter, grace: float) -> list[str]:
        """Wait so many seconds for one that was closed, then interrupt it, or set it aside; as ``end``."""
        return self._end((interpreter,), time.monotonic() + grace)

    def tidy(self) -> None:
        """Forget the interpreters that have ended, lost ones that came back, too; what CPU they took is kept."""
        for item in self._leaving:
            if item.state in _ENDED and item.wait_ended(_left(0.0)):
                self._ended_cpu += item.cpu
                self._leaving = _without(self._leaving, item)

    def lost(self) -> tuple[_core.Interpreter, ...]:
        """Those of its interpreters that are set aside and have not come back."""
        return tuple(item for item in (*self.members, *self._leaving) if item.state == InterpreterState.LOST)

    def recall(self) -> int:
        """Let those that are set aside give way to others no more; how many there are."""
        lost = self.lost()
        for item in lost:
            item.recall()
        return len(lost)

    def is_idle(self) -> bool:
        """Whether every call that it has accepted is finished."""
        return not any(item.load for item in self.members)

    def cpu(self) -> float:
        """Seconds of CPU of its interpreters, ended ones too."""
        return self._ended_cpu + sum(item.cpu for item in (*self._leaving, *self.members))

    def _start_interpreter(self, boot: dict[str, Any]) -> _core.Interpreter:
        limits = self.manifest.limits
        interpreter = self._pool.take()
        interpreter.start(
            self.manifest.name,
            boot,
            inbox=limits.inbox,
            memory=limits.memory,
            start_limit=limits.start,
            stop_limit=STOP_LIMIT,
            grace=limits.grace,
        )
        return interpreter

    def _trouble_of(self, interpreter: _core.Interpreter) -> str:
        """What makes one that serves of no use any more; "" for nothing."""
        if interpreter.condemned:
            return "went past its hard memory limit"
        if interpreter.overdue:
            return "has a call that runs on after its deadline"
        if self._is_runaway(interpreter):
            return "has an event loop that something keeps from its calls"
        return "ended by itself" if interpreter.state != InterpreterState.RUNNING else ""

    def _is_runaway(self, interpreter: _core.Interpreter) -> bool:
        limits = self.manifest.limits
        return interpreter.overdue or interpreter.stalled > limits.deadline + limits.grace

    def _note_memory(self, ready: _core.Interpreter) -> None:
        memory = ready.memory
        if memory is not None:
            self._held_when_ready[ready] = memory[0]

    def _why_worn(self, interpreter: _core.Interpreter) -> str:
        memory, before = interpreter.memory, self._held_when_ready.get(interpreter)
        growth = memory[0] - before if memory is not None and before is not None else None
        return worn(self.manifest.restart, interpreter.served, growth)

    def _end(self, interpreters: tuple[_core.Interpreter, ...], deadline: float) -> list[str]:
        waited_for = [item for item in interpreters if item.state != InterpreterState.LOST]
        late = [item for item in waited_for if not _wait(item, item.wait_ended, lambda: min(deadline, self._until))]
        for interpreter in late:
            interpreter.abandon()
        limit = time.monotonic() + STOP_LIMIT + END_LIMIT
        for interpreter in late:
            if not _wait(interpreter, interpreter.wait_ended, lambda: min(limit, self._final)):
                interpreter.set_aside()
        return [failure for item in interpreters if (failure := self._stop_failure_of(item))]

    def _stop_failure_of(self, interpreter: _core.Interpreter) -> str:
        """The traceback of what failed in its on_stop, once; "" for nothing, or as long as it has not ended."""
        if interpreter.id in self._told or not interpreter.wait_ended(_left(0.0)):
            return ""
        self._told.add(interpreter.id)
        _, failure = interpreter.stop_outcome()
        return failure[3] if failure is not None else ""

    def _wait_ready(self, interpreter: _core.Interpreter, deadline: float) -> StartFailure | None:
        name, limit = self.manifest.name, self.manifest.limits.start
        if not _wait(interpreter, interpreter.wait_ready, lambda: min(deadline, self._until)):
            return StartFailure(PluginLoadError(name, f"it was not ready within {limit:g} s (limits.start)"))
        status, detail = interpreter.start_outcome()
        match status:
            case "OK":
                self.doc = detail["doc"]
                self.functions = tuple(read_function(item) for item in detail["functions"])
                self.reloads = detail["reloads"]
                return None
            case "TIMEOUT":
                return StartFailure(PluginLoadError(name, f"it was not ready within {limit:g} s (limits.start)"))
            case "OVER_LIMIT":
                return StartFailure(self._over_limit(*detail))
            case _ if detail is not None:
                type_name, message, _, traceback_text = detail
                reason = environment.reason_of(type_name, message, self._environment)
                exited = type_name == "SystemExit" and message in {"", "0", "None"}
                advice = advice_for(message)
                error = PluginLoadError(name, f"{reason}; {advice}" if advice else reason, traceback_text)
                return StartFailure(error, exited)
            case _:
                return StartFailure(PluginLoadError(name, "CPython could not create another interpreter"))

    def _over_limit(self, limit: int, peak: int, description: tuple[Any, ...] | None) -> PluginLoadError:
        name, found = self.manifest.name, f"limits.memory is {format_size(limit)}"
        if description is None:
            reason = f"{self.manifest.source}: {found}; allowed: more than {format_size(peak)}, an empty interpreter"
            return PluginLoadError(name, reason)
        return PluginLoadError(name, f"{found}, and importing it took {format_size(peak)}; raise it", description[3])


def _wait(interpreter: _core.Interpreter, wait: Callable[[float], bool], end: Callable[[], float]) -> bool:
    """Wait until ``end()``, which may change meanwhile; whether it came to be.

    An interpreter with a call that does not come back is not waited for.
    """
    while not wait(min(_SLICE, _left(end()))):
        if time.monotonic() >= end() or (interpreter.overdue and interpreter.running > 0):
            return False
    return True
