"""What a program in C is told when an order fails, and how JSON is read and written for it."""

import pytest

from pyhost import embed
from pyhost.errors import ConfigurationError, ManifestError, PluginLoadError, PluginNotFoundError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PluginNotFoundError("absent", "there is no plugin 'absent'"), ("NO_PLUGIN", "absent")),
        (PluginLoadError("shop", "no wares"), ("NOT_LOADED", "shop")),
        (ManifestError("shop/plugin.toml: wrong"), ("NOT_LOADED", "")),
        (ConfigurationError("wrong"), ("NOT_LOADED", "")),
        (embed.JSONError("MALFORMED", "the text is not JSON"), ("MALFORMED", "")),
        (ZeroDivisionError("division by zero"), ("RAISED", "")),
    ],
)
def test_errors_have_their_status(error, expected):
    status, plugin, text = embed.kind_of(error)
    assert (status, plugin) == expected
    assert str(error) in text


def test_json_arguments_are_an_array_or_an_object():
    assert embed.parse('[1, {"a": null}]') == ([1, {"a": None}], {})
    assert embed.parse('{"a": 1.5}') == ([], {"a": 1.5})
    assert embed.parse("") == ([], {})


@pytest.mark.parametrize("text", ["{", "5", '"a"', "nul"])
def test_other_json_is_refused(text):
    with pytest.raises(embed.JSONError, match="^the text is ") as caught:
        embed.parse(text)
    assert caught.value.status == "MALFORMED"


def test_results_are_json_by_the_rules_of_http():
    assert embed.format_json({"a": [None, b"\0", (1, 2)]}) == '{"a":[null,"AA==",[1,2]]}'
    assert embed.format_json("grün") == '"grün"'


@pytest.mark.parametrize("value", [complex(1, 2), float("nan")])
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(embed.JSONError) as caught:
        embed.format_json(value)
    assert caught.value.status == "BAD_RESULT"
