"""Checks the arguments of HTTP calls against the JSON Schema that ``/openapi.json`` publishes for them.

A schema is compiled once per function and load. What JSON cannot say is brought into the plugin's form on the way:
base64 text becomes bytes, and 2.0 becomes 2, where the schema asks for that. Which parameters there are, and which
must be given, is Python's own check when the plugin is called.
"""

from __future__ import annotations

import base64
import reprlib
from typing import TYPE_CHECKING, Any

import fastjsonschema

from pyhost import bodies, problems
from pyhost.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyhost.status import FunctionDescription, ParameterDescription

type Schema = dict[str, Any]
type Adapter = Callable[[Any, str], Any]
"""Brings a value from JSON, and its place for error messages, into the plugin's form."""

_NOUNS = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "boolean": "true or false",
    "null": "null",
    "array": "an array",
    "object": "an object",
}
# fastjsonschema compiles the keywords of draft 7, where no type is called bytes: what is of none of JSON's types.
_NATIVE_BYTES: Schema = {"not": {"type": list(_NOUNS)}, "description": "bytes"}
# fastjsonschema would decode base64 to check it; the adapter does that once.
_BASE64_TEXT: Schema = {"type": "string", "description": "base64 text"}
_shortened = reprlib.Repr(maxstring=60, maxother=60).repr


class ArgumentCheck:
    """The check of one function's arguments, for one kind of body."""

    def __init__(self, description: FunctionDescription, body_kind: str) -> None:
        native = body_kind == bodies.MESSAGEPACK
        self.description = description
        parameters = description.parameters
        checks = {parameter.name: _ValueCheck(parameter, native=native) for parameter in parameters}
        self._positional = [checks[item.name] for item in parameters if item.kind.startswith("positional")]
        self._named = {item.name: checks[item.name] for item in parameters if item.kind in _NAMED_KINDS}
        self._rest = {item.kind: checks[item.name] for item in parameters if item.kind.startswith("var_")}

    def __call__(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments in the plugin's form; those that match no parameter are left to the plugin's signature.

        Raises Problem when one is not what its schema allows.
        """
        rest = self._rest.get("var_positional")
        checked_args = [
            check(value) if (check := self._positional[index] if index < len(self._positional) else rest) else value
            for index, value in enumerate(args)
        ]
        rest = self._rest.get("var_keyword")
        checked_kwargs = {
            name: check(value) if (check := self._named.get(name, rest)) else value for name, value in kwargs.items()
        }
        return checked_args, checked_kwargs


_NAMED_KINDS = {"positional_or_keyword", "keyword_only"}


class ArgumentChecks:
    """The compiled checks of every function called so far; a function that was loaded anew is compiled anew."""

    def __init__(self) -> None:
        self._checks: dict[tuple[str, str], ArgumentCheck] = {}

    def get(self, function: str, description: FunctionDescription, body_kind: str) -> ArgumentCheck:
        """Return the check for ``function`` (its full name) as ``description`` describes it now."""
        check = self._checks.get((function, body_kind))
        if check is None or check.description is not description:
            check = self._checks[function, body_kind] = ArgumentCheck(description, body_kind)
        return check


class _ValueCheck:
    """The check of one parameter's values."""

    def __init__(self, parameter: ParameterDescription, *, native: bool) -> None:
        self._parameter = parameter.name
        self._validate = fastjsonschema.compile(_compilable(parameter.schema, native=native), use_default=False)
        self._adapt = None if native else _adapter(parameter.schema)

    def __call__(self, value: Any) -> Any:
        try:
            self._validate(value, name_prefix=self._parameter)
        except fastjsonschema.JsonSchemaValueException as error:
            raise self._problem(f"{error.name} is {_shortened(error.value)}; allowed: {_allowed(error)}") from error
        if self._adapt is None:
            return value
        try:
            return self._adapt(value, self._parameter)
        except ValueError as error:
            raise self._problem(str(error)) from error

    def _problem(self, detail: str) -> Problem:
        return Problem(problems.INVALID_ARGUMENTS, detail, members={"parameter": self._parameter})


def _compilable(schema: Any, *, native: bool) -> Any:
    """Return a schema of JSON Schema 2020-12 in the words of draft 7; ``native`` has bytes where JSON has base64."""
    if isinstance(schema, list):
        return [_compilable(item, native=native) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if _is_base64(schema):
        return _NATIVE_BYTES if native else _BASE64_TEXT
    compilable = {
        key: value if key in {"enum", "const", "default"} else _compilable(value, native=native)
        for key, value in schema.items()
    }
    if "prefixItems" in compilable:
        compilable["additionalItems"] = compilable.pop("items", True)
        compilable["items"] = compilable.pop("prefixItems")
    return compilable


def _is_base64(schema: Schema) -> bool:
    return schema.get("contentEncoding") == "base64"


def _allowed(error: fastjsonschema.JsonSchemaValueException) -> str:
    """Say what the schema at the place of the error allows."""
    if error.rule in {"type", "anyOf", "oneOf", "enum", "const", "not"}:
        return _describe(error.definition)
    return str(error.message).removeprefix(f"{error.name} must ")


def _describe(schema: Schema) -> str:
    """Say in words what a (compilable) schema allows."""
    if schema in (_NATIVE_BYTES, _BASE64_TEXT):
        return str(schema["description"])
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return " or ".join(map(repr, schema["enum"]))
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(map(_describe, schema[word]))
    types = schema.get("type", [])
    return " or ".join(_NOUNS[item] for item in ([types] if isinstance(types, str) else types)) or "any value"


def _adapter(schema: Any) -> Adapter | None:
    """Return what brings a valid value of ``schema`` into the plugin's form; None where it is in that form already."""
    if not isinstance(schema, dict):
        return None
    if _is_base64(schema):
        return _decode_base64
    if schema.get("type") == "integer":
        return _to_integer
    if "anyOf" in schema:
        return _alternatives(schema["anyOf"])
    if schema.get("type") == "array":
        return _elements(schema)
    if schema.get("type") == "object":
        return _members(schema)
    return None


def _decode_base64(value: Any, place: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise ValueError(f"{place} is {_shortened(value)}; allowed: base64 text ({error})") from error


def _to_integer(value: Any, _place: str) -> int:
    return int(value)


def _alternatives(schemas: list[Schema]) -> Adapter | None:
    """Adapt by the first alternative that allows the value. Text that may be plain text stays text."""
    # Plain text comes before base64, so that it wins; numbers before integers, so that 2.0 stays.
    ordered = sorted(schemas, key=lambda schema: _is_base64(schema) or schema.get("type") == "integer")
    adapters = [(_allows(schema), _adapter(schema)) for schema in ordered]
    if not any(adapter for _, adapter in adapters):
        return None

    def adapt(value: Any, place: str) -> Any:
        for allows, adapter in adapters:
            if allows(value):
                return adapter(value, place) if adapter else value
        return value

    return adapt


def _allows(schema: Schema) -> Callable[[Any], bool]:
    validate = fastjsonschema.compile(_compilable(schema, native=False), use_default=False)

    def allows(value: Any) -> bool:
        try:
            validate(value)
        except fastjsonschema.JsonSchemaValueException:
            return False
        return True

    return allows


def _elements(schema: Schema) -> Adapter | None:
    first = [_adapter(item) for item in schema.get("prefixItems", [])]
    rest = _adapter(schema.get("items"))
    if rest is None and not any(first):
        return None

    def adapt(value: Any, place: str) -> Any:
        adapters = [*first, *[rest] * (len(value) - len(first))]
        return [
            adapter(item, f"{place}[{index}]") if adapter else item
            for index, (item, adapter) in enumerate(zip(value, adapters, strict=False))
        ]

    return adapt


def _members(schema: Schema) -> Adapter | None:
    adapters = {name: adapter for name, item in schema.get("properties", {}).items() if (adapter := _adapter(item))}
    rest = _adapter(schema.get("additionalProperties"))
    if rest is None and not adapters:
        return None

    def adapt(value: Any, place: str) -> Any:
        adapted = dict(value)
        for name, item in value.items():
            if adapter := adapters.get(name, rest):
                adapted[name] = adapter(item, f"{place}.{name}")
        return adapted

    return adapt
