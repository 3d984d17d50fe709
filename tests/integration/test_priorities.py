"""A call that keeps a processor gives way to others; what it starts does not, and neither does the next call."""

from __future__ import annotations

import os
import threading

import pytest
from support.plugins import COMMON

LOWEST = 19
"""The nice value of what gives way."""
PLUGIN = (
    COMMON
    + """
import asyncio, os, subprocess, threading, time

def nice():
    return os.getpriority(os.PRIO_PROCESS, 0)

def run_long():
    while nice() != 19:
        pass

@pyhost.export
def own():
    return nice()

@pyhost.export
def of_a_long_call():
    run_long()
    return nice()

@pyhost.export
def at_the_beginning(seconds):
    found, end = nice(), time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return found

@pyhost.export
def of_a_thread():
    found = []
    run_long()
    thread = threading.Thread(target=lambda: found.append(nice()))
    thread.start()
    thread.join()
    return found[0]

@pyhost.export
def of_a_subprocess():
    run_long()
    return int(subprocess.run(["nice"], capture_output=True, check=True).stdout)

@pyhost.export
def of_a_spawned_process():
    reading, writing = os.pipe()
    run_long()
    child = os.posix_spawnp("nice", ["nice"], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)])
    os.waitpid(child, 0)
    os.close(writing)
    with open(reading) as lines:
        return int(lines.read())

@pyhost.export
def of_a_shell(path):
    run_long()
    os.system(f"nice > {path}")
    with open(path) as lines:
        return int(lines.read())
"""
)
LOOP = (
    PLUGIN
    + """
@pyhost.export
async def of_a_long_step():
    run_long()
    return nice()

@pyhost.export
async def at_the_beginning_of_a_step(seconds):
    return at_the_beginning(seconds)

@pyhost.export
async def own_after_a_step():
    await asyncio.sleep(0)
    return nice()
"""
)


def may_rise() -> bool:
    """Whether this process may lower a thread's priority and raise it again."""
    found = []

    def find_out() -> None:
        before = os.getpriority(os.PRIO_PROCESS, 0)
        try:
            os.setpriority(os.PRIO_PROCESS, 0, LOWEST)
            os.setpriority(os.PRIO_PROCESS, 0, before)
        except PermissionError:
            found.append(False)
        else:
            found.append(True)

    thread = threading.Thread(target=find_out)
    thread.start()
    thread.join()
    return found[0]


pytestmark = pytest.mark.skipif(not may_rise(), reason="this process may not raise a thread's priority again")
ORDINARY = os.getpriority(os.PRIO_PROCESS, 0)


@pytest.fixture(scope="module")
def host(module_maker):
    return module_maker.start(plugin=PLUGIN, loop=LOOP)


def test_a_long_call_gives_way_and_the_next_does_not(host):
    for _ in range(3):
        assert host.call("plugin.of_a_long_call") == LOWEST
        assert host.call("plugin.own") == ORDINARY


def test_a_call_that_was_long_the_last_time_gives_way_from_its_beginning(host):
    seconds = [0.0, 0.05, 0.05, 0.0, 0.0]
    found = [host.call("plugin.at_the_beginning", for_so_long) for for_so_long in seconds]
    assert found == [ORDINARY, ORDINARY, LOWEST, LOWEST, ORDINARY]
    assert host.call("plugin.own") == ORDINARY


def test_a_long_step_of_an_event_loop_gives_way_and_the_next_does_not(host):
    for _ in range(3):
        assert host.call("loop.of_a_long_step") == LOWEST
        assert host.call("loop.own_after_a_step") == ORDINARY
        assert host.call("loop.own") == ORDINARY


@pytest.mark.parametrize("name", ["of_a_thread", "of_a_subprocess", "of_a_spawned_process"])
@pytest.mark.parametrize("plugin", ["plugin", "loop"])
def test_what_a_long_call_starts_does_not_give_way(host, plugin, name):
    assert host.call(f"{plugin}.{name}") == ORDINARY


def test_what_a_long_call_starts_by_the_shell_does_not_give_way(host, tmp_path):
    assert host.call("plugin.of_a_shell", str(tmp_path / "nice")) == ORDINARY
