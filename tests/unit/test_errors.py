"""The exception tree, and the exception for every status of the C half."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import re
from pathlib import Path

import pytest

import pyhost
from pyhost import errors
from pyhost.errors import build

HEADER = Path(__file__).parents[2] / "host" / "pyhost.h"
STATUS_MAP = HEADER.read_text().partition("PYHOST_STATUS_MAP(X)")[2].partition("\n\n")[0]
STATUSES = dict(re.findall(r'X\((\w+), \d+, "([^"]+)"\)', STATUS_MAP))

# Every status that a call can end with, and its exception; a status without one of its own has the general one.
CLASSES = {
    "FULL": errors.InboxFullError,
    "CLOSED": errors.PluginUnavailableError,
    "TIMEOUT": errors.DeadlineExceededError,
    "CANCELLED": errors.CallCancelledError,
    "INTERRUPTED": errors.CallError,
    "NO_PLUGIN": errors.PluginNotFoundError,
    "NO_FUNCTION": errors.FunctionNotFoundError,
    "UNAVAILABLE": errors.PluginUnavailableError,
    "RAISED": errors.PluginError,
    "BAD_ARGUMENTS": errors.ArgumentsError,
    "BAD_RESULT": errors.ResultEncodingError,
    "UNENCODABLE": errors.ArgumentEncodingError,
    "MALFORMED": errors.CallError,
    "REENTRANT": errors.ReentrantCallError,
    "NO_MEMORY": errors.CallError,
    "SYSTEM": errors.CallError,
    "OVER_LIMIT": errors.MemoryLimitError,
    "MISUSED": errors.CallError,
    "WRONG_KIND": errors.CallError,
    "OUT_OF_RANGE": errors.CallError,
    "NOT_LOADED": errors.CallError,
    "NOT_STARTED": errors.CallError,
    "STARTED_BEFORE": errors.CallError,
    "UNFINISHED": errors.CallError,
}
RAISED = ("package.Error", "the text", ("first note", "second note"), "Traceback …\npackage.Error: the text\n")


ERRORS = {
    type(error).__name__: error
    for error in (
        *(build(status, "shop.sell", RAISED if status == "RAISED" else "the detail") for status in CLASSES),
        errors.PluginLoadError("shop", "TypeError: no", "Traceback …"),
        errors.PyhostError("said"),
        errors.ConfigurationError("said"),
        errors.ManifestError("said"),
    )
}


def drawn_tree():
    """(name, its parent's name, the file in which it is if not errors.py) of every line of the docstring's tree."""
    parents = [""]
    for line in inspect.getdoc(errors).splitlines():
        found = re.match(r"    ([ │├└─]*)(\w+Error)\b[^(]*(?:\((\w+)\.py\))?", line)
        if found:
            depth = len(found[1]) // 4
            del parents[depth + 1 :]
            yield found[2], parents[depth], found[3] or "errors"
            parents.append(found[2])


def subclasses_of(kind):
    return {kind} | {below for direct in kind.__subclasses__() for below in subclasses_of(direct)}


def test_the_header_and_this_table_know_the_same_statuses():
    assert set(CLASSES) == set(STATUSES) - {"OK"}


@pytest.mark.parametrize("status", CLASSES)
def test_every_status_has_its_exception(status):
    error = build(status, "shop.sell", RAISED if status == "RAISED" else "the detail")
    assert type(error) is CLASSES[status]
    assert error.function == "shop.sell"
    assert error.plugin == "shop"
    assert "shop" in str(error)


@pytest.mark.parametrize("status", sorted(set(CLASSES) - {"RAISED"}))
def test_no_status_needs_a_detail(status):
    assert "shop" in str(build(status, "shop.sell", None))


@pytest.mark.parametrize("status", [name for name, kind in CLASSES.items() if kind is errors.CallError])
def test_a_status_without_a_class_is_named_with_its_detail(status):
    assert str(build(status, "shop.sell", "the detail")) == f"the call of shop.sell failed: {status} (the detail)"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("NO_PLUGIN", "there is no plugin 'shop'"),
        ("NO_FUNCTION", "plugin 'shop' exports no function 'sell'"),
        ("UNAVAILABLE", "plugin 'shop' is not running"),
        ("FULL", "every inbox of plugin 'shop' is full; try again, or raise limits.inbox"),
        ("TIMEOUT", "shop.sell did not answer by its deadline"),
        ("CANCELLED", "the call of shop.sell was given up before it was answered"),
        ("BAD_ARGUMENTS", "arguments do not fit shop.sell: the detail"),
        ("UNENCODABLE", "shop.sell was not called: the detail"),
        ("BAD_RESULT", "the result of shop.sell cannot cross to another interpreter: the detail"),
    ],
)
def test_messages_say_what_happened_and_to_what(status, message):
    assert str(build(status, "shop.sell", "the detail")) == message


def test_a_reentrant_call_is_told_its_ways_out():
    message = str(build("REENTRANT", "shop.sell", None))
    assert "call the function itself, await pyhost.acall, or give plugin 'shop' more interpreters" in message


def test_what_a_plugin_raised_is_there_in_full():
    error = build("RAISED", "shop.sell", RAISED)
    assert (error.type_name, error.message, error.notes, error.traceback_text) == RAISED
    assert str(error) == "shop.sell raised package.Error: the text"
    assert error.__notes__ == [*RAISED[2], "in plugin 'shop':\nTraceback …\npackage.Error: the text"]


def test_a_call_over_the_memory_limit_is_told_plugin_limit_and_peak():
    error = build("OVER_LIMIT", "shop.sell", (64 << 20, 80 << 20, RAISED))
    assert (error.limit, error.peak, error.traceback_text) == (64 << 20, 80 << 20, RAISED[3])
    assert str(error) == (
        "shop.sell ended: plugin 'shop' is over its memory limit of 64.0 MiB (peak 80.0 MiB); "
        "it needs a higher limits.memory, or a smaller task"
    )
    assert error.__notes__ == ["in plugin 'shop':\nTraceback …\npackage.Error: the text"]


def test_a_call_that_did_not_run_because_its_interpreter_was_over_the_limit_has_no_traceback():
    error = build("OVER_LIMIT", "shop.sell", (64 << 20, 80 << 20, None))
    assert error.traceback_text == ""
    assert not hasattr(error, "__notes__")


def test_an_exception_without_text_or_traceback_adds_none():
    error = build("RAISED", "shop.sell", ("ValueError", "", (), ""))
    assert str(error) == "shop.sell raised ValueError"
    assert not hasattr(error, "__notes__")


def test_a_raised_exception_that_could_not_be_described_is_still_one():
    error = build("RAISED", "shop.sell", None)
    assert type(error) is errors.PluginError
    assert str(error) == "shop.sell raised an exception"


def test_a_load_error_has_the_plugin_the_reason_and_the_traceback():
    error = errors.PluginLoadError("shop", "ImportError: no wares", "Traceback …\nImportError: no wares\n")
    assert str(error) == "plugin 'shop' did not start: ImportError: no wares"
    assert (error.plugin, error.reason) == ("shop", "ImportError: no wares")
    assert error.__notes__ == ["in plugin 'shop':\nTraceback …\nImportError: no wares"]
    assert not hasattr(errors.PluginLoadError("shop", "late"), "__notes__")


def test_the_tree_is_drawn_as_it_is():
    tree = list(drawn_tree())
    for name, parent, module in tree:
        kind = getattr(importlib.import_module(f"pyhost.{module}"), name)
        assert kind is errors.PyhostError if not parent else kind.__mro__[1].__name__ == parent
    defined = {kind.__name__ for kind in subclasses_of(errors.PyhostError) if kind.__module__.startswith("pyhost.")}
    assert {name for name, _, _ in tree} == defined


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.PluginNotFoundError, LookupError),
        (errors.FunctionNotFoundError, LookupError),
        (errors.DeadlineExceededError, TimeoutError),
        (errors.ArgumentsError, TypeError),
        (errors.ArgumentEncodingError, ValueError),
        (errors.ResultEncodingError, ValueError),
    ],
)
def test_errors_are_what_python_calls_them_as_well(kind, builtin):
    assert issubclass(kind, builtin)
    assert f"({builtin.__name__})" in re.search(rf"{kind.__name__} .*", inspect.getdoc(errors))[0]


def test_the_package_offers_all_of_them():
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and kind is not errors.CallError:
            assert getattr(pyhost, name) is kind
            assert name in pyhost.__all__


def test_an_interrupt_passes_by_except_exception():
    assert issubclass(pyhost.DeadlineInterrupt, BaseException)
    assert not issubclass(pyhost.DeadlineInterrupt, Exception)


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize(
    "duplicate", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"]
)
def test_errors_can_be_copied_and_pickled(error, duplicate):
    other = duplicate(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert vars(other) == vars(error)
