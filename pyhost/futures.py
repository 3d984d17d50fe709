"""Calls from threads that do not wait: ``concurrent.futures`` over the completions of the C half."""

import threading
from concurrent.futures import Future
from typing import Any

from pyhost import _core


class CallFuture(Future[Any]):
    """The future of one call; cancelling it gives the call up."""

    call: _core.Call | None = None

    def cancel(self) -> bool:
        """Give the call up unless it is done. True if it had no answer yet."""
        cancelled = super().cancel()
        if cancelled and self.call is not None:
            self.call.cancel()
        return cancelled


class FutureDispatcher:
    """Resolves futures on one thread, which starts with the first call, as does what it waits for."""

    def __init__(self) -> None:
        self._completions: _core.Completions | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._pending: set[CallFuture] = set()

    def submit(
        self, function: _core.Function, args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float | None
    ) -> CallFuture:
        """Call without waiting. What keeps the call from being made is raised here, its outcome by ``result()``."""
        future = CallFuture()
        completions = self._expect(future)
        try:
            future.call = function.submit(completions, future, args, kwargs, timeout)
        except BaseException:
            self._pending.discard(future)
            completions.notify()  # the thread may have waited for this one alone
            raise
        return future

    def close(self) -> None:
        """End the thread; calls that have no answer by now are given up (CallCancelledError)."""
        with self._lock:
            self._closing = True
            thread, completions = self._thread, self._completions
        for future in list(self._pending):
            if future.call is not None:
                future.call.cancel()
        if thread is not None and completions is not None:
            completions.notify()
            if thread is not threading.current_thread():  # a future's callback may close the host
                thread.join()

    def _expect(self, future: CallFuture) -> _core.Completions:
        with self._lock:
            completions = self._completions or _core.Completions()
            self._completions = completions
            self._pending.add(future)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, args=(completions,), name="pyhost-futures", daemon=True
                )
                self._thread.start()
            return completions

    def _is_needed(self) -> bool:
        with self._lock:
            if self._closing and not self._pending:
                self._thread = None
            return self._thread is not None

    def _run(self, completions: _core.Completions) -> None:
        while self._is_needed():
            completions.wait()
            for future, value, error in completions.drain():
                self._pending.discard(future)
                if not future.set_running_or_notify_cancel():
                    continue
                if error is None:
                    future.set_result(value)
                else:
                    future.set_exception(error)
