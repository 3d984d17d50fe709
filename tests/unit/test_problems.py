from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

import pytest

from pyhost import errors, problems
from pyhost.problems import PROBLEM_TYPES, Problem, ProblemType

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "http.md"


def make_error(kind: type[errors.CallError]) -> errors.CallError:
    if kind is errors.PluginError:
        return errors.PluginError("notes.add", "ValueError", "too long", ("a note",), "Traceback …")
    if kind is errors.MemoryLimitError:
        return errors.MemoryLimitError("notes.add", 64 << 20, 80 << 20, "Traceback …")
    return kind("notes.add", "what happened; what to do")


@pytest.mark.parametrize("kind", errors.CallError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_call_error_has_a_problem_type_and_names_its_function(kind):
    error = make_error(kind)
    document = problems.from_error(error).document("/call/notes/add")
    assert document["type"] != problems.INTERNAL_ERROR.uri
    assert document["detail"] == str(error)
    assert document["instance"] == "/call/notes/add"
    assert (document["plugin"], document["function"]) == ("notes", "add")


def test_errors_differ_in_type_unless_they_are_the_clients_to_fix_alike():
    kinds = set(errors.CallError.__subclasses__()) - {errors.ArgumentEncodingError}
    assert len({problems.from_error(make_error(kind)).type for kind in kinds}) == len(kinds)


def test_a_plugins_error_tells_its_exception():
    document = problems.from_error(make_error(errors.PluginError)).document("/call/notes/add")
    assert document == {
        "type": "urn:pyhost:problem:plugin-error",
        "title": "The plugin's function raised",
        "status": 500,
        "detail": "notes.add raised ValueError: too long",
        "instance": "/call/notes/add",
        "plugin": "notes",
        "function": "add",
        "exception": "ValueError",
        "message": "too long",
        "notes": ["a note"],
        "traceback": "Traceback …",
    }


def test_an_error_over_the_memory_limit_tells_the_figures():
    document = problems.from_error(make_error(errors.MemoryLimitError)).document("/call/notes/add")
    assert (document["status"], document["limit"], document["peak"]) == (500, 64 << 20, 80 << 20)
    assert document["traceback"] == "Traceback …"


def test_a_name_that_is_not_there_comes_with_the_ones_that_may_be_meant():
    error = errors.FunctionNotFoundError("notes.ad", "plugin 'notes' exports no function 'ad'")
    close = problems.not_found(error, "ad", ["add", "list"])
    assert close.detail == "plugin 'notes' exports no function 'ad'; did you mean add?"
    assert close.members == {"plugin": "notes", "function": "ad", "known": ["add", "list"]}
    assert problems.not_found(error, "ad", ["list", "get"]).detail.endswith("; there are: list, get")
    assert problems.not_found(error, "ad", []).detail.endswith("; there are: none")


def test_an_error_of_no_known_kind_is_the_servers_own():
    assert problems.from_error(errors.PyhostError("?")).type is problems.INTERNAL_ERROR


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES, ids=lambda item: item.name)
def test_503_says_when_to_try_again_and_nothing_else_does(problem_type: ProblemType):
    headers = Problem(problem_type, "detail").headers
    assert ("Retry-After" in headers) == (problem_type.status == HTTPStatus.SERVICE_UNAVAILABLE)


def test_every_problem_type_of_the_module_is_in_the_table_once():
    defined = [value for value in vars(problems).values() if isinstance(value, ProblemType)]
    assert sorted(defined, key=lambda item: item.name) == sorted(PROBLEM_TYPES, key=lambda item: item.name)
    assert len({item.name for item in PROBLEM_TYPES}) == len(PROBLEM_TYPES)


def test_the_documentation_lists_every_problem_type_with_its_status():
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", DOCUMENTATION.read_text(), flags=re.MULTILINE)
    assert sorted((name, int(status)) for name, status in rows) == sorted(
        (item.name, item.status) for item in PROBLEM_TYPES
    )
