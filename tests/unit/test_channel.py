"""``pyhost.Channel`` within one Python: what it is, what it says, and what asyncio sees of it."""

from __future__ import annotations

import asyncio
import select
import threading

import pytest
from support import PATIENCE

import pyhost
from pyhost import _core, errors
from pyhost.errors import ArgumentEncodingError, ChannelClosedError, ChannelEmptyError, ChannelFullError


@pytest.fixture
def channel():
    return pyhost.Channel(2)


def readable(channel: pyhost.Channel) -> bool:
    return bool(select.select([channel], [], [], 0)[0])


def test_values_come_out_in_order(channel):
    channel.send("first")
    channel.send(2)
    assert (len(channel), channel.receive(), channel.receive(), len(channel)) == (2, "first", 2, 0)


def test_values_are_copies(channel):
    sent = [1]
    channel.send(sent)
    sent.append(2)
    assert channel.receive() == [1]


def test_what_it_says_of_itself(channel):
    assert (channel.capacity, channel.closed, repr(channel)) == (2, False, "<pyhost.Channel: 0 of 2 values>")
    channel.send(1)
    channel.close()
    channel.close()
    assert (channel.closed, repr(channel)) == (True, "<pyhost.Channel: 1 of 2 values, closed>")


def test_an_empty_one_is_true(channel):
    assert not len(channel)
    assert channel


@pytest.mark.parametrize("timeout", [0, 0.001])
def test_a_full_one(channel, timeout):
    channel.send(1)
    channel.send(2)
    with pytest.raises(ChannelFullError, match="the channel is full and nobody received in time"):
        channel.send(3, timeout)
    assert [channel.receive(0), channel.receive(0)] == [1, 2]


@pytest.mark.parametrize("timeout", [0, 0.001])
def test_an_empty_one(channel, timeout):
    with pytest.raises(ChannelEmptyError, match="nothing came through the channel in time; try again"):
        channel.receive(timeout=timeout)


def test_a_closed_one(channel):
    channel.send(1)
    channel.close()
    with pytest.raises(ChannelClosedError, match="the channel is closed; iterating over it ends there"):
        channel.send(2)
    assert channel.receive() == 1
    with pytest.raises(ChannelClosedError):
        channel.receive()


def test_iterating_ends_when_it_is_closed_and_empty(channel):
    channel.send(1)
    channel.send(None)
    channel.close()
    assert list(channel) == [1, None]
    assert list(channel) == []


def test_its_errors_are_pyhosts():
    for kind in (ChannelClosedError, ChannelFullError, ChannelEmptyError):
        assert kind.__bases__ == (pyhost.PyhostError,)
    assert str(errors.build_channel("NO_MEMORY")) == "the channel failed: NO_MEMORY"


@pytest.mark.parametrize(
    ("capacity", "kind", "message"),
    [
        (0, ValueError, "capacity is 0; allowed: 1 to 16777216 values"),
        (-3, ValueError, "capacity is -3; allowed"),
        (2**24 + 1, ValueError, "capacity is 16777217; allowed"),
        ("2", TypeError, "str"),
    ],
)
def test_capacities_that_are_none(capacity, kind, message):
    with pytest.raises(kind, match=message):
        pyhost.Channel(capacity)


@pytest.mark.parametrize("timeout", [-1, float("nan"), -0.5])
@pytest.mark.parametrize("wait", [lambda channel, timeout: channel.send(1, timeout), pyhost.Channel.receive])
def test_timeouts_that_are_none(channel, wait, timeout):
    with pytest.raises(ValueError, match="allowed: a number of seconds, 0 or more, or None"):
        wait(channel, timeout)
    assert len(channel) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda channel: channel.send(),
        lambda channel: channel.send(1, 2, 3),
        lambda channel: channel.send(1, 2, timeout=3),
        lambda channel: channel.send(1, wait=2),
        lambda channel: channel.send(value=1),
        lambda channel: channel.receive(1, 2),
        lambda channel: channel.receive(wait=1),
        lambda channel: channel.receive("soon"),
        lambda channel: channel.receive(1, timeout=1),
    ],
)
def test_arguments_that_do_not_fit(channel, call):
    with pytest.raises(TypeError):
        call(channel)
    assert len(channel) == 0


def test_what_cannot_cross_is_not_sent(channel):
    with pytest.raises(ArgumentEncodingError, match=r"Channel\.send was not called: .*lambda") as caught:
        channel.send(lambda: None)
    assert caught.value.__cause__ is not None
    assert len(channel) == 0


def test_it_does_not_go_into_itself(channel):
    with pytest.raises(ArgumentEncodingError, match="a channel cannot be sent into itself"):
        channel.send({"self": [channel]})
    assert len(channel) == 0


def test_one_through_another_is_the_same(channel):
    other = pyhost.Channel(1)
    channel.send([other, {"more": (other,)}])
    first, more = channel.receive()
    assert first == other == more["more"][0]
    assert first is not other
    assert hash(first) == hash(other)
    assert first != channel
    assert first != 1
    first.send("through")
    assert other.receive(0) == "through"
    assert _core.copy(other) == other


def test_order_between_channels_has_no_meaning(channel):
    with pytest.raises(TypeError):
        channel < pyhost.Channel(1)  # noqa: B015


def test_nothing_derives_from_it():
    with pytest.raises(TypeError):
        type("Mine", (pyhost.Channel,), {})


def test_channels_in_channels_go_one_by_one():
    outer = pyhost.Channel(1)
    for _ in range(100_000):
        inner, outer = outer, pyhost.Channel(1)
        outer.send(inner)
    del outer, inner


def test_its_descriptor(channel):
    assert not readable(channel)
    channel.send(1)
    assert readable(channel)
    channel.receive()
    assert not readable(channel)
    channel.close()
    assert readable(channel)


def test_waiting_threads_get_what_comes(channel):
    received: list[int] = []
    threads = [threading.Thread(target=lambda: received.extend(channel)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1000):
        channel.send(number, PATIENCE)
    channel.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(received) == list(range(1000))


def test_closing_wakes_who_waits_for_room(channel):
    channel.send(1)
    channel.send(2)
    outcomes: list[str] = []

    def wait():
        try:
            channel.send(3)
        except ChannelClosedError:
            outcomes.append("closed")

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    channel.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert outcomes == ["closed"] * 3
    assert list(channel) == [1, 2]


def test_tasks_await_values(channel):
    async def main():
        tasks = [asyncio.ensure_future(channel.areceive()) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: [channel.send(number) for number in range(5)])
        return await asyncio.gather(*tasks)

    assert sorted(asyncio.run(main())) == [0, 1, 2, 3, 4]


def test_what_is_there_is_not_awaited(channel):
    channel.send(1)
    with pytest.raises(StopIteration, match="1"):
        channel.areceive().send(None)


def test_a_task_learns_of_the_end(channel):
    async def main():
        task = asyncio.ensure_future(channel.areceive())
        await asyncio.sleep(0)
        channel.close()
        with pytest.raises(ChannelClosedError):
            await task

    asyncio.run(main())


def test_a_cancelled_task_takes_no_value(channel):
    async def main():
        leaving, staying = (asyncio.ensure_future(channel.areceive()) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        channel.send("kept")
        assert await staying == "kept"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await channel.areceive()

    asyncio.run(main())
    assert len(channel) == 0


def test_a_loop_forgets_a_channel_that_nobody_awaits():
    async def main():
        descriptors = set()
        for number in range(5):
            # Each gets the descriptor of the one before, which is gone.
            channel = pyhost.Channel(1)
            task = asyncio.ensure_future(channel.areceive())
            await asyncio.sleep(0)
            descriptors.add(channel.fileno())
            channel.send(number)
            assert await task == number
            del channel
        return descriptors

    assert len(asyncio.run(main())) < 5
