"""``GET /openapi.json``: the HTTP interface as an OpenAPI 3.1 document, made from the plugins' own signatures.

The parameters' schemas are the ones that ``arguments.py`` enforces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pyhost import access, bodies, log_stream, logs, problems

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyhost.status import FunctionDescription, PluginStatus

type Document = dict[str, Any]

_PROBLEM_SCHEMA: Document = {
    "type": "object",
    "description": "A problem document as of RFC 9457.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "enum": [item.uri for item in problems.PROBLEM_TYPES]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, and what to do."},
        "instance": {"type": "string", "description": "The path of the request."},
        "plugin": {"type": "string"},
        "function": {"type": "string"},
        "parameter": {"type": "string", "description": "The parameter whose argument is wrong."},
        "exception": {"type": "string", "description": "The name of the exception that the plugin raised."},
        "message": {"type": "string"},
        "notes": {"type": "array", "items": {"type": "string"}},
        "traceback": {"type": "string"},
        "limit": {"type": "integer", "description": "The plugin's memory limit in bytes."},
        "peak": {"type": "integer", "description": "The most that the plugin's interpreter held, in bytes."},
    },
}
_SERVER_PATHS = {
    "/plugins": ("listPlugins", "The process, and every plugin: its state, functions, counts, times, memory and CPU."),
    "/plugins/{plugin}": ("getPlugin", "One plugin, and what it took during the last minute."),
    "/plugins/{plugin}/logs": ("getLogs", "What the plugin has printed and logged; followed, one JSON record a line."),
    "/healthz": ("getHealth", "Answers while the process serves."),
    "/readyz": ("getReadiness", "Answers 200 when every plugin runs and the server is not stopping, otherwise 503."),
    "/metrics": ("getMetrics", "The counters for Prometheus."),
    "/openapi.json": ("getInterface", "This document."),
}
_PLUGIN: Document = {"name": "plugin", "in": "path", "required": True, "schema": {"type": "string"}}
CHANGES = {
    "reload": "Load the plugin anew while its old version serves, and switch over in one step.",
    "restart": "Stop the plugin, then load it anew.",
    "start": "Load a plugin that does not run, at once.",
    "stop": "Finish the plugin's calls and stop it, until it is started.",
    "drain": "As stop, but wait for the calls as long as they take, or for the seconds of timeout.",
}
"""What can be done to one plugin, and what that means."""
_TIMEOUT: Document = {
    "name": "timeout",
    "in": "query",
    "description": "Seconds until the call is given up; otherwise the plugin's own deadline holds.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
_DRAIN_TIMEOUT: Document = _TIMEOUT | {"description": "Seconds until what is left is given up; otherwise nothing is."}


_LOG_PARAMETERS: list[Document] = [
    {
        "name": "lines",
        "in": "query",
        "description": "The newest so many records.",
        "schema": {
            "type": "integer",
            "minimum": 0,
            "maximum": logs.KEPT_RECORDS,
            "default": log_stream.DEFAULT_LINES,
        },
    },
    {
        "name": "level",
        "in": "query",
        "description": "From this level on.",
        "schema": {"type": "string", "enum": list(logs.LEVELS)},
    },
    {
        "name": "follow",
        "in": "query",
        "description": "Go on with each new record, until the client goes or the server stops.",
        "schema": {"type": "boolean", "default": False},
    },
]


def document(plugins: Iterable[PluginStatus], version: str, *, token: bool) -> Document:
    """Return the document; ``version`` is pyhost's own, and ``token`` says whether requests have to show one."""
    paths: Document = {path: _server_path(path, *item) for path, item in _SERVER_PATHS.items()}
    paths["/rescan"] = {
        "post": {
            "operationId": "rescan",
            "summary": "Read the plugins' folder again. On the Unix socket, or with a token.",
            "responses": _responses({"description": "What changed."}, bodies.JSON, {"type": "object"}),
        }
    }
    paths |= {f"/plugins/{{plugin}}/{action}": _change_path(action, summary) for action, summary in CHANGES.items()}
    for plugin in plugins:
        for function in plugin.functions:
            path = f"/call/{quote(plugin.name)}/{quote(function.description.name)}"
            paths[path] = {"post": _operation(plugin.name, function.description)}
    result: Document = {
        "openapi": "3.1.0",
        "info": {"title": "pyhost", "version": version, "description": "The plugins of this server."},
        "paths": paths,
        "components": {"schemas": {"Problem": _PROBLEM_SCHEMA}},
    }
    if token:
        result["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        result["security"] = [{"token": []}]
    return result


def _server_path(path: str, operation_id: str, doc: str) -> Document:
    is_text = path == "/metrics"
    responses = _responses(
        {"description": doc}, "text/plain" if is_text else bodies.JSON, {"type": "string" if is_text else "object"}
    )
    operation: Document = {"operationId": operation_id, "summary": doc, "responses": responses}
    if path in access.OPEN_PATHS:
        operation["security"] = []
    item: Document = {"get": operation}
    if "{" in path:
        item["parameters"] = [_PLUGIN]
    if path.endswith("/logs"):
        item["parameters"] += _LOG_PARAMETERS
        responses["200"]["content"][log_stream.MEDIA_TYPE] = {"schema": {"type": "object"}}
    return item


def _change_path(action: str, summary: str) -> Document:
    parameters = [_PLUGIN, _DRAIN_TIMEOUT] if action == "drain" else [_PLUGIN]
    responses = _responses({"description": "How the plugin is now."}, bodies.JSON, {"type": "object"})
    operation = {
        "operationId": f"{action}Plugin",
        "summary": f"{summary} On the Unix socket, or with a token.",
        "responses": responses,
    }
    return {"post": operation, "parameters": parameters}


def _operation(plugin: str, function: FunctionDescription) -> Document:
    operation: Document = {
        "operationId": f"{plugin}.{function.name}",
        "tags": [plugin],
        "summary": function.doc.strip().partition("\n")[0] or f"{plugin}.{function.name}{function.signature}",
        "parameters": [_TIMEOUT],
        "responses": _call_responses(function),
    }
    if function.doc:
        operation["description"] = function.doc
    schema = arguments_schema(function)
    if schema is not None:
        operation["requestBody"] = {
            "required": any(parameter.required for parameter in function.parameters),
            "content": {media_type: {"schema": schema} for media_type in (bodies.JSON, bodies.MESSAGEPACK)},
        }
    return operation


def arguments_schema(function: FunctionDescription) -> Document | None:
    """Return the schema of a call's body: an array of positional or an object of keyword arguments.

    None for a function that no body can give arguments to.
    """
    by_kind: dict[str, list[Any]] = {}
    for parameter in function.parameters:
        by_kind.setdefault(parameter.kind, []).append(parameter)
    positional = by_kind.get("positional_only", []) + by_kind.get("positional_or_keyword", [])
    named = by_kind.get("positional_or_keyword", []) + by_kind.get("keyword_only", [])
    alternatives: list[Document] = []
    if not any(parameter.required for parameter in by_kind.get("keyword_only", [])):
        rest = by_kind.get("var_positional")
        array: Document = {"type": "array", "items": rest[0].schema if rest else False}
        if positional:  # prefixItems may not be empty
            array["prefixItems"] = [parameter.schema for parameter in positional]
            array["minItems"] = sum(parameter.required for parameter in positional)
        if positional or rest:
            alternatives.append(array)
    if not any(parameter.required for parameter in by_kind.get("positional_only", [])):
        rest = by_kind.get("var_keyword")
        if named or rest:
            alternatives.append(
                {
                    "type": "object",
                    "properties": {parameter.name: parameter.schema for parameter in named},
                    "required": [parameter.name for parameter in named if parameter.required],
                    "additionalProperties": rest[0].schema if rest else False,
                }
            )
    if not alternatives:
        return None
    return alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}


def _call_responses(function: FunctionDescription) -> Document:
    result = {"type": "object", "required": ["result"], "properties": {"result": function.returns_schema}}
    description = f"Returns {function.returns}." if function.returns else "What the function returned."
    responses = _responses({"description": description}, bodies.JSON, result)
    content = responses["200"]["content"]
    content[bodies.MESSAGEPACK] = {"schema": result}
    if function.returns_schema.get("contentEncoding") == "base64":
        # Whatever media type Accept names; which one the bytes are of, only the plugin knows.
        content["*/*"] = {"schema": {}}
    return responses


def _responses(success: Document, media_type: str, schema: Document) -> Document:
    problem = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "200": {**success, "content": {media_type: {"schema": schema}}},
        "default": {"description": "A problem; its type says which.", "content": problem},
    }
