"""The interpreters of the version that serves: those that fail are replaced, those that are worn recycled."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from pyhost.supervisor import Arrived, InterpretersFailed, StartFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyhost import _core
    from pyhost.loader import LoadedPlugin, StartFailure
    from pyhost.supervised import Supervised

_LOOK_INTERVAL = 0.25
"""Seconds between two looks for what nobody tells: worn interpreters, event loops that are kept from their calls."""
_RECYCLE_AGAIN = 30.0
"""Seconds until an interpreter is recycled again whose successor did not start."""


def in_thread(function: Callable[..., None], *arguments: object) -> None:
    """Let it run on a thread of its own; the program does not wait for that when it ends."""
    threading.Thread(target=function, args=arguments, name="pyhost-upkeep", daemon=True).start()


class Upkeep:
    """Looks after the interpreters of one version for as long as that is what its plugin serves.

    What is public is called with the plugin's lock held. Starting an interpreter, and the end of one, is waited for on
    threads.
    """

    def __init__(self, version: LoadedPlugin, plugin: Supervised) -> None:
        self._version = version
        self._plugin = plugin
        self._grace = version.manifest.limits.deadline
        self._recycle_from = 0.0

    def look(self, now: float) -> None:
        """Deal with what has happened to the interpreters."""
        failed = self._version.failed()
        if failed:
            self._replace(failed)
        if self._plugin.serves(self._version) and now >= self._recycle_from:
            self._recycle(now)

    def next_look(self, now: float) -> float | None:
        """When to look again, though nothing is told; None: not at all."""
        restart, functions = self._version.manifest.restart, self._version.functions
        is_recycled = restart.max_calls is not None or restart.max_memory_growth is not None
        return now + _LOOK_INTERVAL if is_recycled or any(function.is_async for function in functions) else None

    def start_missing(self) -> None:
        """Start as many interpreters as the version is short of."""
        while self._version.left < self._version.manifest.interpreters:
            try:
                new = self._version.start_another()
            except (OSError, MemoryError) as error:
                reason = f"an interpreter could not be started: {str(error) or 'out of memory'}"
                self._plugin.blame(reason)
                self._plugin.tell(StartFailed(reason, self._version.left))
                return
            in_thread(self._await, new)

    def _replace(self, failed: dict[_core.Interpreter, str]) -> None:
        reason = ""
        for item, trouble in failed.items():
            reason = f"interpreter {item.id} {trouble}"
            self._plugin.note(reason, logging.WARNING)
            self._plugin.replaced += item.condemned
        self._version.take_out(failed)
        self._plugin.tell(InterpretersFailed(reason, self._version.left))
        if self._version.left < self._version.manifest.interpreters:
            self._plugin.blame(reason)
        if self._plugin.serves(self._version):
            self._version.publish()
        for item in failed:
            self._version.put_away(item)
            in_thread(self._retire, item, self._grace)

    def _recycle(self, now: float) -> None:
        found = self._version.find_worn()
        if found is None:
            return
        worn, reason = found
        try:
            new = self._version.start_another(in_place_of=worn)
        except (OSError, MemoryError) as error:
            self._recycle_from = now + _RECYCLE_AGAIN
            reason = str(error) or "out of memory"
            self._plugin.note(f"interpreter {worn.id} could not be recycled: {reason}", logging.WARNING)
            return
        self._plugin.note(f"interpreter {worn.id} is recycled: {reason}")
        in_thread(self._await, new)

    def _welcome(self, new: _core.Interpreter) -> None:
        worn = self._version.arrive(new)
        if worn is None:
            self._plugin.note(f"interpreter {new.id} is ready")
            self._plugin.tell(Arrived())
        else:
            self._plugin.note(f"interpreter {new.id} takes the place of {worn.id}")
            in_thread(self._retire, worn, self._grace)
        if not self._version.is_short:
            self._plugin.blame("")

    def _drop(self, new: _core.Interpreter, failure: StartFailure) -> None:
        reason = failure.error.reason
        worn = self._version.drop(new)
        self._plugin.blame(reason, failure.error.traceback_text)
        self._plugin.note(f"interpreter {new.id} did not start: {reason}", logging.WARNING)
        if worn is None:
            self._plugin.tell(StartFailed(reason, self._version.left, failure.exited))
        else:
            self._recycle_from = time.monotonic() + _RECYCLE_AGAIN
        if self._plugin.serves(self._version):
            self._version.publish()
        self._version.put_away(new)
        in_thread(self._retire, new, 0.0)

    # What follows runs on threads of its own.

    def _await(self, new: _core.Interpreter) -> None:
        failure = self._version.wait_ready(new)
        with self._plugin.lock:
            if not self._plugin.serves(self._version):
                return  # it ends with its version
            if failure is None:
                self._welcome(new)
            else:
                self._drop(new, failure)
        self._plugin.pool.fill()

    def _retire(self, interpreter: _core.Interpreter, grace: float) -> None:
        for traceback_text in self._version.retire(interpreter, grace):
            self._plugin.report_stop(traceback_text)
        with self._plugin.lock:
            self._plugin.tidy()
