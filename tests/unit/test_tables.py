import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta

from pyhost.errors import ConfigurationError
from pyhost.tables import Source, as_option, decode, read, read_bytes, require_file


@dataclass(frozen=True)
class Colour:
    hue: Annotated[int, Meta(ge=0, le=359, description="a whole number from 0 to 359")]
    shade: Annotated[float, Meta(description="a number")] = 0.5


@dataclass(frozen=True)
class Paint:
    colour: Colour
    name: Annotated[str, Meta(description="a name")] = "unnamed"


SOURCE = Source("paint.toml", ConfigurationError)


def message_of(document, source=SOURCE):
    with pytest.raises(ConfigurationError) as caught:
        decode(document, Paint, source)
    return str(caught.value)


def test_a_document_becomes_its_struct():
    assert decode({"colour": {"hue": 7, "shade": 1}}, Paint, SOURCE) == Paint(Colour(7, 1.0), "unnamed")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "paint.toml: colour is missing; give a table, [colour]"),
        ({"colour": 3}, "paint.toml: colour is 3; allowed: a table, [colour]"),
        ({"colour": [{"hue": 3}]}, "paint.toml: colour is [{'hue': 3}]; allowed: a table, [colour]"),
        ({"colour": {}}, "paint.toml: colour.hue is missing; give a whole number from 0 to 359"),
        ({"colour": {"hue": 360}}, "paint.toml: colour.hue is 360; allowed: a whole number from 0 to 359"),
        ({"colour": {"hue": True}}, "paint.toml: colour.hue is True; allowed: a whole number from 0 to 359"),
        ({"colour": {"hue": {}}}, "paint.toml: colour.hue is {}; allowed: a whole number from 0 to 359"),
        ({"colour": {"hue": 1}, "name": 1}, "paint.toml: name is 1; allowed: a name"),
    ],
)
def test_what_is_wrong_is_said(document, message):
    assert message_of(document) == message


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"colour": {"hue": 1, "sahde": 1}},
            "paint.toml: colour.sahde is not known; did you mean colour.shade? allowed: colour.hue, colour.shade",
        ),
        ({"Colour": {}}, "paint.toml: Colour is not known; did you mean colour? allowed: colour, name"),
        (
            {"shade": 1},
            "paint.toml: shade is not known; did you mean colour.shade? allowed: colour, name",
        ),
        ({"zzz": 1}, "paint.toml: zzz is not known; allowed: colour, name"),
        ({"a b\n": 1}, "paint.toml: 'a b\\n' is not known; allowed: colour, name"),
    ],
)
def test_an_unknown_key_is_named_with_what_is_near(document, message):
    assert message_of(document) == message


def test_options_are_spelled_as_on_the_command_line():
    @dataclass(frozen=True)
    class Options:
        max_body: Annotated[int, Meta(description="a size")] = 0

    source = Source("command line", ConfigurationError, spell=as_option)
    with pytest.raises(ConfigurationError) as caught:
        decode({"max_body": "x"}, Options, source)
    assert str(caught.value) == "command line: --max-body is 'x'; allowed: a size"
    with pytest.raises(ConfigurationError) as caught:
        decode({"max_bdy": 1}, Options, source)
    assert str(caught.value) == ("command line: --max-bdy is not known; did you mean --max-body? allowed: --max-body")


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        pytest.param(1 << 20000, "a number of 20001 bits", id="long integer"),
        ("x" * 1000, f"'{'x' * 27}...{'x' * 28}'"),
        (list(range(1000)), "[0, 1, 2, ...]"),
        ([[[[[]]]]], "[[[...]]]"),
    ],
)
def test_a_value_is_shown_in_a_few_words(found, shown):
    assert message_of({"colour": {"hue": found}}) == (
        f"paint.toml: colour.hue is {shown}; allowed: a whole number from 0 to 359"
    )


def read_error(data, tmp_path):
    path = tmp_path / "paint.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError) as caught:
        read(path, SOURCE)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a = 1\nb = = 2\n", "paint.toml is not TOML: line 2, column 5: Invalid value"),
        (
            b"a = 1\nb",
            "paint.toml is not TOML: line 2, column 2: Expected '=' after a key in a key/value pair",
        ),
        (b"a = 1\na = 2\n", "paint.toml is not TOML: line 2, column 6: Cannot overwrite a value"),
        (
            b"[" + 900 * b"a" + b"]\n[" + 900 * b"a" + b"]\n",
            f"paint.toml is not TOML: line 2, column 902: Cannot declare ('{'a' * 183}…",
        ),
        (b'a = 1\n\nb = "\xff"\n', "paint.toml is not UTF-8: byte 0xff in line 3; save the file as UTF-8"),
    ],
)
def test_a_file_that_is_not_toml(data, message, tmp_path):
    assert read_error(data, tmp_path) == message


def test_a_document_beyond_the_parser(tmp_path):
    assert read_error(b"a = " + b"1" * 5000, tmp_path).startswith("paint.toml is beyond what can be read as TOML: ")
    assert read_error(b"a = " + b"[" * 50000, tmp_path).startswith("paint.toml is ")


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "paint.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\n")
    assert read(path, SOURCE) == {"a": 1}


def test_the_mode_comes_with_the_bytes(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"\0\xff")
    path.chmod(0o640)
    assert read_bytes(path, SOURCE) == (b"\0\xff", 0o640)


def make_missing(path: Path) -> None:
    assert not path.exists()


def make_loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            make_missing,
            "paint.toml cannot be read (No such file or directory); it must be a file that this user can read",
        ),
        (
            make_loop,
            "paint.toml cannot be read (Too many levels of symbolic links); it must be a file that this user can read",
        ),
        (Path.mkdir, "paint.toml is a folder; allowed: a file"),
        (os.mkfifo, "paint.toml is not a regular file; allowed: a file"),
    ],
)
def test_a_path_that_is_no_readable_file(make, message, tmp_path):
    path = tmp_path / "paint.toml"
    make(path)
    for reader in (require_file, read_bytes, read):
        with pytest.raises(ConfigurationError) as caught:
            reader(path, SOURCE)
        assert str(caught.value) == message


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_a_file_of_another_user(tmp_path):
    path = tmp_path / "paint.toml"
    path.touch(mode=0)
    with pytest.raises(ConfigurationError) as caught:
        read(path, SOURCE)
    assert str(caught.value) == (
        "paint.toml cannot be read (Permission denied); it must be a file that this user can read"
    )
