"""Warm interpreters: created and ready for a plugin before it is known which, so that loading is a matter of importing.

Main interpreter only.
"""

import logging
import sys
import threading
from collections.abc import Iterable

from pyhost import _core
from pyhost.bundle import guest_bundle
from pyhost.errors import ConfigurationError

_logger = logging.getLogger(__name__)

END_LIMIT = 5.0
"""Seconds for an interpreter that was never used to end."""


class WarmPool:
    """Keeps up to ``size`` interpreters warm for one router's plugins; with 0, each is created when it is needed.

    ``preload``: modules of the standard library that they have imported. Any thread may use it.
    """

    def __init__(self, router: _core.Router, size: int = 0, preload: Iterable[str] = ()) -> None:
        """Raises ConfigurationError: something to preload is not of the standard library."""
        self._router = router
        self._size = size
        self._preload = tuple(preload)
        for name in self._preload:
            if name.partition(".")[0] not in sys.stdlib_module_names:
                raise ConfigurationError(
                    f"preload has {name!r}; allowed: modules of the standard library, as plugins may have other "
                    "versions of all else"
                )
        self._lock = threading.Lock()
        self._interpreters: list[_core.Interpreter] = []
        self._closed = False

    @property
    def ready(self) -> int:
        """How many wait for a plugin now."""
        with self._lock:
            return sum(item.is_warm for item in self._interpreters)

    def take(self) -> _core.Interpreter:
        """An interpreter for a plugin: the oldest of those that are kept, or a new one that comes up."""
        while True:
            with self._lock:
                if not self._interpreters:
                    return self._warm_up(_core.Interpreter(self._router), ())
                interpreter = self._interpreters.pop(0)
            interpreter.wait_warm(None)
            if interpreter.is_warm:
                return interpreter
            self._drop_preload(interpreter)

    def fill(self) -> None:
        """Let as many come up as are missing; does not wait for them."""
        with self._lock:
            while not self._closed and len(self._interpreters) < self._size:
                interpreter = _core.Interpreter(self._router)
                interpreter.step_back()
                self._interpreters.append(self._warm_up(interpreter, self._preload))

    def close(self) -> None:
        """End those that are kept, and keep no more."""
        with self._lock:
            self._closed = True
            kept, self._interpreters = self._interpreters, []
        for interpreter in kept:
            interpreter.close()
        for interpreter in kept:
            if not interpreter.wait_ended(END_LIMIT):
                interpreter.set_aside()

    @staticmethod
    def _warm_up(interpreter: _core.Interpreter, preload: tuple[str, ...]) -> _core.Interpreter:
        interpreter.warm_up(guest_bundle(preload))
        return interpreter

    def _drop_preload(self, failed: _core.Interpreter) -> None:
        """Without what cannot be preloaded there is no harm; plugins that import it will say what is wrong."""
        _, failure = failed.start_outcome()
        reason = f"{failure[0]}: {failure[1]}" if failure is not None else "CPython could not create it"
        _logger.warning("a warm interpreter failed (%s); preload (%s) is dropped", reason, ", ".join(self._preload))
        self._preload = ()
