"""The event loop of a plugin with ``async`` exports: many calls in flight on the owner thread.

The loop watches the inbox's descriptor. Plain functions of such a plugin run between the loop's other work.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from pyhost import _core
from pyhost.plugin import DeadlineInterrupt


class GuestLoop:
    """The loop of one plugin interpreter; made, used and closed on its owner thread."""

    def __init__(self, are_coroutines: tuple[bool, ...]) -> None:
        self._are_coroutines = are_coroutines
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._calls: dict[asyncio.Task[None], _core.Call] = {}
        self._closed = asyncio.Event()

    def run_hook(self, hook: Callable[..., Any], *arguments: Any) -> None:
        """Run an ``on_start`` or ``on_stop`` function, awaiting it if it is ``async``."""

        async def run() -> None:
            result = hook(*arguments)
            if isinstance(result, Coroutine):
                await result

        self._runner.run(run())

    def serve(self) -> None:
        """Run calls until the inbox is closed and every call is answered."""
        serving = self._loop.create_task(self._serve())
        while not serving.done():
            try:
                self._loop.run_until_complete(serving)
            except BaseException:
                # Raised to end a task or a callback that kept the loop from its calls, or by one to end the process.
                if self._loop.is_closed():
                    raise

    def close(self) -> None:
        """Cancel what is left and close the loop."""
        self._runner.close()

    async def _serve(self) -> None:
        descriptor = _core.open_inbox()
        self._loop.add_reader(descriptor, self._on_ready)
        await self._closed.wait()
        while self._calls:
            await asyncio.wait(self._calls)
        self._loop.remove_reader(descriptor)

    def _on_ready(self) -> None:
        is_open, some_given_up, all_given_up = _core.serve_ready(self._start, self._are_coroutines)
        if not is_open:
            self._closed.set()
        if some_given_up:
            for task, call in self._calls.items():
                if all_given_up:
                    call.cancel()
                if call.answered:
                    task.cancel()

    def _start(self, coroutine: Coroutine[Any, Any, Any], call: _core.Call, seconds_left: float | None) -> None:
        task = self._loop.create_task(_answer(coroutine, call, seconds_left))
        self._calls[task] = call
        task.add_done_callback(self._calls.pop)


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
