"""Channels between real interpreters: what goes through, and what ends a wait."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import PATIENCE
from support.plugins import COMMON

import pyhost
from pyhost import loader
from pyhost.errors import (
    CallCancelledError,
    ChannelClosedError,
    DeadlineExceededError,
    PluginError,
    ResultEncodingError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

PLUGIN = (
    COMMON
    + """
import sys

kept = []
ended = []

class Local:
    pass

@pyhost.export
def make(capacity):
    return pyhost.Channel(capacity)

@pyhost.export
def keep(value):
    kept.append(value)

@pyhost.export
def kept_values():
    return kept

@pyhost.export
def send_all(channel, values):
    for value in values:
        channel.send(value)

@pyhost.export
def send_strange(channel):
    channel.send(Local())

@pyhost.export
def receive_all(channel):
    return list(channel)

@pyhost.export
def relay(source, target):
    for value in source:
        target.send(value)
    target.close()

def wait(barrier, function, *args):
    try:
        os.write(barrier[0], b".")
        return function(*args)
    except BaseException as error:
        ended.append(type(error).__name__)
        raise

@pyhost.export
def wait_to_receive(barrier, channel):
    return wait(barrier, channel.receive)

@pyhost.export
def wait_to_send(barrier, channel):
    return wait(barrier, channel.send, "one more")

@pyhost.export
def wait_to_iterate(barrier, channel):
    return wait(barrier, list, channel)

@pyhost.export(direct=True)
def wait_directly(barrier, channel):
    return wait(barrier, channel.receive)

@pyhost.export
def how_they_ended():
    return ended

@pyhost.export
def evaluate(expression):
    return eval(expression)
"""
)
HOUR = 3600.0
WAITS = ["wait_to_receive", "wait_to_send", "wait_to_iterate", "wait_directly"]


@pytest.fixture(scope="module")
def shared(module_maker):
    return module_maker.start(one=PLUGIN, two=PLUGIN)


@pytest.fixture
def host(maker):
    return maker.start(one=PLUGIN)


def channel_for(function: str) -> pyhost.Channel:
    """One on which the function waits for ever: full for a sender, empty for the others."""
    channel = pyhost.Channel(1)
    if function == "wait_to_send":
        channel.send("first")
    return channel


def send(channel: pyhost.Channel, values: Iterable[Any]) -> None:
    """Send all of them, and close the channel."""
    for value in values:
        channel.send(value)
    channel.close()


def test_a_plugins_channel_is_the_hosts(shared):
    channel = shared.call("one.make", 3)
    assert (channel.capacity, len(channel)) == (3, 0)
    shared.call("one.send_all", channel, [1, "two"])
    shared.call("two.send_all", channel, [None])
    channel.close()
    assert list(channel) == [1, "two", None]
    assert shared.call("one.identity", [channel]) == [channel]


def test_through_plugin_after_plugin(shared):
    first, second, third = (pyhost.Channel(capacity) for capacity in (1, 2, 3))
    relays = [shared.submit("one.relay", first, second), shared.submit("two.relay", second, third)]
    sender = threading.Thread(target=send, args=(first, range(500)))
    sender.start()
    assert list(third) == list(range(500))
    sender.join(PATIENCE)
    assert [relay.result(PATIENCE) for relay in relays] == [None, None]


def test_many_senders_and_receivers(maker):
    maker.write("many", PLUGIN, interpreters=4)
    host = maker.start()
    channel = pyhost.Channel(4)
    receivers = [host.submit("many.receive_all", channel) for _ in range(2)]
    senders = [host.submit("many.send_all", channel, [(sender, number) for number in range(200)]) for sender in "ab"]
    for sender in senders:
        sender.result(PATIENCE)
    channel.close()
    parts = [receiver.result(PATIENCE) for receiver in receivers]
    assert sorted(parts[0] + parts[1]) == [(sender, number) for sender in "ab" for number in range(200)]
    for part in parts:
        for sender in "ab":
            numbers = [number for name, number in part if name == sender]
            assert numbers == sorted(numbers)


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary(), st.datetimes()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=30, deadline=None)
@given(st.lists(values, max_size=20), st.integers(1, 4), st.integers(1, 4))
def test_any_sequence_arrives_in_order(shared, sequence, left, right):
    source, target = pyhost.Channel(left), pyhost.Channel(right)
    relay = shared.submit("one.relay", source, target)
    sender = threading.Thread(target=send, args=(source, sequence))
    sender.start()
    received = list(target)
    sender.join(PATIENCE)
    relay.result(PATIENCE)
    assert received == sequence
    assert repr(received) == repr(sequence)


def test_values_outlive_who_sent_them(host):
    channel = host.call("one.make", 2)
    host.call("one.send_all", channel, [b"kept", memoryview(b"view")])
    host.stop_plugin("one")
    assert channel.receive(0) == b"kept"
    assert channel.receive(0).tobytes() == b"view"


def test_a_plugin_ends_with_the_channels_that_it_keeps(host):
    channel, other = pyhost.Channel(1), pyhost.Channel(1)
    host.call("one.keep", [channel, other])
    channel.send(other)
    assert host.call("one.kept_values") == [[channel, other]]
    host.close()
    assert channel.receive(0) == other


def test_a_reload_hands_them_on(maker):
    state = """
import pyhost

channel = None

@pyhost.on_start
def start(before):
    global channel
    channel = before or pyhost.Channel(3)

@pyhost.on_reload
def hand_over():
    return channel

@pyhost.export
def get():
    return channel
"""
    host = maker.start(state=state)
    channel = host.call("state.get")
    channel.send("before")
    maker.write("state", state)
    host.reload_plugin("state")
    assert host.call("state.get") == channel
    assert channel.receive(0) == "before"


def test_what_only_the_sender_knows_is_lost_with_an_error(shared):
    channel = pyhost.Channel(1)
    with pytest.raises(PluginError, match=r"raised pyhost\.errors\.ArgumentEncodingError|ArgumentEncodingError"):
        shared.call("one.evaluate", "pyhost.Channel(1).send(lambda: None)")
    shared.call("one.send_strange", channel)
    with pytest.raises(ResultEncodingError, match=r"the result of Channel\.receive cannot cross"):
        channel.receive(0)
    assert len(channel) == 0


def test_a_plugin_that_uses_none_has_none_of_it(host):
    assert host.call("one.evaluate", "'Channel' in vars(sys.modules['pyhost._core'])") is False
    host.call("one.keep", pyhost.Channel(1))
    assert host.call("one.evaluate", "'Channel' in vars(sys.modules['pyhost._core'])") is True
    assert host.call("one.evaluate", "'pyhost.event_loop' in sys.modules") is False


@pytest.mark.parametrize("function", WAITS)
def test_the_deadline_of_the_call_ends_a_wait(host, barrier, function):
    with pytest.raises(DeadlineExceededError):
        host.call(f"one.{function}", barrier.keys, channel_for(function), timeout=0.25)
    barrier.wait_arrived()
    assert host.call("one.identity", 1, timeout=PATIENCE) == 1
    (ended,) = host.call("one.how_they_ended")
    assert ended in {"DeadlineInterrupt", "ChannelEmptyError", "ChannelFullError"}


@pytest.mark.parametrize("function", WAITS[:3])
def test_a_caller_that_goes_away_ends_a_wait(host, barrier, function):
    future = host.submit(f"one.{function}", barrier.keys, channel_for(function), timeout=HOUR)
    barrier.wait_arrived()
    assert future.cancel()
    assert host.call("one.identity", 1, timeout=PATIENCE) == 1
    assert host.call("one.how_they_ended") == ["DeadlineInterrupt"]


@pytest.mark.parametrize("function", WAITS[:3])
def test_the_end_of_the_host_ends_a_wait(host, barrier, function):
    channel = channel_for(function)
    future = host.submit(f"one.{function}", barrier.keys, channel, timeout=HOUR)
    barrier.wait_arrived()
    host.close(0.05)
    with pytest.raises(CallCancelledError):
        future.result(PATIENCE)


def test_a_plugins_own_thread_that_waits_ends_with_it(maker, barrier, monkeypatch):
    monkeypatch.setattr(loader, "STOP_LIMIT", 0.2)
    host = maker.start(
        threaded=COMMON
        + """
import threading

@pyhost.export
def start(barrier, channel):
    def wait():
        os.write(barrier[0], b".")
        channel.receive()
    threading.Thread(target=wait).start()
"""
    )
    host.call("threaded.start", barrier.keys, pyhost.Channel(1))
    barrier.wait_arrived()
    host.close()


def test_a_wait_holds_nobody_up(maker, barrier):
    host = maker.start(
        waits=PLUGIN
        + """
@pyhost.export(direct=True)
def answer():
    return "at once"
"""
    )
    channel = pyhost.Channel(1)
    future = host.submit("waits.wait_to_receive", barrier.keys, channel, timeout=HOUR)
    barrier.wait_arrived()
    assert host.call("waits.answer", timeout=PATIENCE) == "at once"
    channel.send("it")
    assert future.result(PATIENCE) == "it"


def test_an_interrupted_receiver(run_program):
    outcome = run_program(
        """
        import signal, threading
        channel, waits = pyhost.Channel(1), threading.Event()
        def interrupt():
            waits.wait()
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            waits.set()
            channel.receive()
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    assert (outcome.output, outcome.code) == ("interrupted\n", 0), outcome.errors


def test_async_functions_await_values(maker):
    host = maker.start(
        awaits="""
import pyhost

@pyhost.export
async def receive(channel):
    return await channel.areceive()

@pyhost.export
async def now():
    return "now"
"""
    )
    channel = pyhost.Channel(8)
    futures = [host.submit("awaits.receive", channel) for _ in range(3)]
    assert host.call("awaits.now") == "now"
    for number in range(3):
        channel.send(number)
    assert sorted(future.result(PATIENCE) for future in futures) == [0, 1, 2]
    waiting = host.submit("awaits.receive", channel, timeout=HOUR)
    waiting.cancel()
    closed = host.submit("awaits.receive", channel)
    channel.close()
    with pytest.raises(PluginError, match=ChannelClosedError.__name__):
        closed.result(PATIENCE)


def test_http_cannot_say_one(maker, start_server):
    maker.write("one", PLUGIN)
    server = start_server(maker.folder)
    with server.unix() as client:
        for accept in ("application/json", "application/msgpack"):
            response = client.post("/call/one/make", json=[1], headers={"Accept": accept})
            assert response.status_code >= 400
            assert "Channel" in response.text
