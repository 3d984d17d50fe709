"""State that a plugin's version hands over to the next one: on_reload, on_start."""

import pytest
from support.plugins import COMMON

from pyhost.errors import PluginLoadError

STATEFUL = """
import pyhost

count = 0
given = "nothing"

@pyhost.on_start
def start(state):
    global count, given
    given = state
    if state is not None:
        count = state["count"]

@pyhost.on_reload
def hand_over():
    return {"count": count}

@pyhost.export
def add(more):
    global count
    count += more
    return count

@pyhost.export
def was_given():
    return given
"""


def test_the_new_version_starts_with_what_the_old_one_returned(maker):
    host = maker.start(counter=STATEFUL)
    assert host.call("counter.was_given") is None
    host.call("counter.add", 5)
    host.reload_plugin("counter")
    assert host.call("counter.was_given") == {"count": 5}
    assert host.call("counter.add", 1) == 6
    host.reload_plugin("counter")
    assert host.call("counter.add", 1) == 7


def test_async_plugins_hand_over_as_well(maker):
    code = STATEFUL.replace("def start", "async def start").replace("def hand_over", "async def hand_over")
    host = maker.start(counter=code)
    host.call("counter.add", 5)
    host.reload_plugin("counter")
    assert host.call("counter.add", 1) == 6


def test_each_of_several_interpreters_asks_for_it(maker):
    maker.write("counter", STATEFUL, interpreters=3)
    host = maker.start()
    host.reload_plugin("counter")
    assert [host.call("counter.was_given") for _ in range(9)] == [{"count": 0}] * 9


def test_where_it_fails_the_old_version_serves_on(maker):
    host = maker.start(counter=STATEFUL.replace('return {"count": count}', "raise LookupError('not now')"))
    host.call("counter.add", 5)
    with pytest.raises(PluginLoadError, match=r"counter\.<on_reload> raised LookupError: not now"):
        host.reload_plugin("counter")
    assert host.call("counter.add", 1) == 6
    assert host.status("counter").state == "running"


def test_state_that_cannot_cross_is_refused(maker):
    host = maker.start(counter=STATEFUL.replace('{"count": count}', "lambda: None"))
    with pytest.raises(PluginLoadError, match="cannot cross to another interpreter"):
        host.reload_plugin("counter")
    assert host.call("counter.add", 1) == 1


def test_a_restarted_plugin_begins_anew(maker):
    host = maker.start(counter=STATEFUL)
    host.call("counter.add", 5)
    host.restart_plugin("counter")
    assert host.call("counter.was_given") is None


def test_a_version_without_it_gives_nothing(maker):
    host = maker.start(counter=COMMON)
    maker.write("counter", STATEFUL)
    host.reload_plugin("counter")
    assert host.call("counter.was_given") is None


def test_an_on_start_without_a_parameter_is_given_nothing(maker):
    code = STATEFUL.replace("def start(state)", "def start()").replace("given = state", "state = None")
    host = maker.start(counter=code)
    host.reload_plugin("counter")
    assert host.call("counter.was_given") == "nothing"


def test_there_can_be_only_one(maker):
    host = maker.start(counter=STATEFUL + "\n@pyhost.on_reload\ndef another(): pass\n")
    assert "hand_over and another are marked as on_reload; allowed: one function" in host.status("counter").reason


def test_it_is_none_of_the_plugins_functions(maker):
    host = maker.start(counter=STATEFUL)
    assert [item.description.name for item in host.status("counter").functions] == ["add", "was_given"]
