from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyhost import bodies, openapi
from pyhost.arguments import ArgumentCheck
from pyhost.problems import Problem
from pyhost.status import FunctionDescription, FunctionStatus, LatencySummary, ParameterDescription, PluginStatus

BASE64 = {"type": "string", "contentEncoding": "base64"}
NO_CALLS = LatencySummary(0, 0.0, 0.0, 0.0, 0.0, 0.0, ())


def parameter(name: str, schema: dict[str, Any], kind: str = "positional_or_keyword", *, required: bool = True):
    return ParameterDescription(name, kind, required, None if required else "…", "", schema)


def function(*parameters: ParameterDescription, name: str = "run", doc: str = "", returns_schema: Any = None):
    return FunctionDescription(name, doc, False, False, parameters, "", returns_schema or {})


def plugin(*functions: FunctionDescription, name: str = "notes") -> PluginStatus:
    statuses = tuple(FunctionStatus(item, 0, 0, 0, 0, NO_CALLS) for item in functions)
    return PluginStatus(name, "1.0", "running", "", "", "notes/plugin.toml", "", functions=statuses)


EVERY_KIND = function(
    parameter("first", {"type": "integer"}, "positional_only"),
    parameter("second", {"type": "array", "prefixItems": [{"type": "integer"}, BASE64], "items": False}),
    parameter("more", {"type": "string"}, "var_positional"),
    parameter("only", {"anyOf": [{"type": "number"}, {"type": "null"}]}, "keyword_only", required=False),
    parameter("others", {"type": "boolean"}, "var_keyword"),
    doc="Do everything.\n\nAt length.",
    returns_schema=BASE64,
)


@pytest.mark.parametrize("token", [False, True])
def test_the_document_is_valid_openapi_3_1(token):
    validator = pytest.importorskip("openapi_spec_validator")
    plugins = [plugin(EVERY_KIND, function(name="nothing")), plugin(name="empty"), plugin(function(), name="a-b")]
    document = openapi.document(plugins, "1.0", token=token)
    validator.validate(document, cls=validator.OpenAPIV31SpecValidator)
    assert document["openapi"] == "3.1.0"
    assert {path for path in document["paths"] if path.startswith("/call/")} == {
        "/call/notes/run",
        "/call/notes/nothing",
        "/call/a-b/run",
    }


def test_an_operation_says_what_the_function_does():
    operation = openapi.document([plugin(EVERY_KIND)], "1.0", token=False)["paths"]["/call/notes/run"]["post"]
    assert operation["operationId"] == "notes.run"
    assert operation["summary"] == "Do everything."
    assert operation["description"] == "Do everything.\n\nAt length."
    assert operation["requestBody"]["required"] is True
    assert set(operation["requestBody"]["content"]) == {"application/json", "application/msgpack"}
    # Bytes can also be had as they are.
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "application/msgpack", "*/*"}


def test_a_function_without_docstring_is_summed_up_by_its_signature():
    description = function(parameter("text", {}))
    operation = openapi.document([plugin(description)], "1.0", token=False)["paths"]["/call/notes/run"]["post"]
    assert operation["summary"] == "notes.run(text)"
    assert "description" not in operation


def test_with_a_token_only_the_probes_go_without_it():
    document = openapi.document([plugin(EVERY_KIND)], "1.0", token=True)
    open_paths = {
        path for path, item in document["paths"].items() for operation in item.values() if "security" in operation
    }
    assert document["security"] == [{"token": []}]
    assert open_paths == {"/healthz", "/readyz"}


def test_a_function_without_parameters_has_no_body():
    operation = openapi.document([plugin(function())], "1.0", token=False)["paths"]["/call/notes/run"]["post"]
    assert "requestBody" not in operation


def test_positional_and_keyword_arguments_are_alternatives():
    text, top = parameter("text", {"type": "string"}), parameter("top", {"type": "integer"}, required=False)
    assert openapi.arguments_schema(function(text, top)) == {
        "anyOf": [
            {
                "type": "array",
                "prefixItems": [{"type": "string"}, {"type": "integer"}],
                "minItems": 1,
                "items": False,
            },
            {
                "type": "object",
                "properties": {"text": {"type": "string"}, "top": {"type": "integer"}},
                "required": ["text"],
                "additionalProperties": False,
            },
        ]
    }


def test_a_parameter_without_a_name_needs_the_array_and_a_keyword_only_one_the_object():
    first = parameter("first", {}, "positional_only")
    only = parameter("only", {}, "keyword_only")
    assert openapi.arguments_schema(function(first))["type"] == "array"
    assert openapi.arguments_schema(function(only))["type"] == "object"
    assert openapi.arguments_schema(function(first, only)) is None


def test_rest_parameters_are_open_ended():
    schema = openapi.arguments_schema(
        function(
            parameter("args", {"type": "integer"}, "var_positional", required=False),
            parameter("kwargs", {"type": "boolean"}, "var_keyword", required=False),
        )
    )
    assert schema["anyOf"][0] == {"type": "array", "items": {"type": "integer"}}
    assert schema["anyOf"][1]["additionalProperties"] == {"type": "boolean"}


SCALARS = st.sampled_from([{"type": name} for name in ("integer", "number", "string", "boolean", "null")] + [{}])
SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(lambda item: {"type": "array", "items": item}, inner),
        st.builds(lambda item: {"type": "object", "additionalProperties": item}, inner),
        st.builds(lambda items: {"anyOf": items}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(
            lambda items: {
                "type": "array",
                "prefixItems": items,
                "items": False,
                "minItems": len(items),
                "maxItems": len(items),
            },
            st.lists(inner, min_size=1, max_size=3),
        ),
    ),
    max_leaves=4,
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from([0.5, 2.0]), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)


@given(schema=SCHEMAS, value=VALUES)
def test_what_the_document_allows_is_what_the_gateway_lets_pass(schema, value):
    jsonschema = pytest.importorskip("jsonschema")
    description = function(parameter("value", schema))
    published = jsonschema.Draft202012Validator(openapi.arguments_schema(description)).is_valid([value])
    try:
        ArgumentCheck(description, bodies.JSON)([value], {})
    except Problem:
        enforced = False
    else:
        enforced = True
    assert enforced == published


def test_only_draining_has_a_timeout_of_its_own():
    paths = openapi.document([], "1.0", token=False)["paths"]
    with_timeout = {
        action
        for action in openapi.CHANGES
        if "timeout" in [item["name"] for item in paths[f"/plugins/{{plugin}}/{action}"]["parameters"]]
    }
    assert with_timeout == {"drain"}
