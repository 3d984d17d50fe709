"""A plugin by its name: the version that serves, the one that starts, those that end, and what has happened to it.

``supervisor.py`` decides, and this module carries it out. Requests (load, stop) take turns and may take long; what the
caretaker finds is dealt with at once, and whatever has to be waited for is waited for on a thread of its own.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from pyhost import _core, manifest, snapshot, supervisor
from pyhost.errors import ManifestError, PluginLoadError, PluginNotFoundError
from pyhost.lifecycle import SERVING, Event, State
from pyhost.loader import LoadedPlugin, StartFailure
from pyhost.manifest import Restart
from pyhost.quantities import format_seconds
from pyhost.status import PluginStatus, TimelineEntry
from pyhost.supervisor import (
    Asked,
    LoadAnew,
    Note,
    StartFailed,
    StartMissing,
    Supervision,
    TakeDown,
    TimePassed,
)
from pyhost.upkeep import Upkeep, in_thread

if TYPE_CHECKING:
    from pathlib import Path

    from pyhost.manifest import Manifest
    from pyhost.pool import WarmPool
    from pyhost.status import FunctionDescription
    from pyhost.supervisor import Action, Happening

_logger = logging.getLogger(__name__)

TIMELINE_LENGTH = 50
"""Entries of a plugin's timeline; older ones are dropped."""
type _Reason = tuple[str, str]
"""What went wrong, and the plugin's traceback; "" for none."""
_NOTHING: _Reason = ("", "")


class Supervised:
    """One plugin of a host, known by its name, and whatever runs of it.

    ``turn`` is to be held around ``begin`` with ``finish``, ``stop``, and ``close`` with ``wait_closed``. All else may
    be called at any time, and everything from any thread.
    """

    def __init__(
        self, name: str, source: Path, router: _core.Router, pool: WarmPool, state_folder: Path | None
    ) -> None:
        self.name = name
        self.source = source.absolute()
        """The plugin.toml or .py file."""
        self.turn = threading.Lock()
        self.pool = pool
        self.replaced = 0
        """Interpreters that went past the hard memory limit."""
        self.lock = threading.RLock()  # more than once by a log's handler that asks for the status
        """Held, and never for long, by whoever changes anything here; reading one thing needs no lock."""
        self._router = router
        self._state_folder = state_folder
        self._memory = Supervision()
        self._manifest: Manifest | None = None
        self._fingerprint = ""
        self._version: LoadedPlugin | None = None  # serves, or finishes its calls before the plugin is stopped
        self._beginnings: tuple[LoadedPlugin, ...] = ()  # versions whose interpreters are being started
        self._starting: LoadedPlugin | None = None
        self._attempt = 0  # the number of the latest load; one that finds another number here has been cancelled
        self._past: tuple[LoadedPlugin, ...] = ()  # versions that end, or have left lost interpreters
        self._is_closed = False
        self._trouble = _NOTHING  # why it does not run, or not with all its interpreters
        self._refusal = _NOTHING  # why its newer version does not run
        self._timeline: deque[TimelineEntry] = deque(maxlen=TIMELINE_LENGTH)
        self._upkeep: Upkeep | None = None  # of the version that serves
        self._restarted = 0
        self._ended_cpu = 0.0

    @property
    def state(self) -> State:
        """Where the plugin stands."""
        return self._memory.state

    @property
    def is_serving(self) -> bool:
        """Whether it takes calls."""
        return self.state in SERVING

    @property
    def functions(self) -> tuple[FunctionDescription, ...]:
        """What the version that serves exports."""
        version = self._version
        return version.functions if version is not None else ()

    def is_news(self, item: Manifest) -> bool:
        """Whether a rescan that finds this is to load it; what was stopped on request stays so."""
        if self.state is State.STOPPED and self._trouble == _NOTHING:
            return False
        has_run = self.is_serving or self.state is State.STOPPED
        return not has_run or self._fingerprint != manifest.fingerprint(item)

    def read(self) -> Manifest:
        """Read its manifest again. Raises ManifestError, also where that has another name now."""
        item = manifest.load(self.source)
        if item.name != self.name:
            raise ManifestError(
                f"{self.source}: plugin.name is now {item.name!r}; rescan the folder to load it as that"
            )
        return item

    def begin(self, item: Manifest) -> LoadedPlugin:
        """Start a version of it, beside the one that serves if there is one; ``finish`` has to follow.

        Waits for the end of earlier versions first. What has been counts no more, unless one serves. Raises
        PluginNotFoundError if the plugin is gone, PluginLoadError if the version cannot begin.
        """
        self.source = item.source
        self._cancel_start()
        self._wait_past()
        with self.lock:
            self._check_open()
            self._cancel()
            attempt = self._announce(asked=True)
        return self._start(item, attempt)

    def finish(self, version: LoadedPlugin) -> None:
        """Wait until the version is ready, and let it serve. Raises PluginLoadError; the version before serves on."""
        failure = version.wait_started()
        with self.lock:
            if self._starting is not version:
                raise PluginLoadError(self.name, "it was stopped while it started")
            self._starting = None
            if failure is None:
                failure = self._let_serve(version)
            if failure is not None:
                self._let_go(version, 0.0)
                self._note_failed_start(version, failure)
        self.pool.fill()
        if failure is not None:
            raise failure.error

    def refuse(self, error: ManifestError) -> None:
        """Its manifest is wrong: what serves goes on, otherwise the plugin is fatal."""
        with self.lock:
            if self._is_closed:
                return
            if self.is_serving:
                self._refusal = (str(error), "")
                return
            self._cancel()
            self._give_up(error)

    def accept(self) -> None:
        """What was wrong with a newer version is wrong no more, as there is none."""
        self._refusal = _NOTHING

    def stop(self, grace: float) -> None:
        """Take no more calls, finish those that it has, and end. Raises PluginNotFoundError if the plugin is gone.

        What has no answer after ``grace`` seconds is given up.
        """
        self._cancel_start()
        with self.lock:
            if self.state is State.BACKOFF:
                self.tell(Event.STOP)
                self.note("stopped")
            if self.state is State.STOPPED:
                self._trouble = _NOTHING
            version = self._drain()
        if version is not None:
            self._finish_drain(version, grace)
        self._wait_past()

    def default_grace(self) -> float:
        """Seconds that its calls get when it is stopped: as long as one of them may take."""
        return self._manifest.limits.deadline if self._manifest is not None else 0.0

    def hurry(self, deadline: float, final: float) -> None:
        """Cancel what starts, and start nothing any more.

        All waits for calls end by ``deadline``, those for ends by ``final`` (``time.monotonic``).
        """
        with self.lock:
            self._is_closed = True
            self._cancel()
            for version in (*self._versions(), *self._beginnings):
                version.hurry(deadline, final)

    def close(self) -> None:
        """Take no more calls, for good. Does not wait."""
        with self.lock:
            self._is_closed = True
            self._cancel()
            self._drain()

    def wait_closed(self, deadline: float) -> None:
        """Wait for its end after ``close``; what has no answer by the deadline is given up."""
        if self.state is State.DRAINING and self._version is not None:
            self._finish_drain(self._version, deadline - time.monotonic())
        self._wait_past()

    def recall(self) -> int:
        """Let its interpreters that are set aside come back, if they can; how many have not."""
        with self.lock:
            return sum(version.recall() for version in self._versions())

    def is_idle(self) -> bool:
        """Whether every call that it has accepted is finished."""
        version = self._version
        return version is None or version.is_idle()

    def look(self, now: float) -> float | None:
        """Deal with what has happened to its interpreters, and with what is due.

        Returns when it has to be looked at again if nothing happens until then (``time.monotonic``).
        """
        with self.lock:
            if self._is_closed:
                return None
            self.tidy()
            if self.is_serving and self._upkeep is not None:
                self._upkeep.look(now)
            self.tell(TimePassed())
            times = [self._memory.due]
            if self.is_serving and self._upkeep is not None:
                times.append(self._upkeep.next_look(now))
            return min((time for time in times if time is not None), default=None)

    def status(self) -> PluginStatus:
        """A snapshot of it."""
        with self.lock:
            now, memory, restart = time.monotonic(), self._memory, self._restart
            versions, members = self._versions(), self._version.members if self._version is not None else ()
            lost = [item for version in versions for item in version.lost()]
            reason, traceback_text = self._trouble if self._trouble != _NOTHING else self._refusal
            return PluginStatus(
                name=self.name,
                version=self._manifest.version if self._manifest is not None else "",
                state=memory.state,
                reason=reason,
                traceback_text=traceback_text,
                source=str(self.source),
                doc=self._version.doc if self._version is not None else "",
                interpreters=tuple(map(snapshot.interpreter, dict.fromkeys((*members, *lost)))),
                cpu=self._ended_cpu + sum(version.cpu() for version in versions),
                replaced=self.replaced,
                functions=snapshot.functions(self._router, self.name, self.functions),
                restarts=len(supervisor.recent(memory, restart, now)),
                restarts_total=self._restarted,
                intensity=restart.intensity,
                next_start=max(memory.due - now, 0.0) if memory.due is not None else None,
                lost=len(lost),
                timeline=tuple(self._timeline),
            )

    # What the upkeep uses; called with the lock held.

    def serves(self, version: LoadedPlugin) -> bool:
        """Whether that is the version that serves."""
        return self._version is version and self.is_serving and not self._is_closed

    def tell(self, happening: Happening) -> None:
        """Have it decided what follows, and do that."""
        number = random.random()  # noqa: S311 - it spreads restarts, and guards nothing
        self._memory, actions = supervisor.decide(self._memory, happening, self._restart, time.monotonic(), number)
        for action in actions:
            self._act(action)
        if actions:
            _core.tell_news()  # the caretaker may have to look sooner than it thought

    def note(self, text: str, level: int = logging.DEBUG) -> None:
        """Write into the timeline, and the log."""
        self._timeline.append(TimelineEntry(time.time(), text))
        _logger.log(level, "plugin %s: %s", self.name, text)

    def blame(self, reason: str, traceback_text: str = "") -> None:
        """Keep the reason why it does not run, or not with all its interpreters; "": it does."""
        self._trouble = (reason, traceback_text)

    def report_stop(self, traceback_text: str) -> None:
        """Say that an on_stop failed, or what else failed at the end."""
        _logger.error("plugin %s: on_stop failed:\n%s", self.name, traceback_text.rstrip())
        with self.lock:
            self.note(f"on_stop failed: {traceback_text.rstrip().rpartition('\n')[2]}")

    def tidy(self) -> None:
        """Forget what has ended."""
        for version in self._versions():
            version.tidy()
        over = tuple(version for version in self._past if version.ended.is_set() and not version.lost())
        self._ended_cpu += sum(version.cpu() for version in over)
        self._past = tuple(version for version in self._past if version not in over)

    # What follows is called without the lock.

    def _cancel_start(self) -> None:
        with self.lock:
            self._check_open()
            self._cancel()
            if self.state is State.BACKOFF:
                self.tell(Asked())

    def _start(self, item: Manifest, attempt: int) -> LoadedPlugin:
        """Start the version that was announced; raises PluginLoadError."""
        if self._manifest is not None:
            manifest.forget_bytecode(item)
        version = LoadedPlugin(item, self._router, self.pool, self._state_folder)
        with self.lock:
            if attempt != self._attempt:
                raise PluginLoadError(self.name, "it was stopped while it was loaded")
            self._beginnings += (version,)
        try:
            return self._begin_version(version, attempt)
        finally:
            with self.lock:
                self._beginnings = tuple(item for item in self._beginnings if item is not version)
            version.has_begun.set()

    def _begin_version(self, version: LoadedPlugin, attempt: int) -> LoadedPlugin:
        before, failure = self._version, None
        try:
            version.begin(takes_over=before is not None and self.is_serving and before.reloads)
        except PluginLoadError as error:
            failure = StartFailure(error, lasts=True)
        except (OSError, MemoryError) as error:
            reason = f"its interpreters could not be started: {str(error) or 'out of memory'}"
            failure = StartFailure(PluginLoadError(self.name, reason))
        with self.lock:
            if attempt != self._attempt:
                self._let_go(version, 0.0)
                raise PluginLoadError(self.name, "it was stopped while it was loaded")
            if self.state is State.LOADING:
                self.tell(Event.START)
            if failure is not None:
                self._let_go(version, 0.0)
                self._note_failed_start(version, failure)
                raise failure.error
            self._starting = version
        return version

    def _load_anew(self, attempt: int) -> None:
        """Load it because its time in backoff is over, unless somebody else has meanwhile."""
        self._wait_past()
        item, error = None, None
        try:
            item = self.read()
        except ManifestError as caught:
            error = caught
        with self.lock:
            if attempt != self._attempt or self.state is not State.BACKOFF:
                return
            if error is not None:
                self._give_up(error)
            else:
                attempt = self._announce(asked=False)
        if item is not None:
            with suppress(PluginLoadError):  # it has been noted
                self.finish(self._start(item, attempt))

    def _end(self, version: LoadedPlugin, grace: float) -> None:
        """Wait for the end of a version that is closed."""
        try:
            for traceback_text in version.end(time.monotonic() + grace):
                self.report_stop(traceback_text)
        finally:
            version.ended.set()
            with self.lock:
                self.tidy()

    def _finish_drain(self, version: LoadedPlugin, grace: float) -> None:
        self._end(version, grace)
        with self.lock:
            self.tell(Event.END)
            self._version, self._trouble = None, _NOTHING
            self._past += (version,)
            self.note("stopped")
            self.tidy()

    def _wait_past(self) -> None:
        for version in self._beginnings:
            version.has_begun.wait()
        for version in self._past:
            version.ended.wait()

    # And this with it.

    @property
    def _restart(self) -> Restart:
        return self._manifest.restart if self._manifest is not None else Restart()

    def _versions(self) -> tuple[LoadedPlugin, ...]:
        """Those of which something runs."""
        return (self._version, *self._past) if self._version is not None else self._past

    def _check_open(self) -> None:
        if self._is_closed:
            raise PluginNotFoundError(self.name, f"there is no plugin {self.name!r}")

    def _act(self, action: Action) -> None:
        match action:
            case Note(text):
                self.note(text, logging.WARNING)
            case TakeDown():
                self._take_down()
            case StartMissing():
                self._restarted += 1
                if self._upkeep is not None:
                    self._upkeep.start_missing()
            case LoadAnew():
                self._restarted += 1
                in_thread(self._load_anew, self._attempt)

    def _announce(self, *, asked: bool) -> int:
        """A version is about to be loaded; the number of the attempt."""
        if self.is_serving:
            self.tell(Event.RELOAD)
        else:
            if asked:
                self.tell(Asked())
            self.tell(Event.LOAD)
        self._attempt += 1
        return self._attempt

    def _cancel(self) -> None:
        """Cancel the start of a version, if one starts."""
        self._attempt += 1
        version, self._starting = self._starting, None
        if self.state is State.RELOADING:
            self.tell(Event.REFUSE)
        elif self.state in {State.LOADING, State.STARTING}:
            self.tell(Event.STOP)
            self.note("stopped while it started")
        if version is not None:
            self._let_go(version, 0.0)

    def _let_serve(self, version: LoadedPlugin) -> StartFailure | None:
        """Let it take the place of the version before; why it cannot, and then that one still serves."""
        old = self._version
        try:
            version.take_over(old)
        except MemoryError:
            return StartFailure(PluginLoadError(self.name, "there is no memory to let calls reach it"))
        self._switch_to(version, old)
        return None

    def _switch_to(self, version: LoadedPlugin, old: LoadedPlugin | None) -> None:
        self._version, self._upkeep = version, Upkeep(version, self)
        self._manifest, self._fingerprint = version.manifest, version.fingerprint
        self._trouble = self._refusal = _NOTHING
        self.tell(Event.READY)
        took = format_seconds(time.monotonic() - version.began)
        self.note(f"{'started' if old is None else 'reloaded'} in {took} (version {version.manifest.version})")
        if old is not None:
            self._let_go(old, old.manifest.limits.deadline)
        _core.tell_news()

    def _note_failed_start(self, version: LoadedPlugin, failure: StartFailure) -> None:
        reason: _Reason = (failure.error.reason, failure.error.traceback_text)
        if self.state is State.RELOADING:
            self._refusal = reason
            self.tell(Event.REFUSE)
            name = version.manifest.version
            self.note(f"version {name} did not start, the one before serves on: {reason[0]}", logging.WARNING)
            return
        self._trouble, self._refusal = reason, _NOTHING
        self._manifest, self._fingerprint = version.manifest, version.fingerprint
        self._publish_none()
        self.note(f"{'fatal' if failure.lasts else 'did not start'}: {reason[0]}", logging.WARNING)
        self.tell(Event.GIVE_UP if failure.lasts else StartFailed(reason[0], exited=failure.exited))

    def _give_up(self, error: ManifestError) -> None:
        self._trouble, self._refusal = (str(error), ""), _NOTHING
        if self.state is not State.FATAL:
            self.tell(Event.GIVE_UP)
            self.note(f"fatal: {error}", logging.WARNING)
        if self._manifest is None:
            self._publish_none()

    def _publish_none(self) -> None:
        """Let calls find it unavailable; where there is no memory to say so, they do not find it."""
        try:
            self._router.publish(self.name, (), ())
        except MemoryError:
            self._router.withdraw(self.name)

    def _let_go(self, version: LoadedPlugin, grace: float) -> None:
        """Close a version, and see to its end."""
        version.close()
        self._past += (version,)
        in_thread(self._end, version, grace)

    def _take_down(self) -> None:
        version, self._version = self._version, None
        self._publish_none()
        if version is not None:
            self._let_go(version, version.manifest.limits.deadline)

    def _drain(self) -> LoadedPlugin | None:
        """Take no more calls; the version that has some to finish."""
        if self.state is not State.RUNNING or self._version is None:
            return None
        self.tell(Event.DRAIN)
        self._publish_none()
        self._version.close()
        return self._version
