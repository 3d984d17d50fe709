"""How a plugin describes its functions and its exceptions, and how the host reads that; no interpreter."""

from __future__ import annotations

import functools
import inspect
import typing
from collections import namedtuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyhost import _core
from pyhost.errors import build
from pyhost.guest import describe_exception
from pyhost.signature import read_function, schema_of
from pyhost.starting import describe_function

T = typing.TypeVar("T")
Label = typing.NewType("Label", str)
type Alias = int


def describe(function, name=None, direct=False):
    # Copied as it is when it goes from the plugin's interpreter to the host's.
    return read_function(_core.copy(describe_function(function, {"name": name, "direct": direct})))


def parameters_of(function):
    return describe(function).parameters


# As its author writes it without `from __future__ import annotations`, which this file has.
def annotated_with(annotation):
    def function(value): ...

    function.__annotations__ = {"value": annotation, "return": annotation}
    return function


class TestParameters:
    def test_every_kind(self):
        def function(a, b=1, /, c=2, *d, e, f=3, **g): ...

        assert [(item.name, item.kind, item.required, item.default) for item in parameters_of(function)] == [
            ("a", "positional_only", True, None),
            ("b", "positional_only", False, "1"),
            ("c", "positional_or_keyword", False, "2"),
            ("d", "var_positional", False, None),
            ("e", "keyword_only", True, None),
            ("f", "keyword_only", False, "3"),
            ("g", "var_keyword", False, None),
        ]

    def test_none(self):
        assert parameters_of(lambda: 0) == ()

    def test_a_default_of_none_is_a_default(self):
        def function(a=None, *, b=None): ...

        assert [(item.required, item.default) for item in parameters_of(function)] == [(False, "None")] * 2

    def test_a_default_is_written_as_python_writes_it(self):
        def function(a="it's", b=(1, 2.5), c=b"\0"): ...

        assert [item.default for item in parameters_of(function)] == ['"it\'s"', "(1, 2.5)", "b'\\x00'"]

    @given(st.data())
    def test_any_signature_is_that_of_inspect(self, data):
        def draw_names(prefix):
            return [f"{prefix}{index}" for index in range(data.draw(st.integers(0, 3)))]

        positional_only, ordinary, keyword_only = draw_names("p"), draw_names("o"), draw_names("k")
        defaults = data.draw(st.integers(0, len(positional_only) + len(ordinary)))
        with_default = {
            *[*positional_only, *ordinary][::-1][:defaults],
            *(n for n in keyword_only if data.draw(st.booleans())),
        }
        star = data.draw(st.sampled_from(["", "*args"]))
        double_star = data.draw(st.sampled_from(["", "**kwargs"]))

        def written(names):
            return [f"{name}={index}" if name in with_default else name for index, name in enumerate(names)]

        parts = written(positional_only)
        parts += ["/"] if positional_only else []
        parts += written(ordinary)
        parts += [star] if star else ["*"] if keyword_only else []
        parts += [*written(keyword_only), *([double_star] if double_star else [])]
        function = eval(f"lambda {', '.join(parts)}: None")

        assert [(item.name, item.kind, item.required, item.default) for item in parameters_of(function)] == [
            (
                parameter.name,
                parameter.kind.name.lower(),
                parameter.default is parameter.empty
                and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD),
                None if parameter.default is parameter.empty else repr(parameter.default),
            )
            for parameter in inspect.signature(function).parameters.values()
        ]


class TestCallables:
    def test_a_wrapper_shows_the_function_that_it_wraps(self):
        def inner(text: str, top: int = 10) -> int:
            """Inner."""

        @functools.wraps(inner)
        def outer(*args, **kwargs):
            return inner(*args, **kwargs)

        assert describe(outer) == describe(inner)

    def test_a_chain_of_wrappers_that_comes_back_ends(self):
        def function(a): ...

        function.__wrapped__ = function
        assert [item.name for item in parameters_of(function)] == ["a"]

    def test_a_bound_method_has_no_self(self):
        class Shop:
            def sell(self, item, price=1): ...

        assert [(item.name, item.default) for item in parameters_of(Shop().sell)] == [
            ("item", None),
            ("price", "1"),
        ]

    def test_a_class_method_has_no_class(self):
        class Shop:
            @classmethod
            def open(cls, door): ...

        assert [item.name for item in parameters_of(Shop.open)] == ["door"]

    @pytest.mark.parametrize(
        "function", [functools.partial(int, base=2), len, type("Shop", (), {"__call__": lambda self, item: item})()]
    )
    def test_what_has_no_code_of_its_own_takes_anything(self, function):
        assert [(item.name, item.kind) for item in parameters_of(function)] == [
            ("args", "var_positional"),
            ("kwargs", "var_keyword"),
        ]

    def test_what_has_no_name_is_named_for_its_type(self):
        assert describe(functools.partial(int, base=2)).name == "partial"

    def test_a_name_of_its_own(self):
        assert describe(len, name="length").name == "length"
        assert describe(len).name == "len"

    @pytest.mark.parametrize("name", ["", 5, b"count", "with\0null", "\udc80"])
    def test_a_name_that_nobody_can_call_is_refused(self, name):
        def count(): ...

        with pytest.raises(ValueError, match="count is exported as .*; allowed: text of printable characters"):
            describe(count, name=name)

    def test_async_is_told(self):
        async def fetch(): ...
        async def stream():
            yield 1

        def sync(): ...

        assert [describe(function).is_async for function in (fetch, stream, sync, lambda: fetch())] == [
            True,
            False,
            False,
            False,
        ]

    def test_an_async_function_cannot_be_direct(self):
        async def fetch(): ...

        with pytest.raises(TypeError, match="fetch is async, and a direct call has no event loop: drop direct=True"):
            describe(fetch, direct=True)

    def test_direct_is_told(self):
        assert describe(len, direct=True).direct is True
        assert describe(len).direct is False


class TestDocumentation:
    def test_is_without_its_indent(self):
        def function():
            """Counts words.

            The most frequent first:
                the, and
            """

        assert describe(function).doc == inspect.getdoc(function)

    @pytest.mark.parametrize("doc", [None, "", 5])
    def test_there_may_be_none(self, doc):
        def function(): ...

        function.__doc__ = doc
        assert describe(function).doc == ""


# (annotation, its text, its JSON Schema)
FORMS = [
    (str, "str", {"type": "string"}),
    (int, "int", {"type": "integer"}),
    (float, "float", {"type": "number"}),
    (bool, "bool", {"type": "boolean"}),
    (bytes, "bytes", {"type": "string", "contentEncoding": "base64"}),
    (None, "None", {"type": "null"}),
    (list, "list", {"type": "array"}),
    (tuple, "tuple", {"type": "array"}),
    (dict, "dict", {"type": "object"}),
    (list[int], "list[int]", {"type": "array", "items": {"type": "integer"}}),
    (
        list[list[str]],
        "list[list[str]]",
        {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
    ),
    (dict[str, int], "dict[str, int]", {"type": "object", "additionalProperties": {"type": "integer"}}),
    (dict[int, int], "dict[int, int]", {}),
    (dict[str, typing.Any], "dict[str, typing.Any]", {"type": "object", "additionalProperties": {}}),
    (tuple[int, ...], "tuple[int, ...]", {"type": "array", "items": {"type": "integer"}}),
    (
        tuple[int, str],
        "tuple[int, str]",
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
    ),
    (int | None, "int | None", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    (
        int | list[str] | None,
        "int | list[str] | None",
        {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
    ),
    (int | complex, "int | complex", {}),
    (tuple[str], "tuple[str]", {"type": "array", "prefixItems": [{"type": "string"}], "minItems": 1, "maxItems": 1}),
    (typing.Any, "typing.Any", {}),
    (object, "object", {}),
    (set[int], "set[int]", {}),
    (complex, "complex", {}),
    (typing.Literal["a", "b"], "typing.Literal['a', 'b']", {}),
    (T, "~T", {}),
    (Label, f"{__name__}.Label", {}),
    (Alias, "Alias", {}),
    ("Later", "Later", {}),
    (["not", "hashable"], "['not', 'hashable']", {}),
    (namedtuple("Pair", "a b"), f"{__name__}.Pair", {}),  # noqa: PYI024
]


class TestAnnotations:
    @pytest.mark.parametrize(("annotation", "text", "schema"), FORMS, ids=[text for _, text, _ in FORMS])
    def test_every_form_has_its_text_and_schema(self, annotation, text, schema):
        description = describe(annotated_with(annotation))
        (parameter,) = description.parameters
        assert parameter.annotation == description.returns == text
        assert parameter.schema == description.returns_schema == schema

    def test_there_may_be_none(self):
        def function(value): ...

        description = describe(function)
        assert (description.returns, description.returns_schema) == ("", {})
        assert [(item.annotation, item.schema) for item in description.parameters] == [("", {})]

    def test_postponed_ones_are_as_good_as_others(self):
        def function(text: str, sizes: list[int] | None = None) -> dict[str, int]: ...

        assert function.__annotations__["text"] == "str", "this file's annotations are postponed"
        description = describe(function)
        assert [item.annotation for item in description.parameters] == ["str", "list[int] | None"]
        assert [item.schema for item in description.parameters] == [
            {"type": "string"},
            {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
        ]
        assert description.returns_schema == {"type": "object", "additionalProperties": {"type": "integer"}}

    def test_a_name_that_is_only_there_for_type_checkers_is_kept_as_text(self):
        def function(value: OnlyThere) -> list[OnlyThere]: ...  # noqa: F821

        description = describe(function)
        assert [(item.annotation, item.schema) for item in description.parameters] == [("OnlyThere", {})]
        assert description.returns == "list[OnlyThere]"
        assert description.returns_schema == {"type": "array", "items": {}}

    @pytest.mark.parametrize(
        ("text", "schema"),
        [
            ("list['int']", {"type": "array", "items": {"type": "integer"}}),
            ("'dict[str, bool]'", {"type": "object", "additionalProperties": {"type": "boolean"}}),
            (" int ", {"type": "integer"}),
            ("int | 'Later'", {}),
            ("list[Later]", {"type": "array", "items": {}}),
            ("list[", {}),
            ("1 + 1", {}),
            ("x: int", {}),
            ("", {}),
            ("\0", {}),
            ("\udc80", {}),
            ("(" * 1000 + ")" * 1000, {}),
            (" | ".join(["int"] * 5000), {}),
            ("-" * 100_000 + "1", {}),
        ],
        ids=range(14),
    )
    def test_any_text_has_a_schema_or_allows_everything(self, text, schema):
        assert schema_of(text) == schema

    @given(st.text())
    def test_no_text_breaks_it(self, text):
        assert isinstance(schema_of(text), dict)

    def test_a_description_is_plain_data(self):
        def plain(value):
            match value:
                case None | bool() | int() | str():
                    return True
                case dict():
                    return all(map(plain, value)) and all(map(plain, value.values()))
                case tuple():
                    return all(map(plain, value))

        for annotation, _, _ in FORMS:
            assert plain(describe_function(annotated_with(annotation), {"name": None, "direct": False}))


class TestExceptions:
    def test_a_builtin_one_has_no_module_in_its_name(self):
        assert describe_exception(ValueError("no"))[:3] == ("ValueError", "no", ())

    def test_one_of_its_own_has(self):
        class Shut(Exception): ...

        name, *_ = describe_exception(Shut())
        assert name == f"{__name__}.TestExceptions.test_one_of_its_own_has.<locals>.Shut"

    def test_its_notes(self):
        error = ValueError("no")
        error.add_note("first")
        error.add_note("second")
        assert describe_exception(error)[2] == ("first", "second")

    def test_notes_that_are_no_list_are_left_out(self):
        error = ValueError("no")
        error.__notes__ = "text"
        assert describe_exception(error)[2] == ()

    def test_one_whose_text_fails(self):
        class Mute(Exception):
            def __str__(self):
                raise KeyError("no text")

        _, message, _, traceback_text = describe_exception(Mute())
        assert message == "(its str() raised KeyError)"
        assert "exception str() failed" in traceback_text

    def test_the_traceback_has_what_it_came_from(self):
        try:
            try:
                raise KeyError("inner")
            except KeyError as inner:
                raise ValueError("outer") from inner
        except ValueError as error:
            traceback_text = describe_exception(error)[3]
        assert traceback_text.index("KeyError: 'inner'") < traceback_text.index("direct cause")
        assert traceback_text.endswith("ValueError: outer\n")

    def test_a_group_shows_its_members(self):
        traceback_text = describe_exception(ExceptionGroup("all", [ValueError("one"), TypeError("two")]))[3]
        assert "ValueError: one" in traceback_text
        assert "TypeError: two" in traceback_text

    def test_what_another_plugin_raised_does_not_double_on_its_way(self):
        described = describe_exception(ValueError("bottom"))
        for _ in range(30):
            described = describe_exception(build("RAISED", "shop.sell", described))
        assert described[3].count("ValueError: bottom") < 100
        assert len(described[3]) < 100_000

    def test_notes_on_what_another_plugin_raised_are_kept(self):
        inner = ValueError("bottom")
        inner.add_note("its own")
        error = build("RAISED", "shop.sell", describe_exception(inner))
        error.add_note("on the way")
        assert describe_exception(error)[2] == ("its own", "on the way")
