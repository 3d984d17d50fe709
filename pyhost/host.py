"""The host: a folder of plugins, loaded, called and stopped from a program."""

import atexit
import logging
import os
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyhost import _core, manifest
from pyhost.caretaker import Caretaker
from pyhost.errors import ConfigurationError, ManifestError, PluginLoadError, PluginNotFoundError
from pyhost.event_loop import call_on_loop
from pyhost.futures import FutureDispatcher
from pyhost.latency import summarize
from pyhost.lifecycle import State
from pyhost.loader import LoadedPlugin
from pyhost.manifest import Manifest
from pyhost.pool import WarmPool
from pyhost.status import FunctionDescription, FunctionStatus, PluginStatus

_logger = logging.getLogger(__name__)


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
        self, plugins: str | os.PathLike[str] | None = None, *, warm: int = 0, preload: Iterable[str] = ()
    ) -> None:
        """``plugins``: the folder to load; None for none.

        ``warm``: how many interpreters are kept ready (about 2 MB each), so that a plugin is loaded, restarted and
        reloaded the faster; ``preload``: modules of the standard library that these have imported.

        Raises:
            ConfigurationError: there is no such folder, or something to preload is not of the standard library.
        """
        if tracemalloc.is_tracing():
            raise ConfigurationError(
                "tracemalloc is tracing, and crashes with sub-interpreters; run without -X tracemalloc"
            )
        # Absolute, as any plugin can change the working folder of the process.
        self._folder = Path(plugins).absolute() if plugins is not None else None
        if self._folder is not None:
            manifest.discover(self._folder)
        self._router = _core.Router()
        self._warm = warm
        self._preload = tuple(preload)
        self._pool = WarmPool(self._router, warm, self._preload)
        self._plugins: dict[str, LoadedPlugin] = {}
        self._bad_manifests: dict[str, tuple[Path, ManifestError]] = {}
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
        """Load every plugin of the folder and wait until each runs or has failed."""
        self.rescan()

    def close(self, grace: float = 5.0) -> None:
        """Stop taking calls, finish those under way, stop every plugin.

        ``grace``: seconds for calls under way; what has no answer then is given up (CallCancelledError). A plugin's
        on_stop has a limit of its own after that, and an interpreter that does not end at all is set aside.
        """
        deadline = time.monotonic() + grace
        self._dismiss_caretaker()
        with self._lock:
            plugins = list(self._plugins.values())
            self._router.set_draining(True)
            try:
                self._close(plugins, deadline)
            finally:
                self._router.set_draining(False)

    def rescan(self) -> ScanReport:
        """Read the folder again: load what is new, replace what has changed, retry what failed, stop what is gone.

        A changed plugin is replaced without a gap: the new version loads while the old one serves.
        """
        with self._lock:
            _open_hosts.add(self)
            manifests, errors = manifest.load_all(self._folder) if self._folder is not None else ([], [])
            found = {item.name for item in manifests}
            broken = self._note_broken_manifests(errors)
            gone = [name for name in self._plugins if name not in found | broken]
            wanted = [item for item in manifests if self._is_news(item)]
            before = {name for name, plugin in self._plugins.items() if plugin.state is State.RUNNING}
            failed = self._load(wanted)
            self._remove(gone)
            changed = {item.name for item in wanted}
            for name in found - changed:
                self._plugins[name].error = None
            return ScanReport(
                loaded=tuple(sorted(changed - failed - before)),
                replaced=tuple(sorted((changed - failed) & before)),
                removed=tuple(sorted(gone)),
                failed=tuple(sorted(failed | broken | set(self._bad_manifests))),
                unchanged=tuple(sorted(found - changed)),
            )

    def reload_plugin(self, name: str) -> PluginStatus:
        """Load the plugin anew from its folder, and let the new version take its place in one step.

        The old version serves until the new one has passed its ``on_start``, and finishes the calls that it has. A
        plugin that is stopped or has failed is started.

        Raises:
            PluginNotFoundError: there is no such plugin.
            ManifestError, PluginLoadError: the new version does not load; the old one, if any, serves on.
        """
        with self._lock:
            self._load_one(name)
        return self.status(name)

    def start_plugin(self, name: str) -> PluginStatus:
        """Load a plugin that is stopped or has failed; one that runs is left alone. Raises as ``reload_plugin``."""
        with self._lock:
            plugin = self._plugins.get(name)
            if plugin is None or plugin.state is not State.RUNNING:
                self._load_one(name)
        return self.status(name)

    def stop_plugin(self, name: str) -> PluginStatus:
        """Stop taking calls for the plugin, finish those that it has, run its ``on_stop``; until it is started again.

        What has no answer by the plugin's deadline is given up. Raises PluginNotFoundError.
        """
        with self._lock:
            self._stop_one(name)
        return self.status(name)

    def restart_plugin(self, name: str) -> PluginStatus:
        """Stop it, then load it anew: for one that cannot run twice at once. Raises as ``reload_plugin``."""
        with self._lock:
            self._stop_one(name)
            self._load_one(name)
        return self.status(name)

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
        found = {name: self._status_of(plugin) for name, plugin in list(self._plugins.items())}
        bad = {name: _status_of_bad(name, path, error) for name, (path, error) in list(self._bad_manifests.items())}
        return [status for _, status in sorted((bad | found).items())]

    def status(self, name: str) -> PluginStatus:
        """A snapshot of one plugin. Raises PluginNotFoundError."""
        plugin = self._plugins.get(name)
        if plugin is not None:
            return self._status_of(plugin)
        bad = self._bad_manifests.get(name)
        if bad is None:
            raise PluginNotFoundError(name, f"there is no plugin {name!r}")
        return _status_of_bad(name, *bad)

    def _close(self, plugins: Sequence[LoadedPlugin], deadline: float) -> None:
        # Plugins call each other, so each stays open until all have finished what they have.
        while not all(plugin.is_idle() for plugin in plugins) and time.monotonic() < deadline:
            time.sleep(0.002)
        for plugin in plugins:
            self._router.publish(plugin.manifest.name, (), ())
            plugin.close()
        self._wait_ended(plugins, max(deadline - time.monotonic(), 0.0))
        self._pool.close()
        self._pool = WarmPool(self._router, self._warm, self._preload)
        self._futures.close()
        self._futures = FutureDispatcher()
        for plugin in plugins:
            self._router.withdraw(plugin.manifest.name)
        self._plugins.clear()
        self._bad_manifests.clear()
        _open_hosts.discard(self)

    def _note_broken_manifests(self, errors: Iterable[tuple[str, Path, ManifestError]]) -> set[str]:
        """Keep the errors to show; the names of running plugins whose manifest has become one of them."""
        running = {plugin.manifest.source: plugin for plugin in self._plugins.values() if plugin.state is State.RUNNING}
        self._bad_manifests = {}
        broken = set()
        for name, path, error in errors:
            plugin = running.get(path.absolute())
            if plugin is None:
                self._bad_manifests[name] = (path, error)
            else:
                plugin.error = PluginLoadError(plugin.manifest.name, str(error))
                broken.add(plugin.manifest.name)
        return broken

    def describe(self, name: str) -> FunctionDescription | None:
        """What ``"plugin.function"`` says of itself; None where there is none. Reads no counters: for every call."""
        plugin, _, function = name.partition(".")
        loaded = self._plugins.get(plugin)
        functions = loaded.functions if loaded is not None else ()
        return next((item for item in functions if item.name == function), None)

    def _is_news(self, item: Manifest) -> bool:
        plugin = self._plugins.get(item.name)
        if plugin is not None and plugin.state is State.STOPPED:
            return False  # by request: until it is started
        return plugin is None or plugin.state is not State.RUNNING or plugin.fingerprint != manifest.fingerprint(item)

    def _source_of(self, name: str) -> Path:
        """The plugin.toml or .py file. Raises PluginNotFoundError."""
        plugin = self._plugins.get(name)
        if plugin is not None:
            return plugin.manifest.source
        if name not in self._bad_manifests:
            raise PluginNotFoundError(name, f"there is no plugin {name!r}")
        return self._bad_manifests[name][0]

    def _load_one(self, name: str) -> None:
        source = self._source_of(name)
        item = manifest.load(source)
        if name in self._plugins and item.name != name:
            raise ManifestError(f"{source}: plugin.name is now {item.name!r}; rescan the folder to load it as that")
        if item.name in self._plugins and item.name != name:
            raise ManifestError(f"{source}: the name {item.name!r} is taken; give one of the two another name")
        failed = self._load([item])
        self._bad_manifests.pop(name, None)
        error = self._plugins[item.name].error
        if failed and error is not None:
            raise error

    def _stop_one(self, name: str) -> None:
        self._source_of(name)  # raises where there is none
        plugin = self._plugins.get(name)
        if plugin is not None and plugin.state is State.RUNNING:
            self._router.publish(name, (), ())
            plugin.close()
            self._wait_ended([plugin], plugin.manifest.limits.deadline)

    def _load(self, manifests: Sequence[Manifest]) -> set[str]:
        """Load them side by side; the names of those that failed."""
        loading = [LoadedPlugin(item, self._router, self._pool) for item in manifests]
        self._need_caretaker(manifests)
        failed = set()
        for plugin in loading:
            if plugin.manifest.name in self._plugins:
                manifest.forget_bytecode(plugin.manifest)
            plugin.begin(in_place_of=self._plugins.get(plugin.manifest.name))
        for plugin in loading:
            name = plugin.manifest.name
            old = self._plugins.get(name)
            try:
                plugin.finish()
            except PluginLoadError:
                failed.add(name)
                if old is not None and old.state is State.RUNNING:
                    old.error = plugin.error
                    continue
                self._router.publish(name, (), ())
                self._plugins[name] = plugin
                continue
            plugin.publish(in_place_of=old)
            self._plugins[name] = plugin
            if old is not None:
                self._wait_ended([old], old.manifest.limits.deadline)
        self._pool.fill()
        return failed

    def _need_caretaker(self, loaded: Iterable[Manifest]) -> None:
        limited = [item.name for item in loaded if item.limits.memory is not None]
        if limited and not _core.memory_counted:
            _logger.warning(
                "limits.memory of %s is not kept: memory is not counted beside another allocator than CPython's own; "
                "run without -X dev, PYTHONMALLOC and PYHOST_MEMORY_ACCOUNTS",
                ", ".join(limited),
            )
        elif limited and self._caretaker is None:
            self._caretaker = Caretaker(self._replace_condemned)

    def _dismiss_caretaker(self) -> None:
        with self._lock:
            caretaker, self._caretaker = self._caretaker, None
        if caretaker is not None:
            caretaker.close()

    def _replace_condemned(self) -> None:
        """Put new interpreters in the place of condemned ones; threads see to it that the old ones end."""
        for plugin in list(self._plugins.values()):
            for condemned in plugin.condemned():
                new = plugin.replace(condemned)
                if new is not None:
                    threading.Thread(target=_finish, args=(plugin, new, condemned, self._pool), daemon=True).start()

    def _remove(self, names: Iterable[str]) -> None:
        removed = [self._plugins.pop(name) for name in names]
        for plugin in removed:
            self._router.withdraw(plugin.manifest.name)
            plugin.close()
        self._wait_ended(removed, max((plugin.manifest.limits.deadline for plugin in removed), default=0.0))

    def _wait_ended(self, plugins: Iterable[LoadedPlugin], grace: float) -> None:
        deadline = time.monotonic() + grace
        for plugin in plugins:
            plugin.wait_ended(deadline)
            for traceback_text in plugin.stop_failures:
                print(f"pyhost: on_stop of plugin {plugin.manifest.name!r} failed:\n{traceback_text}", file=sys.stderr)

    def _status_of(self, plugin: LoadedPlugin) -> PluginStatus:
        item = plugin.manifest
        counted = {statistics[0]: statistics for statistics in self._router.statistics(item.name)}
        functions = []
        for description in plugin.functions:
            if description.name not in counted:
                continue
            _, calls, errors, timeouts, rejected, total, maximum, cpu, buckets = counted[description.name]
            functions.append(
                FunctionStatus(
                    description=description,
                    calls=calls,
                    errors=errors,
                    timeouts=timeouts,
                    rejected=rejected,
                    latency=summarize(buckets, total, maximum),
                    cpu=cpu,
                )
            )
        return PluginStatus(
            name=item.name,
            version=item.version,
            state=plugin.state,
            reason=plugin.error.reason if plugin.error is not None else "",
            traceback_text=plugin.error.traceback_text if plugin.error is not None else "",
            source=str(item.source),
            doc=plugin.doc,
            interpreters=plugin.interpreters(),
            functions=tuple(functions),
            cpu=plugin.cpu(),
            replaced=plugin.replaced,
        )


def _finish(plugin: LoadedPlugin, new: _core.Interpreter, condemned: _core.Interpreter, pool: WarmPool) -> None:
    plugin.finish_replacement(new)
    pool.fill()
    plugin.retire(condemned)


def _status_of_bad(name: str, path: Path, error: ManifestError) -> PluginStatus:
    return PluginStatus(
        name=name, version="", state=State.FAILED, reason=str(error), traceback_text="", source=str(path), doc=""
    )


EXIT_LOST = 70
"""Exit code of an ordinary Python that ends while an interpreter is set aside (EX_SOFTWARE of sysexits.h)."""

_open_hosts: set[Host] = set()
"""Started and not closed: one that its program forgets runs until the program ends."""


def _leave() -> None:
    """At the end of an ordinary Python: no interpreter may be left when CPython is finalized."""
    for host in list(_open_hosts):
        host.close()
    if _core.lost_count() > 0 and not _core.embedded:
        # A thread is still inside an interpreter, and finalizing CPython would abort. The program's own exit code
        # cannot be known here, and that of success would hide a failure.
        message = f"pyhost: {_core.lost_count()} interpreter(s) did not end; the process ends without them"
        print(f"{message}, exit code {EXIT_LOST}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(EXIT_LOST)


atexit.register(_leave)
