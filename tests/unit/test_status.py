"""Snapshots: the signature as text, and that nobody changes them."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from pyhost import status
from pyhost.signature import read_function
from pyhost.starting import describe_function
from pyhost.status import FunctionStatus, LatencySummary, PluginStatus


def described(function):
    return read_function(describe_function(function, {"name": None, "direct": False}))


def positional_only(a, b=1, /): ...
def positional_only_before_others(a, /, b, c=2): ...
def positional_only_before_keywords(a, /, *, b): ...
def keyword_only(*, a, b=None): ...
def variadic(*args, **kwargs): ...
def keyword_only_after_variadic(a, *args, b, c="x", **kwargs): ...
def annotated(text: str, top: int = 10) -> dict[str, int]: ...
def annotated_variadic(*parts: bytes, **options: bool) -> None: ...
def of_everything(
    a: int, b: str = "b", /, c: float = 1.5, *d: int, e: bool, f: list[int] | None = None, **g: str
) -> None: ...
def nothing(): ...
async def asynchronous(delay: float = 0.1) -> str: ...


@pytest.mark.parametrize(
    "function",
    [
        positional_only,
        positional_only_before_others,
        positional_only_before_keywords,
        keyword_only,
        variadic,
        keyword_only_after_variadic,
        nothing,
    ],
    ids=lambda function: function.__name__,
)
def test_a_signature_reads_as_inspect_writes_it(function):
    assert described(function).signature == str(inspect.signature(function))


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (annotated, "(text: str, top: int = 10) -> dict[str, int]"),
        (annotated_variadic, "(*parts: bytes, **options: bool) -> None"),
        (
            of_everything,
            "(a: int, b: str = 'b', /, c: float = 1.5, *d: int, e: bool, f: list[int] | None = None, **g: str) -> None",
        ),
        (asynchronous, "(delay: float = 0.1) -> str"),
    ],
)
def test_annotations_are_part_of_a_signature(function, signature):
    assert described(function).signature == signature


def test_a_plugin_finds_its_functions_by_name():
    latency = LatencySummary(0, 0.0, 0.0, 0.0, 0.0, 0.0, ())
    functions = tuple(FunctionStatus(described(function), 0, 0, 0, 0, latency) for function in (annotated, nothing))
    plugin = PluginStatus("shop", "1", "running", "", "", "shop.py", "", functions=functions)
    assert plugin.function("nothing") is functions[1]
    assert plugin.function("something") is None


def test_snapshots_are_frozen():
    kinds = [kind for kind in vars(status).values() if dataclasses.is_dataclass(kind)]
    assert len(kinds) >= 6
    for kind in kinds:
        assert kind.__dataclass_params__.frozen, kind
        assert "__slots__" in vars(kind), kind
    plugin = PluginStatus("shop", "1", "running", "", "", "shop.py", "")
    with pytest.raises(dataclasses.FrozenInstanceError):
        plugin.state = "stopped"
