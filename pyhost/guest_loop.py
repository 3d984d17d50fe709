"""The event loop of a plugin with ``async`` exports: many calls in flight on the owner thread.

The loop watches the inbox's descriptor. Plain functions of such a plugin run between the loop's other work.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any

from pyhost import _core
from pyhost.plugin import DeadlineInterrupt

CANCEL_LIMIT = 0.5
"""Seconds that tasks of calls that were given up have to end."""
LEAST_LIMIT = 0.05
"""Seconds that a cancelled task has to end, however late it is."""


class GuestLoop:
    """The loop of one plugin interpreter; made, used and closed on its owner thread."""

    def __init__(self, are_coroutines: tuple[bool, ...]) -> None:
        self._are_coroutines = are_coroutines
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._calls: dict[asyncio.Task[None], _core.Call] = {}
        self._is_open = True

    def run_hook(self, hook: Callable[..., Any], limit: float, *arguments: Any) -> None:
        """Run an ``on_start`` or ``on_stop`` function, awaiting it for up to ``limit`` seconds if it is ``async``."""

        async def run() -> None:
            result = hook(*arguments)
            if isinstance(result, Coroutine):
                try:
                    async with asyncio.timeout(limit) as waiting:
                        await result
                except TimeoutError:
                    if not waiting.expired():
                        raise
                if waiting.expired():
                    raise DeadlineInterrupt

        self._loop.run_until_complete(run())

    def serve(self) -> None:
        """Run calls until the inbox is closed and every call is answered.

        No task waits for that: a plugin may cancel all tasks. What is raised to end a task or a callback that kept the
        loop from its calls, or by one to end the process, leaves the loop, and it goes on.
        """
        descriptor = _core.open_inbox()
        self._loop.add_reader(descriptor, self._on_ready)
        while self._is_open or self._calls:
            with suppress(DeadlineInterrupt):  # one more, while the one before it was told
                self._run()
        self._loop.remove_reader(descriptor)

    def close(self, limit: float) -> None:
        """Cancel what is left, for up to ``limit`` seconds, and close the loop. Raises TimeoutError."""
        until = self._loop.time() + limit
        try:
            for step in (_cancel_tasks, self._loop.shutdown_asyncgens):
                self._loop.run_until_complete(asyncio.wait_for(step(), max(until - self._loop.time(), LEAST_LIMIT)))
        except TimeoutError:
            names = ", ".join(task.get_name() for task in asyncio.all_tasks(self._loop))
            raise TimeoutError(f"tasks had not ended {limit:.1f} s after they were cancelled: {names}") from None
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        except BaseException as error:
            if self._loop.is_closed():
                raise
            self._loop.default_exception_handler(
                {"message": "the event loop was left by an exception, and goes on", "exception": error}
            )

    def _on_ready(self) -> None:
        self._is_open, some_given_up, all_given_up = _core.serve_ready(self._start, self._are_coroutines)
        if some_given_up:
            for task, call in self._calls.items():
                if all_given_up:
                    call.cancel()
                if call.answered:
                    task.cancel()
        if all_given_up:
            self._loop.call_later(CANCEL_LIMIT, self._give_up_tasks)
        self._stop_when_done()

    def _start(self, coroutine: Coroutine[Any, Any, Any], call: _core.Call, seconds_left: float | None) -> None:
        answering = _answer(coroutine, call, seconds_left)
        try:
            task = self._loop.create_task(answering)
        except BaseException as error:  # of a task factory of the plugin
            answering.close()
            coroutine.close()
            call.fail(error)
            return
        self._calls[task] = call
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._calls.pop(task, None)
        self._stop_when_done()

    def _give_up_tasks(self) -> None:
        # Their calls are answered, and they do not end.
        self._calls.clear()
        self._stop_when_done()

    def _stop_when_done(self) -> None:
        if not self._is_open and not self._calls:
            self._loop.stop()


async def _cancel_tasks() -> None:
    """Cancel the tasks that are left, and wait until they have ended."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    while tasks:
        _, tasks = await asyncio.wait(tasks)


class _Steps:
    """A coroutine whose steps are bounded by its call's deadline: one that never awaits is interrupted, too."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], call: _core.Call) -> None:
        self._coroutine = coroutine
        self._call = call

    def __await__(self) -> Generator[Any, Any, Any]:
        step, send, throw = self._call.step, self._coroutine.send, self._coroutine.throw
        try:
            awaited = step(send, None)
            while True:
                try:
                    value = yield awaited
                except BaseException as error:
                    awaited = step(throw, error)
                else:
                    awaited = step(send, value)
        except StopIteration as stop:
            return stop.value


async def _answer(coroutine: Coroutine[Any, Any, Any], call: _core.Call, seconds_left: float | None) -> None:
    """Await the coroutine and answer its call; past the deadline, or given up, it is cancelled as asyncio does it."""
    try:
        async with asyncio.timeout(seconds_left) as limit:
            result = await _Steps(coroutine, call)
    except BaseException as error:
        call.fail(DeadlineInterrupt() if limit.expired() else error)
    else:
        if limit.expired():
            call.fail(DeadlineInterrupt())  # it swallowed its cancellation: too late all the same
        else:
            call.answer(result)
