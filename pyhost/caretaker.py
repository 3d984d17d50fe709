"""The host's caretaker: a thread that looks at every plugin when there is news of one, or when something is due."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from pyhost import _core

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger(__name__)

_AFTER_FAILURE = 1.0
"""Seconds until it looks again when a look has failed."""


class Caretaker:
    """Calls ``look`` on a thread of its own whenever there is news (``_core.wait_news``), and when ``look`` said to.

    ``look`` must not take long; it returns when it is to be called next (``time.monotonic``), None for at news only.
    """

    def __init__(self, look: Callable[[], float | None]) -> None:
        self._look = look
        self._closed = False
        # A daemon: a host that its program forgets is closed when the interpreter exits, after threads are joined.
        self._thread = threading.Thread(target=self._run, name="pyhost-caretaker", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; a look that has begun is waited for."""
        self._closed = True
        _core.tell_news()
        self._thread.join()

    def _run(self) -> None:
        seen, due = 0, None
        while not self._closed:
            seen = _core.wait_news(seen, None if due is None else max(due - time.monotonic(), 0.001))
            if not self._closed:
                due = self._look_once()

    def _look_once(self) -> float | None:
        try:
            return self._look()
        except Exception:
            _logger.exception("a plugin could not be looked after; it is tried again")
            return time.monotonic() + _AFTER_FAILURE
