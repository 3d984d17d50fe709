from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyhost import dependencies
from pyhost.errors import ManifestError


@pytest.mark.parametrize(
    "text",
    [
        "six",
        "packaging==24.1",
        "packaging >= 23, < 25",
        "requests[socks]~=2.0; python_version < '4'",
        "lib @ ../lib",
        "lib @ file:///srv/lib-1.0-py3-none-any.whl",
        "-e ../lib",
        "-e ../lib[extra]",
    ],
)
def test_what_is_a_requirement(text):
    assert dependencies.is_requirement(text)


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "packaging=24.1", "packaging 24.1", "../lib", "-e", "-e ", "-e -r", "--index-url x", "-r more.txt",
        "six\n--index-url x", "six # the newest", "git+https://example.org/lib", 1, None, ["six"],
    ],
)  # fmt: skip
def test_what_is_none(value):
    assert not dependencies.is_requirement(value)


@settings(deadline=None)
@given(st.text() | st.text("abc[](){}@;,<>=!~'\" .-\\&|#", max_size=40))
@example("x[" * 5000)
@example("x; " + "(" * 5000 + "a")
def test_any_text_is_one_or_not(text):
    assert dependencies.is_requirement(text) in {True, False}


@pytest.fixture
def of_script(tmp_path, monkeypatch):
    """A function that reads the dependencies of a file with this code."""
    monkeypatch.chdir(tmp_path)

    def of(code):
        path = tmp_path / "greeter.py"
        path.write_bytes(code if isinstance(code, bytes) else code.encode())
        return dependencies.of_script(path.relative_to(tmp_path))

    return of


HEAD = "# /// script\n"
TAIL = "# ///\nimport pyhost\n"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import pyhost\n", ()),
        (HEAD + '# dependencies = ["six", "attrs>=24"]\n' + TAIL, ("six", "attrs>=24")),
        (
            '#!/usr/bin/env python\n"""A plugin."""\n' + HEAD + '#\n# dependencies = [\n#   "six",\n# ]\n' + TAIL,
            ("six",),
        ),
        (HEAD + '# requires-python = ">=3.13"\n# dependencies = ["six"]\n#\n# [tool.uv]\n# x = 1\n' + TAIL, ("six",)),
        (HEAD + "# requires-python = '>=3.13'\n" + TAIL, ()),
        (HEAD.replace("\n", "\r\n") + '# dependencies = ["six"]\r\n# ///\r\n', ("six",)),
        # The standard: a comment without an end is no such comment, and the last end ends it.
        (HEAD + '# dependencies = ["six"]\n', ()),
        (HEAD + '# dependencies = ["six"]\n\n' + TAIL, ()),
        (HEAD + '# dependencies = """\n# ///\n# """\n# ///\n', None),
        (HEAD.encode() + b"# ///\nname = '\xe9'  # Latin-1\n", ()),
    ],
)
def test_the_dependencies_of_a_script(of_script, code, found):
    if found is None:
        with pytest.raises(ManifestError, match=r"dependencies is '///\\n'; allowed: a list of requirements"):
            of_script(code)
    else:
        assert of_script(code) == found


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("dependencies = ['six=1']", "dependencies has 'six=1'; allowed: a list of requirements, such as "),
        ("dependancies = ['six']", "dependancies is not known; did you mean dependencies? allowed: dependencies"),
    ],
)
def test_what_is_wrong_in_a_script_is_said(of_script, comment, message):
    with pytest.raises(ManifestError) as caught:
        of_script(f"{HEAD}# {comment}\n{TAIL}")
    assert str(caught.value).startswith(f"the script comment of greeter.py: {message}")


def test_a_comment_that_is_not_toml_is_said_with_its_line(of_script):
    with pytest.raises(ManifestError, match=r"^the script comment of greeter\.py is not TOML: line 2, column 1"):
        of_script(f"{HEAD}# dependencies = []\n# ]\n{TAIL}")
