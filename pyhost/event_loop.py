"""Calls and channels from asyncio.

Answers reach an event loop through one descriptor, many per wake-up; what waits for a channel watches the channel's.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from pyhost import _core

_completions_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _core.Completions] = WeakKeyDictionary()
_receivers_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, set[asyncio.Future[None]]]] = (
    WeakKeyDictionary()
)
"""Who waits for a channel, by its descriptor: a loop takes one reader for each."""


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


async def receive_on_loop(channel: _core.Channel) -> Any:
    """Await the channel's next value; what ``Channel.areceive`` does.

    Raises ChannelClosedError once the channel is closed and empty.
    """
    from pyhost.errors import ChannelEmptyError

    while True:
        try:
            return channel.receive(0)
        except ChannelEmptyError:
            await _readable(channel)


async def _readable(channel: _core.Channel) -> None:
    """Wait until there may be something to receive: of several that wait, one gets it."""
    loop = asyncio.get_running_loop()
    receivers_by_descriptor = _receivers_by_loop.setdefault(loop, {})
    descriptor = channel.fileno()
    receivers = receivers_by_descriptor.setdefault(descriptor, set())
    if not receivers:
        loop.add_reader(descriptor, _wake, receivers)
    future: asyncio.Future[None] = loop.create_future()
    receivers.add(future)
    try:
        await future
    finally:
        receivers.discard(future)
        if not receivers:
            loop.remove_reader(descriptor)
            del receivers_by_descriptor[descriptor]


def _wake(receivers: set[asyncio.Future[None]]) -> None:
    for future in receivers:
        if not future.done():
            future.set_result(None)
