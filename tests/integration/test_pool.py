"""Warm interpreters: taken by plugins, filled up again, ended with their host."""

import logging

import pytest
from support import PATIENCE
from support.plugins import write_plugin

import pyhost
from pyhost import _core
from pyhost.errors import ConfigurationError
from pyhost.pool import WarmPool

LOADED = """
import sys
FOUND = set(sys.modules)
import pyhost

@pyhost.export
def found(name):
    return name in FOUND
"""


@pytest.fixture
def make_pool():
    pools = []

    def make(*arguments):
        pools.append(WarmPool(_core.Router(), *arguments))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def taken(pool):
    interpreter = pool.take()
    assert interpreter.wait_warm(PATIENCE)
    interpreter.close()
    assert interpreter.wait_ended(PATIENCE)
    return interpreter


def test_an_empty_pool_gives_new_interpreters(make_pool):
    pool = make_pool(0)
    pool.fill()
    assert pool.ready == 0
    assert taken(pool).id != taken(pool).id


def test_interpreters_are_taken_in_order_and_filled_up(make_pool):
    pool = make_pool(2)
    pool.fill()
    pool.fill()
    first, second, third = taken(pool), taken(pool), taken(pool)
    assert first.id < second.id < third.id
    pool.fill()
    assert taken(pool).id == third.id + 1


def test_a_closed_pool_ends_what_it_keeps_and_is_not_filled(make_pool):
    pool = make_pool(3)
    pool.fill()
    pool.close()
    pool.fill()
    assert pool.ready == 0
    assert _core.lost_count() == 0


def test_only_the_standard_library_can_be_preloaded():
    with pytest.raises(ConfigurationError, match="preload has 'requests'; allowed: modules of the standard library"):
        WarmPool(_core.Router(), 1, ["json", "requests"])


def test_plugins_find_what_was_preloaded(tmp_path):
    write_plugin(tmp_path, "loaded", LOADED)
    with pyhost.Host(tmp_path, warm=1, preload=["json.decoder", "asyncio"]) as host:
        host.reload_plugin("loaded")
        assert host.call("loaded.found", "asyncio")
        assert host.call("loaded.found", "json.decoder")
        assert not host.call("loaded.found", "sqlite3")


def test_what_cannot_be_preloaded_is_told_and_left_out(tmp_path, caplog):
    write_plugin(tmp_path, "loaded", LOADED)
    with caplog.at_level(logging.WARNING), pyhost.Host(tmp_path, warm=1, preload=["json.nothing"]) as host:
        assert host.status("loaded").state == "running", host.status("loaded").reason
        host.reload_plugin("loaded")
        host.reload_plugin("loaded")
        assert not host.call("loaded.found", "json.nothing")
    messages = [record.getMessage() for record in caplog.records]
    reason = "ModuleNotFoundError: No module named 'json.nothing'"
    assert messages == [f"a warm interpreter failed ({reason}); preload (json.nothing) is dropped"]


def test_a_host_that_was_closed_starts_with_warm_interpreters_again(tmp_path):
    write_plugin(tmp_path, "loaded", LOADED)
    host = pyhost.Host(tmp_path, warm=2)
    for _ in range(2):
        with host:
            host.reload_plugin("loaded")
            assert not host.call("loaded.found", "sqlite3")
