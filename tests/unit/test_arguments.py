from __future__ import annotations

from typing import Any

import pytest

from pyhost import bodies
from pyhost.arguments import ArgumentCheck, ArgumentChecks
from pyhost.problems import INVALID_ARGUMENTS, Problem
from pyhost.status import FunctionDescription, ParameterDescription

BASE64 = {"type": "string", "contentEncoding": "base64"}


def describe(**schemas: dict[str, Any]) -> FunctionDescription:
    parameters = tuple(
        ParameterDescription(name, "positional_or_keyword", True, None, "", schema) for name, schema in schemas.items()
    )
    return FunctionDescription("run", "", False, False, parameters, "", {})


def check(schema: dict[str, Any], value: Any, kind: str = bodies.JSON) -> Any:
    args, _ = ArgumentCheck(describe(value=schema), kind)([value], {})
    return args[0]


@pytest.mark.parametrize(
    ("schema", "value", "detail"),
    [
        ({"type": "integer"}, "ten", "value is 'ten'; allowed: an integer"),
        ({"type": "integer"}, True, "value is True; allowed: an integer"),
        ({"type": "integer"}, 2.5, "value is 2.5; allowed: an integer"),
        ({"type": "number"}, None, "value is None; allowed: a number"),
        ({"type": "boolean"}, 1, "value is 1; allowed: true or false"),
        ({"type": ["string", "null"]}, 3, "value is 3; allowed: a string or null"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "x", "value is 'x'; allowed: an integer or null"),
        ({"enum": ["red", "green"]}, "blue", "value is 'blue'; allowed: 'red' or 'green'"),
        ({"const": 3}, 4, "value is 4; allowed: 3"),
        ({"type": "array", "items": {"type": "string"}}, ["a", 3], "value[1] is 3; allowed: a string"),
        (
            {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer"}}},
            {"a": [1, "x"]},
            "value.a[1] is 'x'; allowed: an integer",
        ),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "items": False},
            [1],
            "value is [1]; allowed: contain at least 2 items",
        ),
        (BASE64, "!", "value is '!'; allowed: base64 text (Only base64 data is allowed)"),
        (BASE64, 3, "value is 3; allowed: base64 text"),
        ({"type": "array", "items": BASE64}, ["YQ==", "é"], "value[1] is 'é'; allowed: base64 text"),
    ],
)
def test_what_does_not_fit_is_named_with_what_is_allowed(schema, value, detail):
    with pytest.raises(Problem) as caught:
        check(schema, value)
    assert caught.value.detail.startswith(detail)
    assert caught.value.type is INVALID_ARGUMENTS
    assert caught.value.members == {"parameter": "value"}


def test_a_long_value_is_shortened():
    with pytest.raises(Problem) as caught:
        check({"type": "integer"}, "x" * 10_000)
    assert len(caught.value.detail) < 120


@pytest.mark.parametrize(
    ("schema", "value", "adapted"),
    [
        ({}, {"any": [None]}, {"any": [None]}),
        ({"type": "number"}, 3, 3),
        ({"type": "number"}, 2.0, 2.0),
        ({"type": "integer"}, 2.0, 2),
        (BASE64, "YWJj", b"abc"),
        ({"type": "array", "items": BASE64}, ["YQ==", ""], [b"a", b""]),
        (
            {"type": "array", "prefixItems": [{"type": "string"}, BASE64]},
            ["YQ==", "YQ==", "YQ=="],
            ["YQ==", b"a", "YQ=="],
        ),
        ({"type": "object", "additionalProperties": BASE64}, {"a": "YQ=="}, {"a": b"a"}),
        (
            {"type": "object", "properties": {"b": BASE64}, "additionalProperties": {}},
            {"a": "YQ==", "b": "YQ=="},
            {"a": "YQ==", "b": b"a"},
        ),
        ({"anyOf": [BASE64, {"type": "null"}]}, "YQ==", b"a"),
        ({"anyOf": [BASE64, {"type": "null"}]}, None, None),
        ({"anyOf": [BASE64, {"type": "string"}]}, "YQ==", "YQ=="),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, 2.0, 2.0),
        ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, True, True),
        ({"anyOf": [{"type": "array", "items": BASE64}, {"type": ["string", "null"]}]}, ["YQ=="], [b"a"]),
    ],
)
def test_json_comes_into_the_plugins_form(schema, value, adapted):
    result = check(schema, value)
    assert result == adapted
    assert type(result) is type(adapted)


def test_messagepack_has_bytes_itself():
    schema = {"anyOf": [{"type": "array", "items": BASE64}, BASE64]}
    assert check(schema, b"a", bodies.MESSAGEPACK) == b"a"
    assert check(schema, [b"a"], bodies.MESSAGEPACK) == [b"a"]
    with pytest.raises(Problem, match=r"^value is 'YQ=='; allowed: an array or bytes$"):
        check(schema, "YQ==", bodies.MESSAGEPACK)
    with pytest.raises(Problem, match=r"^value is b'a'; allowed: a string$"):
        check({"type": "string"}, b"a", bodies.MESSAGEPACK)


def test_each_argument_meets_the_schema_of_its_parameter():
    parameters = (
        ParameterDescription("first", "positional_only", True, None, "", {"type": "integer"}),
        ParameterDescription("second", "positional_or_keyword", True, None, "", {"type": "string"}),
        ParameterDescription("rest", "var_positional", False, None, "", {"type": "boolean"}),
        ParameterDescription("only", "keyword_only", False, "0", "", {"type": "number"}),
        ParameterDescription("others", "var_keyword", False, None, "", {"type": "null"}),
    )
    check_all = ArgumentCheck(FunctionDescription("run", "", False, False, parameters, "", {}), bodies.JSON)
    good: tuple[list[Any], dict[str, Any]] = ([1, "a", True], {"only": 0.5, "other": None})
    assert check_all(*good) == good
    for args, kwargs, parameter in (
        (["x"], {}, "first"),
        ([1, 2], {}, "second"),
        ([1, "a", True, 3], {}, "rest"),
        ([1], {"second": 2}, "second"),
        ([], {"only": "x"}, "only"),
        ([], {"other": 1}, "others"),
        # A positional-only name is free for **others.
        ([], {"first": 1}, "others"),
    ):
        with pytest.raises(Problem) as caught:
            check_all(args, kwargs)
        assert caught.value.members["parameter"] == parameter


def test_what_matches_no_parameter_is_left_to_the_plugins_signature():
    check_all = ArgumentCheck(describe(text={"type": "string"}), bodies.JSON)
    assert check_all(["a", "b"], {"tpo": 1}) == (["a", "b"], {"tpo": 1})


def test_a_function_is_compiled_once_until_it_is_loaded_anew():
    checks = ArgumentChecks()
    first, second = describe(value={"type": "integer"}), describe(value={"type": "string"})
    compiled = checks.get("notes.run", first, bodies.JSON)
    assert checks.get("notes.run", first, bodies.JSON) is compiled
    assert checks.get("notes.run", first, bodies.MESSAGEPACK) is not compiled
    assert checks.get("notes.run", second, bodies.JSON)(["a"], {}) == (["a"], {})
