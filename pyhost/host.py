"""The host: a folder of plugins, loaded, called and stopped from a program."""

import atexit
import logging
import math
import os
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyhost import _core, manifest
from pyhost.caretaker import Caretaker
from pyhost.errors import ConfigurationError, ManifestError, PluginLoadError, PluginNotFoundError
from pyhost.event_loop import call_on_loop
from pyhost.futures import FutureDispatcher
from pyhost.logs import Logs
from pyhost.manifest import Manifest
from pyhost.pool import WarmPool
from pyhost.status import FunctionDescription, PluginStatus
from pyhost.supervised import Supervised

_logger = logging.getLogger(__name__)

LAST_CHANCE = 0.5
"""Seconds in which what is set aside may come back after all when everything else has ended."""


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What ``Host.rescan`` did: names of plugins, sorted."""

    loaded: tuple[str, ...]
    replaced: tuple[str, ...]
    removed: tuple[str, ...]
    failed: tuple[str, ...]
    """Did not load; one that ran before still serves its old version."""
    unchanged: tuple[str, ...]


class PluginProxy:
    """A plugin whose attributes are its functions, as ``Host.plugin`` gives it."""

    def __init__(self, host: "Host", name: str) -> None:
        # Two underscores: a function may have any other name.
        self.__host = host
        self.__name = name

    def __getattr__(self, function: str) -> _core.Function:
        if function.startswith("__"):
            raise AttributeError(function)
        return self.__host.function(f"{self.__name}.{function}")

    def __repr__(self) -> str:
        return f"<pyhost plugin {self.__name!r}>"


class Host:
    """Runs the plugins of one folder, each in interpreters of its own.

    Use it as a context manager, or call ``start`` and ``close``. One bad plugin never stops the others: see
    ``plugins()``. Calls may come from any thread of the main interpreter and raise the errors of ``pyhost.errors``;
    ``start``, ``rescan`` and ``close`` take turns.
    """

    def __init__(
        self,
        plugins: str | os.PathLike[str] | None = None,
        *,
        state: str | os.PathLike[str] | None = None,
        warm: int = 0,
        preload: Iterable[str] = (),
    ) -> None:
        """``plugins``: the folder to load; None for none.

        ``state``: where ``pyhost install`` has put what plugins depend on; None for where it does by itself. ``warm``:
        how many interpreters are kept ready (about 2 MB each), so that a plugin is loaded, restarted and reloaded the
        faster; ``preload``: modules of the standard library that these have imported.

        Raises:
            ConfigurationError: there is no such folder, or something to preload is not of the standard library.
        """
        if tracemalloc.is_tracing():
            raise ConfigurationError(
                "tracemalloc is tracing, and crashes with sub-interpreters; run without -X tracemalloc"
            )
        # Absolute, as any plugin can change the working folder of the process.
        self._folder = Path(plugins).absolute() if plugins is not None else None
        self._state_folder = Path(state).absolute() if state is not None else None
        if self._folder is not None:
            manifest.discover(self._folder)
        self._router = _core.Router()
        self.logs = Logs(self._router)
        """What the plugins print and log."""
        self._warm = warm
        self._preload = tuple(preload)
        self._pool = WarmPool(self._router, warm, self._preload)
        self._plugins: dict[str, Supervised] = {}
        self._apart: set[str] = set()  # names of plugins that load_plugin has loaded
        self._functions: dict[str, _core.Function] = {}
        self._futures = FutureDispatcher()
        self._lock = threading.Lock()
        self._caretaker: Caretaker | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Load every plugin of the folder, and wait until each runs or did not start.

        What did not start is tried again later, as its manifest says (``[restart]``).
        """
        self.rescan()

    def close(self, grace: float = 5.0, end: float = math.inf) -> None:
        """Stop taking calls, finish those under way, stop every plugin.

        ``grace``: seconds for calls under way; what has no answer then is given up (CallCancelledError). A plugin's
        on_stop and its threads have limits of their own after that, ``end`` seconds at most. An interpreter that does
        not end at all is set aside; those have a last chance of ``LAST_CHANCE`` seconds. What is loaded, stopped or
        drained meanwhile is cut short.
        """
        deadline = time.monotonic() + grace
        final = deadline + end
        for plugin in list(self._plugins.values()):
            plugin.hurry(deadline, final)
        with self._lock, ExitStack() as turns:
            if self._caretaker is not None:
                self._caretaker.close()
                self._caretaker = None
            plugins = list(self._plugins.values())
            for plugin in plugins:
                plugin.hurry(deadline, final)
                turns.enter_context(plugin.turn)
            self._router.set_draining(True)
            try:
                self._close(plugins, deadline, final)
            finally:
                self._router.set_draining(False)

    def rescan(self) -> ScanReport:
        """Read the folder again: load what is new, replace what has changed, retry what failed, stop what is gone.

        A changed plugin is replaced without a gap: the new version loads while the old one serves.
        """
        with self._lock:
            _open_hosts.add(self)
            self._need_helpers()
            manifests, errors = manifest.load_all(self._folder) if self._folder is not None else ([], [])
            broken = self._note_broken_manifests({item.name for item in manifests}, errors)
            found = {item.name: self._plugin_of(item) for item in manifests}
            gone = [name for name in self._plugins if name not in found.keys() | broken | self._apart]
            wanted = [item for item in manifests if found[item.name].is_news(item)]
            before = {name for name, plugin in found.items() if plugin.is_serving}
            failed = self._load(wanted)
            self._remove(gone)
            changed = {item.name for item in wanted}
            for name in found.keys() - changed:
                found[name].accept()
            return ScanReport(
                loaded=tuple(sorted(changed - failed - before)),
                replaced=tuple(sorted((changed - failed) & before)),
                removed=tuple(sorted(gone)),
                failed=tuple(sorted(failed | broken)),
                unchanged=tuple(sorted(found.keys() - changed)),
            )

    def load_plugin(self, path: str | os.PathLike[str]) -> PluginStatus:
        """Load the plugin of a folder with a plugin.toml, or of a .py file, wherever it is; ``rescan`` leaves it alone.

        One that was loaded from there before is loaded anew, as by ``reload_plugin``.

        Raises:
            ManifestError, PluginLoadError: it does not load, or its name is taken.
        """
        item = manifest.load(Path(path).absolute())
        with self._lock:
            _open_hosts.add(self)
            self._need_helpers()
            plugin = self._plugin_of(item)
            if plugin.source != item.source.absolute():
                raise ManifestError(f"{item.source}: the name {item.name!r} is taken by {plugin.source}")
            self._apart.add(item.name)
        with plugin.turn:
            self._load_one(plugin)
        return plugin.status()

    def unload_plugin(self, name: str) -> None:
        """Stop the plugin, as ``stop_plugin`` does, and forget it. Raises PluginNotFoundError."""
        with self._lock:
            self._plugin(name)
            self._apart.discard(name)
            self._remove([name])

    def reload_plugin(self, name: str) -> PluginStatus:
        """Load the plugin anew from its folder, and let the new version take its place in one step.

        The old version serves until the new one has passed its ``on_start``; then it finishes the calls that it has,
        and ends behind the new one. The next reload waits for that. A plugin that does not run is started.

        Raises:
            PluginNotFoundError: there is no such plugin.
            ManifestError, PluginLoadError: the new version does not load; the old one, if any, serves on.
        """
        plugin = self._plugin(name)
        with plugin.turn:
            self._load_one(plugin)
        return plugin.status()

    def start_plugin(self, name: str) -> PluginStatus:
        """Load a plugin that does not run, now and not when its time has come; one that runs is left alone.

        Raises as ``reload_plugin``.
        """
        plugin = self._plugin(name)
        with plugin.turn:
            if not plugin.is_serving:
                self._load_one(plugin)
        return plugin.status()

    def stop_plugin(self, name: str) -> PluginStatus:
        """Stop taking calls for the plugin, finish those that it has, run its ``on_stop``; until it is started again.

        What has no answer by the plugin's deadline is given up. Raises PluginNotFoundError.
        """
        plugin = self._plugin(name)
        with plugin.turn:
            plugin.stop(plugin.default_grace())
        return plugin.status()

    def drain_plugin(self, name: str, timeout: float | None = None) -> PluginStatus:
        """As ``stop_plugin``, but wait for the calls as long as they take.

        What has no answer after ``timeout`` seconds is given up; None: nothing is. Raises PluginNotFoundError.
        """
        plugin = self._plugin(name)
        with plugin.turn:
            plugin.stop(math.inf if timeout is None else timeout)
        return plugin.status()

    def restart_plugin(self, name: str) -> PluginStatus:
        """Stop it, then load it anew: for one that cannot run twice at once. Raises as ``reload_plugin``."""
        plugin = self._plugin(name)
        with plugin.turn:
            plugin.stop(plugin.default_grace())
            self._load_one(plugin)
        return plugin.status()

    def function(self, name: str) -> _core.Function:
        """A handle for ``"plugin.function"``: call it like the function. It follows the plugin through reloads."""
        found = self._functions.get(name)
        if found is None:
            found = self._router.function(name)
            # Only what exists is kept: a caller on the network can ask for any number of names.
            if self.describe(name) is not None:
                self._functions[name] = found
        return found

    def call(self, name: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Call ``"plugin.function"`` and wait. ``timeout`` in seconds; None: the plugin's own deadline."""
        return self.function(name).call(args, kwargs, timeout)

    async def acall(self, name: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """As ``call``, for asyncio. Cancelling it gives the call up."""
        return await call_on_loop(self.function(name), args, kwargs, timeout)

    async def invoke(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], timeout: float | None = None
    ) -> Any:
        """As ``acall``, with the arguments as data: any keyword can be passed, ``timeout`` too."""
        return await call_on_loop(self.function(name), args, kwargs, timeout)

    def submit(self, name: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Future[Any]:
        """As ``call``, without waiting. Cancelling the future gives the call up."""
        return self._futures.submit(self.function(name), args, kwargs, timeout)

    def map(self, name: str, iterable: Iterable[Any], *, timeout: float | None = None) -> Iterator[Any]:
        """Call the function once for each item, many under way at once; the results in order.

        The calls spread over the plugin's interpreters. An item that failed raises in its turn, and the results after
        it can still be taken. ``timeout`` bounds each call from its start.
        """
        return self.function(name).map(iterable, timeout)

    @property
    def warm_interpreters(self) -> int:
        """How many interpreters are ready for a plugin now, of the ``warm`` that are to be."""
        return self._pool.ready

    def plugin(self, name: str) -> PluginProxy:
        """The plugin with its functions as attributes. Raises PluginNotFoundError."""
        self.status(name)
        return PluginProxy(self, name)

    def plugins(self) -> list[PluginStatus]:
        """A snapshot of every plugin, by name."""
        return [plugin.status() for _, plugin in sorted(self._plugins.items())]

    def status(self, name: str) -> PluginStatus:
        """A snapshot of one plugin. Raises PluginNotFoundError."""
        return self._plugin(name).status()

    def describe(self, name: str) -> FunctionDescription | None:
        """What ``"plugin.function"`` says of itself; None where there is none. Reads no counters: for every call."""
        plugin, _, function = name.partition(".")
        known = self._plugins.get(plugin)
        functions = known.functions if known is not None else ()
        return next((item for item in functions if item.name == function), None)

    def _need_helpers(self) -> None:
        self.logs.start()
        if self._caretaker is None:
            self._caretaker = Caretaker(self._look)

    def _plugin(self, name: str) -> Supervised:
        plugin = self._plugins.get(name)
        if plugin is None:
            raise PluginNotFoundError(name, f"there is no plugin {name!r}")
        return plugin

    def _plugin_of(self, item: Manifest) -> Supervised:
        """The plugin that the manifest is of, which may be new."""
        return self._plugins.setdefault(item.name, self._new_plugin(item.name, item.source))

    def _new_plugin(self, name: str, source: Path) -> Supervised:
        return Supervised(name, source, self._router, self._pool, self._state_folder)

    def _close(self, plugins: Sequence[Supervised], deadline: float, final: float) -> None:
        # Plugins call each other, so each stays open until all have finished what they have.
        while not all(plugin.is_idle() for plugin in plugins) and time.monotonic() < deadline:
            time.sleep(0.002)
        for plugin in plugins:
            plugin.close()
        _side_by_side([partial(plugin.wait_closed, deadline) for plugin in plugins])
        self._pool.close()
        until = min(time.monotonic() + LAST_CHANCE, final)
        while sum(plugin.recall() for plugin in plugins) > 0 and time.monotonic() < until:
            time.sleep(0.002)
        self._pool = WarmPool(self._router, self._warm, self._preload)
        self._futures.close()
        self._futures = FutureDispatcher()
        for plugin in plugins:
            self._router.withdraw(plugin.name)
        self._plugins.clear()
        self.logs.close()
        self._apart.clear()
        _open_hosts.discard(self)

    def _note_broken_manifests(self, found: set[str], errors: Iterable[tuple[str, Path, ManifestError]]) -> set[str]:
        """Tell the plugins, running and new ones, whose manifests are wrong; their names."""
        by_source = {plugin.source: plugin for name, plugin in self._plugins.items() if name not in found}
        broken = set()
        for name, path, error in errors:
            plugin = by_source.get(path.absolute())
            if plugin is None or not (plugin.is_serving or plugin.name == name):
                self._remove([name] if name in self._plugins else [])
                plugin = self._plugins[name] = self._new_plugin(name, path)
            plugin.refuse(error)
            broken.add(plugin.name)
        return broken

    def _load_one(self, plugin: Supervised) -> None:
        try:
            item = plugin.read()
        except ManifestError as error:
            plugin.refuse(error)
            raise
        self._warn_uncounted([item])
        plugin.finish(plugin.begin(item))

    def _load(self, manifests: Sequence[Manifest]) -> set[str]:
        """Load them side by side; the names of those that failed."""
        self._warn_uncounted(manifests)
        failed = set()
        with ExitStack() as turns:
            begun = []
            for item in manifests:
                plugin = self._plugins[item.name]
                turns.enter_context(plugin.turn)
                try:
                    begun.append((plugin, plugin.begin(item)))
                except (PluginLoadError, PluginNotFoundError):
                    failed.add(plugin.name)
            for plugin, version in begun:
                try:
                    plugin.finish(version)
                except PluginLoadError:
                    failed.add(plugin.name)
        return failed

    def _warn_uncounted(self, manifests: Iterable[Manifest]) -> None:
        limited = [
            item.name
            for item in manifests
            if item.limits.memory is not None or item.restart.max_memory_growth is not None
        ]
        if limited and not _core.memory_counted:
            _logger.warning(
                "limits.memory and restart.max_memory_growth of %s are not kept: memory is not counted beside another "
                "allocator than CPython's own; run without -X dev, PYTHONMALLOC and PYHOST_MEMORY_ACCOUNTS",
                ", ".join(limited),
            )

    def _look(self) -> float | None:
        """Let every plugin deal with what has happened; when the next one has to, if nothing does until then."""
        now = time.monotonic()
        times = [plugin.look(now) for plugin in list(self._plugins.values())]
        return min((due for due in times if due is not None), default=None)

    def _remove(self, names: Iterable[str]) -> None:
        removed = [self._plugins.pop(name) for name in names]
        with ExitStack() as turns:
            for plugin in removed:
                turns.enter_context(plugin.turn)
                plugin.close()
                self._router.withdraw(plugin.name)
            now = time.monotonic()
            for plugin in removed:
                plugin.wait_closed(now + plugin.default_grace())


def _side_by_side(waits: Iterable[Callable[[], None]]) -> None:
    """Make waits at the same time, each on a thread of its own, so that together they take as long as the longest."""
    threads = []
    for wait in waits:
        thread = threading.Thread(target=wait, name="pyhost-closing", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            wait()  # a program that ends can start no more threads
        else:
            threads.append(thread)
    for thread in threads:
        thread.join()


EXIT_LOST = 70
"""Exit code of an ordinary Python that ends while an interpreter has not ended (EX_SOFTWARE of sysexits.h)."""

_open_hosts: set[Host] = set()
"""Started and not closed: one that its program forgets runs until the program ends."""


def _leave() -> None:
    """At the end of an ordinary Python: no interpreter may be left when CPython is finalized."""
    for host in list(_open_hosts):
        host.close()
    if _core.left_count() > 0 and not _core.embedded:
        # A thread is still inside an interpreter, and finalizing CPython would abort. The program's own exit code
        # cannot be known here, and that of success would hide a failure.
        message = f"pyhost: {_core.left_count()} interpreter(s) did not end; the process ends without them"
        print(f"{message}, exit code {EXIT_LOST}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(EXIT_LOST)


atexit.register(_leave)
