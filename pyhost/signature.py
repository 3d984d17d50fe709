"""Exported functions as the host describes them: parameters and JSON Schemas from what their plugin sent.

The plugin's side sends names, counts and texts only; what they mean is worked out here, once, in the host.
"""

import ast
from collections.abc import Iterator
from inspect import CO_VARARGS, CO_VARKEYWORDS
from typing import Any

from pyhost.status import FunctionDescription, ParameterDescription

type Schema = dict[str, Any]

_LONGEST_ANNOTATION = 1000
"""In characters; what is longer is no type, and could nest deeper than the parser goes."""

_SCALARS: dict[str, Schema] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "None": {"type": "null"},
    "list": {"type": "array"},
    "tuple": {"type": "array"},
    "dict": {"type": "object"},
}


def read_function(data: dict[str, Any]) -> FunctionDescription:
    """The description of one function from the plain data that its plugin sent."""
    returns = data["annotations"].get("return", "")
    return FunctionDescription(
        name=data["name"],
        doc=data["doc"],
        direct=data["direct"],
        is_async=data["async"],
        parameters=tuple(_parameters(data)),
        returns=returns,
        returns_schema=schema_of(returns),
    )


def schema_of(annotation: str) -> Schema:
    """JSON Schema of an annotation's text; ``{}``, which allows everything, for "" and for what has no such form."""
    if len(annotation) > _LONGEST_ANNOTATION:
        return {}
    try:
        expression = ast.parse(annotation.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return {}
    return _schema(expression)


def _parameters(data: dict[str, Any]) -> Iterator[ParameterDescription]:
    annotations: dict[str, str] = data["annotations"]

    def parameter(name: str, kind: str, default: str | None, *, required: bool = False) -> ParameterDescription:
        annotation = annotations.get(name, "")
        return ParameterDescription(
            name=name,
            kind=kind,
            required=required,
            default=default,
            annotation=annotation,
            schema=schema_of(annotation),
        )

    if data["code"] is None:
        yield parameter("args", "var_positional", None)
        yield parameter("kwargs", "var_keyword", None)
        return
    positional, positional_only, keyword_only, flags = data["code"]
    names, defaults = data["names"], data["defaults"]
    for i in range(int(data["bound"]), positional):
        place = i - (positional - len(defaults))
        kind = "positional_only" if i < positional_only else "positional_or_keyword"
        yield parameter(names[i], kind, defaults[place] if place >= 0 else None, required=place < 0)
    rest = positional + keyword_only
    if flags & CO_VARARGS:
        yield parameter(names[rest], "var_positional", None)
        rest += 1
    for name in names[positional : positional + keyword_only]:
        default = data["keyword_defaults"].get(name)
        yield parameter(name, "keyword_only", default, required=default is None)
    if flags & CO_VARKEYWORDS:
        yield parameter(names[rest], "var_keyword", None)


def _schema(expression: ast.expr) -> Schema:
    match expression:
        case ast.Name(id=name):
            return dict(_SCALARS.get(name, {}))
        case ast.Constant(value=None):
            return {"type": "null"}
        case ast.Constant(value=str(text)):
            return schema_of(text)
        case ast.BinOp(op=ast.BitOr()):
            return _any_of(expression)
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return {"type": "array", "items": _schema(item)}
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[ast.Name(id="str"), value])):
            return {"type": "object", "additionalProperties": _schema(value)}
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[item, ast.Constant(value=end)])) if (
            end is ...
        ):
            return {"type": "array", "items": _schema(item)}
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=items)):
            return _fixed_tuple(items)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=item):
            return _fixed_tuple([item])
    return {}


def _any_of(expression: ast.expr) -> Schema:
    options: list[Schema] = []
    pending = [expression]
    while pending:
        match pending.pop():
            case ast.BinOp(op=ast.BitOr(), left=left, right=right):
                pending += [right, left]
            case option:
                options.append(_schema(option))
    return {"anyOf": options} if all(options) else {}


def _fixed_tuple(items: list[ast.expr]) -> Schema:
    return {
        "type": "array",
        "prefixItems": [_schema(item) for item in items],
        "minItems": len(items),
        "maxItems": len(items),
    }
