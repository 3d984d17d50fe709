"""How a plugin ends, step by step, on its interpreter's owner thread: ``host/ending.c`` takes the steps in turn.

Its own code runs last while the interpreter is still whole, and while it can be interrupted: what CPython runs when it
ends an interpreter holds up the start of every other one.
"""

import sys
import time

from pyhost.plugin import DeadlineInterrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any, NoReturn

    from pyhost.guest import Guest


class Ending:
    """The end of one plugin, or with ``guest=None`` of one that did not start. What fails is kept until ``tell``."""

    def __init__(self, guest: "Guest | None") -> None:
        self._guest = guest
        self._failures: list[BaseException] = []
        self._helper: int | None = None  # a thread of our own

    def stop(self, limit: float) -> None:
        """Run the ``on_stop`` and ``atexit`` functions within ``limit`` seconds, and tell threads to end that wait for
        it: those of executors, and timers.
        """
        # A little less, so that what waits has ended by itself before it is interrupted.
        until = time.monotonic() + 0.9 * limit
        if self._guest is not None:
            for hook in self._guest.stop_hooks:
                self._attempt(self._guest.run_hook, hook, until - time.monotonic())
            if self._guest.loop is not None:
                self._attempt(self._guest.loop.close, until - time.monotonic())
        if "atexit" in sys.modules:
            self._attempt(sys.modules["atexit"]._run_exitfuncs)
        if "threading" in sys.modules:
            self._attempt(self._tell_threads, sys.modules["threading"])

    def blame(self, identities: list[int]) -> None:
        """These threads have not ended in time, and are interrupted now; no others can be started."""
        for module in filter(None, (sys.modules.get("_thread"), sys.modules.get("threading"))):
            for name in ("start_new_thread", "start_joinable_thread"):
                vars(module).update({name: _refuse_thread, f"_{name}": _refuse_thread})
        active = sys.modules["threading"].enumerate() if "threading" in sys.modules else []
        names = {thread.ident: thread.name for thread in active}
        blamed = [
            names.get(identity, "one without a name") for identity in identities[::-1] if identity != self._helper
        ]
        text = ", ".join(blamed[:10] + ["…"] * (len(blamed) > 10))
        threads, were = ("thread", "was") if len(blamed) == 1 else ("threads", "were")
        message = f"{len(blamed)} {threads} of the plugin had not ended in time and {were} interrupted: {text}"
        self._failures.append(RuntimeError(f"{message}; end them in an on_stop function"))

    def tell(self) -> None:
        """Raise what has failed."""
        failures, self._failures = self._failures, []
        if failures[1:]:
            raise BaseExceptionGroup("several things failed while the plugin stopped", failures)
        if failures:
            raise failures[0]

    def clear(self) -> None:
        """Let the plugin's objects go, in the order that CPython has for it, so that their destructors run now."""
        import gc
        from _weakref import ref

        self._guest = None
        modules = [ref(module) for module in _forget_modules()]
        gc.unfreeze()
        gc.collect()
        for survivor in filter(None, [module() for module in modules]):
            _clear_module(survivor)
        gc.collect()
        if "threading" in sys.modules:
            # The stand-in for this thread would be deleted after the module's own globals, and complain.
            local = getattr(sys.modules["threading"], "_thread_local_info", sys.modules["threading"])
            local.__dict__.pop("_track_dummy_thread_ref", None)

    def _tell_threads(self, threading: "Any") -> None:
        hooks = threading._threading_atexits[::-1]
        threading._threading_atexits.clear()
        if hooks:
            # Those of executors wait for their threads, however long; the owner thread must not. Python itself would
            # run them too late.
            helper = threading.Thread(target=_run_all, args=[hooks], name="pyhost-stop")
            helper.start()
            self._helper = helper.ident
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.cancel()

    def _attempt(self, step: "Callable[..., Any]", *args: "Any") -> None:
        try:
            step(*args)
        except BaseException as error:
            self._failures.append(error)


def _run_all(hooks: "list[Callable[[], Any]]") -> None:
    for hook in hooks:
        try:
            hook()
        except DeadlineInterrupt:
            return


def _refuse_thread(*_: "Any", **__: "Any") -> "NoReturn":
    raise RuntimeError("the plugin is stopping, and its threads had their time: no more can be started")


def _forget_modules() -> "list[ModuleType]":
    """Take the modules that are not of the standard library out of ``sys.modules``."""
    library = sys._stdlib_dir or ""  # type: ignore[attr-defined]
    forgotten = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or library
        is_ours = name == "pyhost" or name.startswith("pyhost.")
        if not is_ours and (not file.startswith(library) or "/site-packages/" in file):
            forgotten.append(sys.modules.pop(name))
    return forgotten


def _clear_module(module: "ModuleType") -> None:
    """Something of the standard library holds it: names of one underscore go first, as in CPython."""
    names = module.__dict__
    for is_first in (True, False):
        for name in list(names):
            if name != "__builtins__" and (not is_first or (name[0] == "_" and name[1:2] != "_")):
                names[name] = None
