from __future__ import annotations

import json
import platform

import click
import pytest
from click.testing import CliRunner

from pyhost import _core, cli
from pyhost.exit_codes import ExitCode


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Commands run in a folder without pyhost.toml."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "args", "kwargs"),
    [
        ([], [], {}),
        (["10", "ten", '"10"', "null", "[1, 2]", ""], [10, "ten", "10", None, [1, 2], ""], {}),
        (["text", "top=3", "name=a=b", "empty="], ["text"], {"top": 3, "name": "a=b", "empty": ""}),
        (['"a=b"', "1=2", "a b=c", "=x"], ["a=b", "1=2", "a b=c", "=x"], {}),
        (["NaN", "x=-Infinity", "1e3"], ["NaN", 1000.0], {"x": "-Infinity"}),
        (["01", "{not json", "x=[1,"], ["01", "{not json"], {"x": "[1,"}),
    ],
)
def test_words_are_json_or_else_text_and_some_have_names(words, args, kwargs):
    assert cli.parse_arguments(words) == (args, kwargs)


def test_an_argument_given_twice_is_refused():
    with pytest.raises(click.UsageError, match=r"^the argument top is given twice$"):
        cli.parse_arguments(["top=1", "top=2"])


def test_without_anything_to_do_it_explains_itself(capsys):
    assert cli.run([]) == ExitCode.OK
    captured = capsys.readouterr()
    assert captured.out.startswith("Usage: pyhost [OPTIONS] ")
    assert captured.err == ""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["-h"], *([name, "--help"] for name in ("ps", "top", "call", "install", "new", "version"))],
)
def test_help_is_no_error(arguments, capsys):
    assert cli.run(arguments) == ExitCode.OK
    assert capsys.readouterr().out.startswith("Usage: pyhost ")


def test_every_option_and_command_says_what_it_does():
    for command in [cli.command, *cli.command.commands.values()]:
        assert command.help
        assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "pyhost: No such command 'nope'.\nTry 'pyhost --help'.\n"),
        (["ps", "--nope"], "pyhost: No such option '--nope'.\nTry 'pyhost ps --help'.\n"),
        (
            ["--listen", "127.0.0.1:0", "--max-body", "1", "ps"],
            (
                "pyhost: --listen, --max-body belongs to the server; put it after the command's name, if it has it\n"
                "Try 'pyhost --help'.\n"
            ),
        ),
        (
            ["call", "wordcount"],
            "pyhost: 'wordcount' is not PLUGIN.FUNCTION, such as wordcount.count\nTry 'pyhost call --help'.\n",
        ),
        *(
            (
                ["top", "--interval", seconds],
                (
                    f"pyhost: Invalid value for '--interval': {seconds}; allowed: 0.1 to 3600 seconds\n"
                    "Try 'pyhost top --help'.\n"
                ),
            )
            for seconds in ("0", "0.09", "-1", "3601", "nan", "inf")
        ),
        (
            ["top", "--sort", "size"],
            (
                "pyhost: Invalid value for '--sort': 'size' is not one of 'cpu', 'memory', 'calls', 'name'.\n"
                "Try 'pyhost top --help'.\n"
            ),
        ),
    ],
)
def test_wrong_usage_is_said_in_two_lines(arguments, message, capsys):
    assert cli.run(arguments) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.err == message
    assert captured.out == ""


def test_a_wrong_option_of_the_server_is_wrong_usage(capsys):
    assert cli.run(["--plugins", ".", "--listen", "nowhere"]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith("pyhost: command line: --listen is 'nowhere'; allowed: a host and a port")


def test_a_wrong_pyhost_toml_is_named(tmp_path, capsys):
    (tmp_path / "pyhost.toml").write_text("[server]\nport = 1\n")
    assert cli.run(["ps"]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith("pyhost: pyhost.toml: server.port is not known; ")


def test_version_says_what_runs(capsys):
    assert cli.run(["version"]) == ExitCode.OK
    expected = {
        "pyhost": _core.version,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    assert capsys.readouterr().out == (
        f"pyhost {expected['pyhost']}, Python {expected['python']}, {expected['platform']}\n"
    )
    assert cli.run(["version", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == expected


def test_new_names_the_files_that_it_makes(tmp_path):
    (tmp_path / "plugins").mkdir()
    result = CliRunner().invoke(cli.command, ["new", "greeter", "--in", "plugins", "--json"], obj=cli.Invocation([]))
    assert result.exit_code == ExitCode.OK
    created = json.loads(result.stdout)["created"]
    assert "plugins/greeter/plugin.toml" in created
    assert all((tmp_path / path).is_file() for path in created)


def test_new_prints_a_path_per_line_and_refuses_what_is_there(tmp_path, capsys):
    assert cli.run(["new", "greeter"]) == ExitCode.OK
    assert "greeter/plugin.toml" in capsys.readouterr().out.splitlines()
    assert cli.run(["new", "greeter"]) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert error.startswith("pyhost: ")
    assert error.count("\n") == 1
