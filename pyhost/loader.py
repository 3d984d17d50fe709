"""From a manifest to interpreters that are ready, and back: one loaded plugin."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from pyhost import _core
from pyhost.bundle import code_of, standard_library_paths
from pyhost.errors import PluginLoadError
from pyhost.guest import ON_RELOAD
from pyhost.lifecycle import Event, State, next_state
from pyhost.manifest import Manifest, entry_file, fingerprint
from pyhost.pool import WarmPool
from pyhost.quantities import format_size
from pyhost.signature import read_function
from pyhost.status import FunctionDescription, InterpreterStatus, MemoryAccount

STOP_LIMIT = 5.0
"""Seconds for a plugin's on_stop and for its own threads to end."""


def boot_configuration(
    manifest: Manifest, expected: Iterable[str] | None = None, *, takes_over: bool = False
) -> dict[str, Any]:
    """What ``guest.Guest`` needs, as plain data.

    ``expected``: the exports that it must have, in order; None: any. With ``takes_over`` it asks the version that
    serves now for its state.
    """
    first = [str(manifest.folder)] if manifest.folder is not None else []
    file = entry_file(manifest)
    return {
        "name": manifest.name,
        "takes_over": takes_over,
        "path": first + standard_library_paths(),
        "module": manifest.module,
        "file": str(file) if file is not None else None,
        "code": code_of(manifest.module, str(file)) if file is not None else None,
        "expected": tuple(expected) if expected is not None else None,
    }


def _memory_of(interpreter: _core.Interpreter) -> MemoryAccount | None:
    account = interpreter.memory
    return MemoryAccount(*account) if account is not None else None


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)


class LoadedPlugin:
    """One version of a plugin and its interpreters.

    One thread at a time loads, closes and waits; another may replace interpreters meanwhile.
    """

    def __init__(self, manifest: Manifest, router: _core.Router, pool: WarmPool) -> None:
        self.manifest = manifest
        self.state = State.DISCOVERED
        self.doc = ""
        self.functions: tuple[FunctionDescription, ...] = ()
        self.reloads = False
        """Whether it gives its state to the version after it."""
        self.fingerprint = fingerprint(manifest)
        self.error: PluginLoadError | None = None
        self.stop_failures: tuple[str, ...] = ()
        self._router = router
        self._pool = pool
        self.replaced = 0
        self._interpreters: tuple[_core.Interpreter, ...] = ()
        # Held, and never for long, by whoever changes which interpreters serve.
        self._changing = threading.Lock()
        self._retiring: tuple[_core.Interpreter, ...] = ()
        self._retired_cpu = 0.0

    def send(self, event: Event) -> None:
        """Go to the next state. Raises IllegalTransitionError."""
        self.state = next_state(self.state, event)

    def begin(self, in_place_of: "LoadedPlugin | None" = None) -> None:
        """Let its interpreters load the plugin, with the state of another version if that gives it; does not wait."""
        self.send(Event.LOAD)
        takes_over = in_place_of is not None and in_place_of.state is State.RUNNING and in_place_of.reloads
        boot = boot_configuration(self.manifest, takes_over=takes_over)
        self._interpreters = tuple(self._start_interpreter(boot) for _ in range(self.manifest.interpreters))

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

    def publish(self, in_place_of: "LoadedPlugin | None" = None) -> None:
        """Let calls reach it; another version, whose calls it takes over, is closed in the same step."""
        if in_place_of is None:
            self._publish()
        else:
            in_place_of.give_way(self._publish)

    def give_way(self, publish: Callable[[], None]) -> None:
        """Close it in one step with publishing another version."""
        with self._changing:
            publish()
            self._close()

    def close(self) -> None:
        """Stop taking calls; those that wait are still run. Does not wait."""
        with self._changing:
            self._close()

    def condemned(self) -> list[_core.Interpreter]:
        """Those of its interpreters that went past their hard memory limit."""
        return [item for item in self._interpreters if item.condemned]

    def replace(self, condemned: _core.Interpreter) -> _core.Interpreter | None:
        """Put a new interpreter in the place of a condemned one, at once: calls wait in its inbox while it starts.

        ``finish_replacement`` has to follow; None: the plugin is closed, and there is nothing to replace.
        """
        boot = boot_configuration(self.manifest, (function.name for function in self.functions))
        with self._changing:
            if self.state is not State.RUNNING:
                return None
            new = self._start_interpreter(boot)
            self._interpreters = tuple(new if item is condemned else item for item in self._interpreters)
            self._retiring += (condemned,)
            self.replaced += 1
            self._publish(counts_on=True)
        condemned.condemn()
        return new

    def finish_replacement(self, new: _core.Interpreter) -> None:
        """Wait until the new interpreter runs.

        Where it does not, its calls are given up, and the plugin goes on with its other interpreters; without any it
        has failed. ``error`` says why.
        """
        error = self._failure_of(new, time.monotonic() + self.manifest.limits.start)
        with self._changing:
            if self.state is not State.RUNNING:
                return
            self.error = error
            if error is not None:
                self._interpreters = tuple(item for item in self._interpreters if item is not new)
                self._publish(counts_on=True)
                if not self._interpreters:
                    self.send(Event.FAIL)
        if error is not None:
            new.abandon()
            _end([new], time.monotonic())

    def retire(self, condemned: _core.Interpreter) -> None:
        """Wait for a replaced interpreter as long as a call may take; then interrupt it, or set it aside."""
        _end([condemned], time.monotonic() + self.manifest.limits.deadline)
        with self._changing:
            self._retired_cpu += condemned.cpu
            self._retiring = tuple(item for item in self._retiring if item is not condemned)

    def is_idle(self) -> bool:
        """Whether every call that it has accepted is finished."""
        return not any(item.load for item in self._interpreters)

    def wait_ended(self, deadline: float) -> None:
        """Wait for the interpreters until the deadline (``time.monotonic``), then give up the calls of those that run
        still, and set aside what does not end within ``STOP_LIMIT`` after that. What is set aside already is not
        waited for again.
        """
        _end((*self._interpreters, *self._retiring), deadline)
        ended = [item for item in self._interpreters if item.wait_ended(_left(0.0))]
        failures = [item.stop_outcome()[1] for item in ended]
        self.stop_failures = tuple(failure[3] for failure in failures if failure is not None)
        if self.state is State.DRAINING:
            self.send(Event.END)

    def interpreters(self) -> tuple[InterpreterStatus, ...]:
        """A snapshot of each interpreter."""
        return tuple(
            InterpreterStatus(
                id=item.id,
                state=item.state,
                queued=item.queued,
                running=item.running,
                served=item.served,
                memory=_memory_of(item),
                cpu=item.cpu,
            )
            for item in self._interpreters
        )

    def cpu(self) -> float:
        """Seconds of CPU of its interpreters, replaced ones too."""
        return self._retired_cpu + sum(item.cpu for item in (*self._retiring, *self._interpreters))

    def _publish(self, *, counts_on: bool = False) -> None:
        deadline = self.manifest.limits.deadline
        functions = tuple((function.name, function.direct, deadline) for function in self.functions)
        if self.reloads:
            functions += ((ON_RELOAD, False, deadline),)
        self._router.publish(self.manifest.name, self._interpreters, functions, counts_on)

    def _close(self) -> None:
        for interpreter in self._interpreters:
            interpreter.close()
        if self.state is State.RUNNING:
            self.send(Event.DRAIN)

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

    def _failure_of(self, interpreter: _core.Interpreter, deadline: float) -> PluginLoadError | None:
        name, limit = self.manifest.name, self.manifest.limits.start
        if not interpreter.wait_ready(_left(deadline)):
            return PluginLoadError(name, f"it was not ready within {limit:g} s (limits.start)")
        status, detail = interpreter.start_outcome()
        match status:
            case "OK":
                self.doc = detail["doc"]
                self.functions = tuple(read_function(item) for item in detail["functions"])
                self.reloads = detail["reloads"]
                return None
            case "TIMEOUT":
                return PluginLoadError(name, f"it was not ready within {limit:g} s (limits.start)")
            case "OVER_LIMIT":
                limit, peak, description = detail
                return self._over_limit(limit, peak, description)
            case _ if detail is not None:
                type_name, message, _, traceback_text = detail
                return PluginLoadError(name, f"{type_name}: {message}" if message else type_name, traceback_text)
            case _:
                return PluginLoadError(name, "CPython could not create another interpreter")

    def _over_limit(self, limit: int, peak: int, description: tuple[Any, ...] | None) -> PluginLoadError:
        name, found = self.manifest.name, f"limits.memory is {format_size(limit)}"
        if description is None:
            reason = f"{self.manifest.source}: {found}; allowed: more than {format_size(peak)}, an empty interpreter"
            return PluginLoadError(name, reason)
        return PluginLoadError(name, f"{found}, and importing it took {format_size(peak)}; raise it", description[3])


def _end(interpreters: Iterable[_core.Interpreter], deadline: float) -> None:
    waited_for = [item for item in interpreters if item.state != "lost"]
    late = [item for item in waited_for if not item.wait_ended(_left(deadline))]
    for interpreter in late:
        interpreter.abandon()
    deadline = max(deadline, time.monotonic()) + STOP_LIMIT
    for interpreter in late:
        if not interpreter.wait_ended(_left(deadline)):
            interpreter.set_aside()
