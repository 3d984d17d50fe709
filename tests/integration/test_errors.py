"""What a plugin's function raises, and how it reaches the caller."""

from __future__ import annotations

import asyncio

import pytest
from support import PATIENCE
from support.plugins import COMMON

from pyhost.errors import PluginError

FAULTS = (
    COMMON
    + '''
class Shut(Exception):
    """The shop is shut."""

class Mute(Exception):
    def __str__(self):
        raise ValueError("no text")

class MuteForGood(Exception):
    def __str__(self):
        raise KeyboardInterrupt("no text")

class Shop:
    class Empty(LookupError):
        pass

@pyhost.export
def run(statement):
    exec(statement, globals())

@pyhost.export
async def run_async(statement):
    exec(statement, globals())

@pyhost.export
def recurse(depth=0):
    return recurse(depth + 1)

@pyhost.export
def recurse_in_c():
    items = []
    for _ in range(100_000):
        items = [items]
    return repr(items)

@pyhost.export
def exhaust():
    return bytes(1 << 60)

@pyhost.export
def chain():
    try:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("middle") from error
    except ValueError:
        raise RuntimeError("outer")

@pyhost.export
def annotate():
    error = ValueError("with notes")
    error.add_note("first")
    error.add_note("second\\nline")
    raise error

@pyhost.export
def group():
    raise ExceptionGroup("several", [ValueError("one"), ExceptionGroup("more", [TypeError("two")])])
'''
)


@pytest.fixture(scope="module")
def host(module_maker):
    return module_maker.start(faults=FAULTS)


@pytest.fixture(params=["plain", "async"])
def run(request, host):
    """Runs a statement in the plugin; the PluginError that comes of it."""

    def run(statement):
        with pytest.raises(PluginError) as caught:
            host.call({"plain": "faults.run", "async": "faults.run_async"}[request.param], statement)
        return caught.value

    return run


class TestText:
    @pytest.mark.parametrize(
        ("statement", "type_name", "message"),
        [
            ("raise ValueError('no')", "ValueError", "no"),
            ("raise ValueError", "ValueError", ""),
            ("raise Shut('till Monday')", "faults.Shut", "till Monday"),
            ("raise Shop.Empty", "faults.Shop.Empty", ""),
            ("raise KeyError('key')", "KeyError", "'key'"),
            ("raise OSError(2, 'No such file', 'name')", "FileNotFoundError", "[Errno 2] No such file: 'name'"),
            ("import json; json.loads('{')", "json.decoder.JSONDecodeError", "Expecting property name"),
            ("1 / 0", "ZeroDivisionError", "division by zero"),
            ("import nothing_such", "ModuleNotFoundError", "No module named 'nothing_such'"),
            ("raise ValueError('größe \\udc80')", "ValueError", "größe \udc80"),
            ("raise ValueError('x' * 1_000_000)", "ValueError", "x" * 1_000_000),
            ("raise Mute", "faults.Mute", "(its str() raised ValueError)"),
        ],
        ids=lambda item: item[:40],
    )
    def test_an_exceptions_type_and_text(self, run, statement, type_name, message):
        error = run(statement)
        assert error.type_name == type_name
        assert message in error.message
        assert error.traceback_text.startswith("Traceback (most recent call last):")
        assert "faults.py" in error.traceback_text

    def test_a_stop_iteration_is_an_error_like_any_other(self, host):
        with pytest.raises(PluginError, match="faults.run raised StopIteration: 5"):
            host.call("faults.run", "raise StopIteration(5)")

    def test_one_that_cannot_be_described_is_named_at_least(self, run):
        error = run("raise MuteForGood")
        assert "MuteForGood" in error.type_name
        assert error.message == "(its str() raised KeyboardInterrupt)"
        assert "in run" in error.traceback_text

    @pytest.mark.parametrize(
        ("statement", "type_name"),
        [
            ("raise SystemExit(3)", "SystemExit"),
            ("exit()", "SystemExit"),
            ("import sys; sys.exit('bye')", "SystemExit"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("raise GeneratorExit", "GeneratorExit"),
            ("raise BaseException('base')", "BaseException"),
        ],
    )
    def test_what_ends_other_programs_ends_only_the_call(self, run, host, statement, type_name):
        assert run(statement).type_name == type_name
        assert host.call("faults.identity", 1) == 1
        assert asyncio.run(host.acall("faults.identity", 2)) == 2


class TestMore:
    def test_notes(self, host):
        with pytest.raises(PluginError) as caught:
            host.call("faults.annotate")
        assert caught.value.notes == ("first", "second\nline")
        assert caught.value.__notes__[:2] == ["first", "second\nline"]

    def test_what_it_came_from_is_in_the_traceback(self, host):
        with pytest.raises(PluginError, match="faults.chain raised RuntimeError: outer") as caught:
            host.call("faults.chain")
        text = caught.value.traceback_text
        assert text.index("KeyError: 'inner'") < text.index("ValueError: middle") < text.index("RuntimeError: outer")
        assert "direct cause" in text
        assert "During handling" in text

    def test_a_group_shows_all_its_members(self, host):
        with pytest.raises(PluginError, match=r"ExceptionGroup: several \(2 sub-exceptions\)") as caught:
            host.call("faults.group")
        assert "ValueError: one" in caught.value.traceback_text
        assert "TypeError: two" in caught.value.traceback_text

    def test_the_traceback_shows_the_line(self, host):
        with pytest.raises(PluginError) as caught:
            host.call("faults.chain")
        assert 'raise KeyError("inner")' in caught.value.traceback_text
        assert caught.value.__notes__ == [f"in plugin 'faults':\n{caught.value.traceback_text.rstrip()}"]

    def test_a_type_error_of_the_functions_own_is_no_argument_error(self, run):
        assert run("len(5)").type_name == "TypeError"
        assert run("raise TypeError('mine')").message == "mine"


class TestExhaustion:
    def test_recursion_without_end(self, host):
        for _ in range(3):
            with pytest.raises(PluginError, match="RecursionError: maximum recursion depth exceeded"):
                host.call("faults.recurse")
        assert host.call("faults.identity", 1) == 1

    def test_recursion_in_c(self, host):
        with pytest.raises(PluginError, match="RecursionError"):
            host.call("faults.recurse_in_c")
        assert host.call("faults.identity", 1) == 1

    def test_memory_that_is_not_there(self, host):
        with pytest.raises(PluginError, match=r"^faults.exhaust raised MemoryError\n"):
            host.call("faults.exhaust")
        assert host.call("faults.identity", 1) == 1


def test_an_error_comes_by_every_way_of_calling(host):
    with pytest.raises(PluginError, match="ValueError: with notes"):
        host.submit("faults.annotate").result(PATIENCE)
    with pytest.raises(PluginError, match="ValueError: with notes"):
        asyncio.run(host.acall("faults.annotate"))
    with pytest.raises(PluginError, match="ValueError: with notes"):
        host.plugin("faults").annotate()
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        next(host.map("faults.run", ["1 / 0"]))


def test_an_exception_can_be_a_value(host):
    error = ValueError("text", 5)
    error.add_note("noted")
    arrived = host.call("faults.identity", error)
    assert (type(arrived), arrived.args, arrived.__notes__) == (ValueError, ("text", 5), ["noted"])
