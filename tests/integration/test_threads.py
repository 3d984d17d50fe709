"""Threads that a plugin starts itself."""

from __future__ import annotations

import pytest
from support.logs import printed
from support.plugins import COMMON

from pyhost import _core
from pyhost.errors import PluginError

THREADED = (
    COMMON
    + """
import threading
from concurrent.futures import ThreadPoolExecutor

stop = threading.Event()
results = []
threads = []

@pyhost.export
def run_in_thread(name, *args):
    def run():
        try:
            results.append(pyhost.call(name, *args))
        except pyhost.PyhostError as error:
            results.append(type(error).__name__)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[-1]

@pyhost.export
def start_thread(name, *args):
    thread = threading.Thread(target=lambda: results.append(pyhost.call(name, *args)))
    thread.start()
    threads.append(thread)

@pyhost.export
def collect():
    for thread in threads:
        thread.join()
    return results

@pyhost.export
def start_until_stop():
    thread = threading.Thread(target=stop.wait)
    thread.start()
    threads.append(thread)

@pyhost.export
def start_daemon():
    threading.Thread(target=stop.wait, daemon=True).start()

@pyhost.export
def alive():
    return sum(thread.is_alive() for thread in threads)

@pyhost.export
def crash_in_thread():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

pool = ThreadPoolExecutor(3)

@pyhost.export
def in_pool(items):
    return list(pool.map(str, items))

@pyhost.on_stop
def finish():
    stop.set()
"""
)


@pytest.fixture
def host(maker):
    return maker.start(threaded=THREADED, other=COMMON)


def test_a_thread_may_call_other_plugins_and_its_own(host):
    assert host.call("threaded.run_in_thread", "other.identity", 5) == 5
    assert host.call("threaded.run_in_thread", "other.nothing_such") == "FunctionNotFoundError"
    host.call("threaded.start_thread", "threaded.identity", 6)
    assert host.call("threaded.collect") == [5, "FunctionNotFoundError", 6]


def test_threads_live_on_between_calls_and_are_joined_at_the_end(host):
    for _ in range(3):
        host.call("threaded.start_until_stop")
    assert host.call("threaded.alive") == 3
    host.close()
    assert _core.lost_count() == 0


def test_an_executor_ends_with_its_plugin(host, capfd, caplog):
    assert host.call("threaded.in_pool", [1, 2, 3]) == ["1", "2", "3"]
    host.close()
    assert _core.lost_count() == 0
    assert (capfd.readouterr().err, caplog.text) == ("", "")


def test_a_daemon_thread_is_refused(host):
    with pytest.raises(PluginError, match="RuntimeError: daemon threads are disabled in this"):
        host.call("threaded.start_daemon")
    assert host.call("threaded.identity", 1) == 1


def test_an_exception_in_a_thread_is_logged_and_ends_nothing_else(host):
    host.call("threaded.crash_in_thread")
    assert "ZeroDivisionError" in printed(host, "threaded", 1)[0]
    assert host.call("threaded.identity", 1) == 1


def test_a_thread_that_ends_late_is_waited_for(maker, make_barrier):
    barrier = make_barrier()
    host = maker.start(
        late=THREADED
        + "\n@pyhost.export\ndef start_held(barrier):\n    threading.Thread(target=hold, args=[barrier]).start()\n"
    )
    host.call("late.start_held", barrier.keys)
    barrier.wait_arrived()
    barrier.open()
    host.close()
    assert _core.lost_count() == 0
    assert host.plugins() == []
