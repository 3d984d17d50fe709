"""From a manifest to interpreters that are ready, and back: one loaded plugin."""

import sysconfig
import time
from pathlib import Path
from typing import Any

import pyhost
from pyhost import _core
from pyhost.errors import PluginLoadError
from pyhost.lifecycle import Event, State, next_state
from pyhost.manifest import Manifest, fingerprint
from pyhost.signature import read_function
from pyhost.status import FunctionDescription, InterpreterStatus

STOP_LIMIT = 5.0
"""Seconds for a plugin's on_stop and for its own threads to end."""


def standard_library_paths() -> list[str]:
    """Where a plugin's interpreter finds the standard library, and nothing of the host's packages."""
    library = Path(sysconfig.get_path("stdlib"))
    return [str(library), str(library / "lib-dynload")]


def package_folders() -> list[str]:
    """Where pyhost's own modules are: the Python ones first, then ``_core``, which may be in a build folder."""
    folders = [Path(module.__file__ or "").parent for module in (pyhost, _core)]
    return [str(folder) for folder in dict.fromkeys(folders)]


def boot_configuration(manifest: Manifest) -> dict[str, Any]:
    """What ``guest.boot`` needs, as plain data."""
    first = [str(manifest.folder)] if manifest.folder is not None else []
    return {
        "path": first + standard_library_paths(),
        "package": package_folders(),
        "module": manifest.module,
        "file": str(manifest.file) if manifest.file is not None else None,
    }


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)


class LoadedPlugin:
    """One version of a plugin and its interpreters. Not for use by several threads at once."""

    def __init__(self, manifest: Manifest, router: _core.Router) -> None:
        self.manifest = manifest
        self.state = State.DISCOVERED
        self.doc = ""
        self.functions: tuple[FunctionDescription, ...] = ()
        self.fingerprint = fingerprint(manifest)
        self.error: PluginLoadError | None = None
        self.stop_failures: tuple[str, ...] = ()
        self._router = router
        self._interpreters: tuple[_core.Interpreter, ...] = ()

    def send(self, event: Event) -> None:
        """Go to the next state. Raises IllegalTransitionError."""
        self.state = next_state(self.state, event)

    def begin(self) -> None:
        """Start the interpreters' threads, which load the plugin; does not wait."""
        self.send(Event.LOAD)
        boot = boot_configuration(self.manifest)
        limits = self.manifest.limits
        self._interpreters = tuple(
            _core.Interpreter(self._router, self.manifest.name, limits.inbox) for _ in range(self.manifest.interpreters)
        )
        for interpreter in self._interpreters:
            interpreter.start(boot, limits.start, STOP_LIMIT)

    def finish(self) -> None:
        """Wait until the plugin runs; on a failure of any interpreter end them all.

        Raises PluginLoadError, which is kept as ``error``.
        """
        deadline = time.monotonic() + self.manifest.limits.start
        failures = [error for item in self._interpreters if (error := self._failure_of(item, deadline)) is not None]
        if failures:
            self.error = failures[0]
            self.send(Event.FAIL)
            self.close()
            self.wait_ended(time.monotonic())
            raise self.error
        self.send(Event.LOADED)

    def publish(self) -> None:
        """Let calls reach it, in place of any other version."""
        deadline = self.manifest.limits.deadline
        functions = tuple((function.name, function.direct, deadline) for function in self.functions)
        self._router.publish(self.manifest.name, self._interpreters, functions)

    def close(self) -> None:
        """Stop taking calls; those that wait are still run. Does not wait."""
        for interpreter in self._interpreters:
            interpreter.close()
        if self.state is State.RUNNING:
            self.send(Event.DRAIN)

    def is_idle(self) -> bool:
        """Whether every call that it has accepted is finished."""
        return not any(item.load for item in self._interpreters)

    def wait_ended(self, deadline: float) -> None:
        """Wait for the interpreters until the deadline (``time.monotonic``), then give up the calls of those that run
        still, and set aside what does not end within ``STOP_LIMIT`` after that. What is set aside already is not
        waited for again.
        """
        waited_for = [item for item in self._interpreters if item.state != "lost"]
        late = [item for item in waited_for if not item.wait_ended(_left(deadline))]
        for interpreter in late:
            interpreter.abandon()
        deadline = max(deadline, time.monotonic()) + STOP_LIMIT
        for interpreter in late:
            if not interpreter.wait_ended(_left(deadline)):
                interpreter.set_aside()
        ended = [item for item in self._interpreters if item.wait_ended(_left(0.0))]
        failures = [item.stop_outcome()[1] for item in ended]
        self.stop_failures = tuple(failure[3] for failure in failures if failure is not None)
        if self.state is State.DRAINING:
            self.send(Event.END)

    def interpreters(self) -> tuple[InterpreterStatus, ...]:
        """A snapshot of each interpreter."""
        return tuple(
            InterpreterStatus(
                id=item.id, state=item.state, queued=item.queued, running=item.running, served=item.served
            )
            for item in self._interpreters
        )

    def _failure_of(self, interpreter: _core.Interpreter, deadline: float) -> PluginLoadError | None:
        name, limit = self.manifest.name, self.manifest.limits.start
        if not interpreter.wait_ready(_left(deadline)):
            return PluginLoadError(name, f"it was not ready within {limit:g} s (limits.start)")
        status, detail = interpreter.start_outcome()
        match status:
            case "OK":
                self.doc = detail["doc"]
                self.functions = tuple(read_function(item) for item in detail["functions"])
                return None
            case "TIMEOUT":
                return PluginLoadError(name, f"it was not ready within {limit:g} s (limits.start)")
            case _ if detail is not None:
                type_name, message, _, traceback_text = detail
                return PluginLoadError(name, f"{type_name}: {message}" if message else type_name, traceback_text)
            case _:
                return PluginLoadError(name, "CPython could not create another interpreter")
