"""Calls from asyncio: answers reach an event loop through one descriptor, many per wake-up."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from pyhost import _core

_completions_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _core.Completions] = WeakKeyDictionary()


def _completions_of(loop: asyncio.AbstractEventLoop) -> _core.Completions:
    completions = _completions_by_loop.get(loop)
    if completions is None:
        completions = _completions_by_loop[loop] = _core.Completions()
        loop.add_reader(completions.fileno(), _deliver, completions)
    return completions


def _deliver(completions: _core.Completions) -> None:
    for future, value, error in completions.drain():
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


async def call_on_loop(
    function: _core.Function, args: Sequence[Any], kwargs: Mapping[str, Any], timeout: float | None
) -> Any:
    """Call the function and await its answer; cancelling gives the call up.

    ``timeout`` in seconds; None: the function's own deadline. Raises the errors of ``pyhost.errors``.
    """
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    call = function.submit(_completions_of(loop), future, tuple(args), dict(kwargs), timeout)
    try:
        return await future
    except asyncio.CancelledError:
        call.cancel()
        raise
