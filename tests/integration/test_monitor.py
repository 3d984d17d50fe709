"""The monitor over real hosts."""

from __future__ import annotations

import logging
import threading

import pytest
from support.plugins import COMMON

import pyhost
from pyhost.monitor import LimitEvent, Monitor, NearLimit, OverLimit, Replaced


class Watched(pyhost.Host):
    """A host that tells when it has been asked, and fails if it is told to."""

    def __init__(self, plugins) -> None:
        super().__init__(plugins)
        self.asked = threading.Semaphore(0)
        self.failed = threading.Semaphore(0)
        self.fails = False

    def plugins(self):
        if self.fails:
            self.failed.release()
            raise OSError("no descriptor left")
        self.asked.release()
        return super().plugins()


@pytest.fixture
def host(maker):
    maker.write("shop", COMMON)
    with Watched(maker.folder) as host:
        yield host


def test_a_sample_has_the_plugins_and_the_process(host):
    monitor = Monitor(host)
    for value in range(5):
        host.call("shop.identity", value)
    with pytest.raises(pyhost.PluginError):
        host.call("shop.hold", ())
    monitor.sample()
    (sample,) = monitor.history.samples
    assert (sample.plugins["shop"].calls, sample.plugins["shop"].errors) == (5, 1)
    assert sample.process.rss > 1 << 20
    assert sample.process.cpu > 0
    assert sample.process.threads >= threading.active_count()
    assert sample.process.open_files > 3


def test_it_samples_again_and_again(host):
    with Monitor(host, interval=0.001) as monitor:
        for _ in range(5):
            host.asked.acquire()
    assert len(monitor.history.samples) >= 4
    times = [sample.time for sample in monitor.history.samples]
    assert times == sorted(times)
    assert monitor.history.rates("shop") is not None


def test_its_end_does_not_wait_for_the_next_sample(host):
    with Monitor(host, interval=3600) as monitor:
        pass
    assert len(monitor.history.samples) == 1
    monitor.close()
    Monitor(host).close()


def test_what_it_reads_is_one_history_while_it_goes_on(host):
    with Monitor(host, interval=0.0) as monitor:
        for _ in range(200):
            history = monitor.history
            assert history.of_plugin("shop")[-1][0] == history.samples[-1].time


def test_a_sample_that_fails_is_logged_once_and_others_follow(host, caplog):
    with caplog.at_level(logging.ERROR), Monitor(host, interval=0.001) as monitor:
        host.fails = True
        for _ in range(3):
            host.failed.acquire()
        before = monitor.history
        host.fails = False
        while monitor.history is before:
            host.asked.acquire()
    assert [record.message for record in caplog.records] == ["the monitor could not take a sample; it goes on trying"]
    assert "no descriptor left" in caplog.text


def test_a_host_that_is_closed_has_no_plugins(host):
    monitor = Monitor(host)
    monitor.sample()
    host.close()
    monitor.sample()
    assert [list(sample.plugins) for sample in monitor.history.samples] == [["shop"], []]
    assert monitor.history.rates("shop") is None


HOG = """
import pyhost

kept = []

@pyhost.export
def keep(size, times=1):
    for _ in range(times):
        kept.append(bytes(size))

@pyhost.export
def drop():
    kept.clear()

@pyhost.export
def hoard():
    while True:
        try:
            keep(1 << 20, 1000)
        except MemoryError:
            pass
"""
MIB = 1 << 20
LIMIT = 64 * MIB


@pytest.fixture
def hog(maker):
    """A host, what its monitor has said since it was last asked, and a way to have it look."""
    maker.write("hog", HOG, limits={"memory": "64MiB"})
    host, events = maker.start(), []
    monitor = Monitor(host, on_event=events.append)

    def look() -> list[LimitEvent]:
        events.clear()
        monitor.sample()
        return list(events)

    return host, look


def test_an_interpreter_that_comes_near_its_limit_is_reported_until_it_lets_go(hog):
    host, look = hog
    (interpreter,) = host.status("hog").interpreters
    host.call("hog.keep", MIB, 30)
    assert look() == []
    host.call("hog.keep", MIB, 24)
    (event,) = look()
    assert isinstance(event, NearLimit)
    assert (event.plugin, event.interpreter, event.limit) == ("hog", interpreter.id, LIMIT)
    assert 54 * MIB < event.held < LIMIT
    assert look() == []
    host.call("hog.drop")
    assert look() == []
    host.call("hog.keep", 54 * MIB)
    assert [type(event) for event in look()] == [NearLimit]


def test_a_call_that_was_stopped_at_the_limit_is_reported(hog):
    host, look = hog
    (interpreter,) = host.status("hog").interpreters
    with pytest.raises(pyhost.MemoryLimitError):
        host.call("hog.keep", MIB, 1000)
    host.call("hog.drop")
    (event,) = look()
    assert isinstance(event, OverLimit)
    assert (event.interpreter, event.limit, event.times) == (interpreter.id, LIMIT, 1)
    assert LIMIT < event.held < 1.25 * LIMIT


def test_an_allocation_too_large_at_once_is_reported(hog):
    host, look = hog
    with pytest.raises(pyhost.MemoryLimitError):
        host.call("hog.keep", 2 * LIMIT)
    (event,) = look()
    assert isinstance(event, OverLimit)
    assert event.times == 1
    assert event.held < LIMIT


def test_a_replaced_interpreter_is_reported(hog):
    host, look = hog
    (interpreter,) = host.status("hog").interpreters
    look()
    with pytest.raises((pyhost.MemoryLimitError, pyhost.DeadlineExceededError)):
        host.call("hog.hoard", timeout=2.0)
    while not (events := look()) or not isinstance(events[-1], Replaced):
        assert host.status("hog").state == "running"
    event = events[-1]
    assert (event.plugin, event.times, event.interpreters, event.limit) == ("hog", 1, (interpreter.id,), LIMIT)
