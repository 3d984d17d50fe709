"""The decorators and calls of a plugin's author, in an ordinary Python."""

from __future__ import annotations

import asyncio
import functools
import re

import pytest

import pyhost
from pyhost.plugin import MARK


def marks_of(function):
    return function.__dict__[MARK]


@pytest.mark.parametrize(
    "decorate",
    [
        pyhost.export,
        pyhost.export(),
        pyhost.export(name="other"),
        pyhost.export(direct=True),
        pyhost.on_start,
        pyhost.on_stop,
    ],
)
def test_a_decorated_function_is_the_function_itself(decorate):
    def count(text):
        return len(text)

    assert decorate(count) is count
    assert count("four") == 4


def test_an_export_is_marked_with_its_options():
    @pyhost.export
    def plain(): ...

    @pyhost.export(name="other", direct=True)
    def named(): ...

    assert marks_of(plain) == {"export": {"name": None, "direct": False}}
    assert marks_of(named) == {"export": {"name": "other", "direct": True}}


def test_one_function_can_have_several_parts():
    @pyhost.on_stop
    @pyhost.on_start
    @pyhost.export
    def reset(): ...

    assert set(marks_of(reset)) == {"export", "on_start", "on_stop"}


def test_a_wrapper_that_keeps_the_attributes_keeps_the_mark():
    @pyhost.export
    def inner(): ...

    @functools.wraps(inner)
    def outer(): ...

    assert marks_of(outer) == marks_of(inner)


@pytest.mark.parametrize("kind", ["export", "on_start", "on_stop"])
@pytest.mark.parametrize("value", [5, "count", ["count"]])
def test_what_is_no_function_is_refused(kind, value):
    with pytest.raises(TypeError, match=re.escape(f"@pyhost.{kind} marks functions, and {value!r} is none")):
        getattr(pyhost, kind)(value)


@pytest.mark.parametrize("function", [len, str, type("Local", (), {}), str.upper])
def test_what_cannot_be_marked_is_told_a_way_out(function):
    with pytest.raises(TypeError, match="cannot mark .*; write a def that calls it"):
        pyhost.export(function)


def test_an_async_function_can_be_awaited_as_it_is():
    @pyhost.export
    async def double(number):
        return 2 * number

    assert asyncio.run(double(4)) == 8


def test_calls_outside_a_plugin_say_where_they_work():
    with pytest.raises(RuntimeError, match="pyhost.call works inside a plugin; a program calls through its Host"):
        pyhost.call("other.function")
    with pytest.raises(RuntimeError, match="works inside a plugin"):
        asyncio.run(pyhost.acall("other.function"))


def test_the_package_has_what_it_lists_and_nothing_else():
    for name in pyhost.__all__:
        assert getattr(pyhost, name) is not None
    with pytest.raises(AttributeError, match="module 'pyhost' has no attribute 'nothing_such'"):
        pyhost.nothing_such  # noqa: B018
