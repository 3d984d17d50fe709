"""The host's caretaker: a thread that learns of interpreters past their hard memory limit as it happens."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from pyhost import _core

if TYPE_CHECKING:
    from collections.abc import Callable


_logger = logging.getLogger(__name__)


class Caretaker:
    """Calls ``look`` on a thread of its own whenever an interpreter of this process was condemned."""

    def __init__(self, look: Callable[[], None]) -> None:
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
        seen = 0
        while not self._closed:
            seen = _core.wait_news(seen)
            if not self._closed:
                try:
                    self._look()
                except Exception:
                    _logger.exception("an interpreter past its memory limit could not be replaced")
