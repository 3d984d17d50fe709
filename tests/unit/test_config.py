import dataclasses
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyhost import config
from pyhost.config import Options, load_options
from pyhost.errors import ConfigurationError

PORTS = 'a host and a port from 0 to 65535, such as "127.0.0.1:8470", "[::1]:0" or "localhost:8470"'
GRACE = 'a duration from 0 to 24h, such as "500ms", "10s", "1m" or a number of seconds'
SIZE = 'a size from 1 byte to 4GiB, such as "64KiB", "16MiB" or a number of bytes'
WARM = "a whole number from 0 to 256"
PRELOAD = 'names of modules of the standard library, such as ["asyncio", "json"] or "asyncio,json"'
LEVEL = '"debug", "info", "warning" or "error"'
TOKEN = "0123456789abcdef"


@pytest.fixture(autouse=True)
def current_folder(tmp_path, monkeypatch):
    """A current folder of the test's own, and no runtime folder, so that defaults are known."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return tmp_path


def write_config(text, name="pyhost.toml"):
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def error_of(function, *arguments: object):
    with pytest.raises(ConfigurationError) as caught:
        function(*arguments)
    return str(caught.value)


def test_the_defaults(current_folder):
    assert load_options(None, {}) == Options(
        plugins=current_folder / "plugins",
        state=None,
        listen=("127.0.0.1", 8470),
        socket=Path(f"/tmp/pyhost-{os.getuid()}/pyhost.sock"),
        token_file=None,
        grace=10.0,
        max_body=16 * 1024 * 1024,
        warm=1,
        preload=(),
        max_lost=4,
        watch=False,
        log_level="info",
        log_format="text",
    )


def test_an_empty_file_changes_nothing():
    assert load_options(write_config(""), {}) == load_options(None, {})


def test_every_key_of_the_file(current_folder):
    path = write_config(
        """
        [server]
        plugins = "../mine"
        state = "state"
        listen = "[::1]:0"
        socket = "run/x.sock"
        token_file = "/etc/pyhost/token"
        grace = "1m"
        max_body = "64KiB"
        warm = 3
        preload = ["asyncio", "json.decoder"]
        max_lost = 0
        watch = true
        log_level = "debug"
        log_format = "json"
        """,
        "etc/pyhost.toml",
    )
    assert load_options(path, {}) == Options(
        plugins=current_folder / "etc" / ".." / "mine",
        state=current_folder / "etc" / "state",
        listen=("::1", 0),
        socket=current_folder / "etc" / "run" / "x.sock",
        token_file=Path("/etc/pyhost/token"),
        grace=60.0,
        max_body=65536,
        warm=3,
        preload=("asyncio", "json.decoder"),
        max_lost=0,
        watch=True,
        log_level="debug",
        log_format="json",
    )


def test_the_example_in_the_reference(current_folder):
    reference = Path(__file__).parents[2] / "docs" / "configuration.md"
    example = reference.read_text().split("```toml\n")[1].split("```")[0]
    assert load_options(write_config(example), {}) == dataclasses.replace(
        load_options(None, {}),
        state=current_folder / "state",
        socket=Path("/run/user/1000/pyhost/pyhost.sock"),
        token_file=current_folder / "secrets" / "token",
    )


def test_the_command_line_wins_over_the_file(current_folder):
    path = write_config('[server]\nplugins = "of-the-file"\ngrace = 1\nlog_level = "error"\n', "etc/pyhost.toml")
    options = load_options(path, {"plugins": "mine", "grace": "250ms", "log_level": None, "max_body": "1024"})
    assert options == dataclasses.replace(
        load_options(None, {}), plugins=current_folder / "mine", grace=0.25, log_level="error", max_body=1024
    )


def test_numbers_and_names_of_the_command_line():
    options = load_options(None, {"warm": "0", "preload": "asyncio,json.decoder"})
    assert (options.warm, options.preload) == (0, ("asyncio", "json.decoder"))


def test_overrides_can_be_values(current_folder):
    options = load_options(None, {"plugins": Path("mine"), "grace": 0, "max_body": 1, "listen": "localhost:1"})
    assert options == dataclasses.replace(
        load_options(None, {}), plugins=current_folder / "mine", grace=0.0, max_body=1, listen=("localhost", 1)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server = 1", "server is 1; allowed: a table, [server]"),
        ('listen = ":1"', "listen is not known; did you mean server.listen? allowed: server"),
        (
            '[server]\ntoken-file = "x"',
            (
                "server.token-file is not known; did you mean server.token_file? allowed: server.plugins, "
                "server.state, server.listen, server.socket, server.token_file, server.grace, server.max_body, "
                "server.warm, server.preload, server.max_lost, server.watch, server.log_level, "
                "server.log_format"
            ),
        ),
        ("[server]\nplugins = 1", "server.plugins is 1; allowed: a path"),
        ('[server]\nplugins = ""', "server.plugins is ''; allowed: a path"),
        ('[server]\nsocket = "a\\u0000b"', "server.socket is 'a\\x00b'; allowed: a path"),
        ("[server]\nlisten = 8470", f"server.listen is 8470; allowed: {PORTS}"),
        ('[server]\nlisten = ["127.0.0.1", 8470]', f"server.listen is ['127.0.0.1', 8470]; allowed: {PORTS}"),
        ("[server]\ngrace = -1", f"server.grace is -1; allowed: {GRACE}"),
        ('[server]\ngrace = "25h"', f"server.grace is '25h'; allowed: {GRACE}"),
        ('[server]\ngrace = "soon"', f"server.grace is 'soon'; allowed: {GRACE}"),
        ("[server]\nmax_body = 0", f"server.max_body is 0; allowed: {SIZE}"),
        ("[server]\nmax_body = 1.5", f"server.max_body is 1.5; allowed: {SIZE}"),
        ('[server]\nmax_body = "5GiB"', f"server.max_body is '5GiB'; allowed: {SIZE}"),
        ('[server]\nmax_body = "16MB"', f"server.max_body is '16MB'; allowed: {SIZE}"),
        ("[server]\nwarm = -1", f"server.warm is -1; allowed: {WARM}"),
        ("[server]\nwarm = 1.5", f"server.warm is 1.5; allowed: {WARM}"),
        ("[server]\npreload = 1", f"server.preload is 1; allowed: {PRELOAD}"),
        ('[server]\npreload = ["json", 1]', f"server.preload is ['json', 1]; allowed: {PRELOAD}"),
        ("[server]\nmax_lost = 1001", "server.max_lost is 1001; allowed: a whole number from 0 to 1000"),
        ('[server]\nwatch = "yes"', "server.watch is 'yes'; allowed: true or false"),
        ('[server]\npreload = ["requests"]', f"server.preload is ['requests']; allowed: {PRELOAD}"),
        ('[server]\nlog_level = "INFO"', f"server.log_level is 'INFO'; allowed: {LEVEL}"),
    ],
)
def test_what_is_wrong_in_the_file_is_said(text, message):
    assert error_of(load_options, write_config(text), {}) == f"pyhost.toml: {message}"


def test_a_file_that_is_not_there():
    assert error_of(load_options, Path("pyhost.toml"), {}) == (
        "pyhost.toml cannot be read (No such file or directory); it must be a file that this user can read"
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"plugins": ""}, "--plugins is ''; allowed: a path"),
        ({"listen": "everywhere"}, f"--listen is 'everywhere'; allowed: {PORTS}"),
        ({"token_file": 1}, "--token-file is 1; allowed: a path"),
        ({"grace": "1d"}, f"--grace is '1d'; allowed: {GRACE}"),
        ({"max_body": "16 bananas"}, f"--max-body is '16 bananas'; allowed: {SIZE}"),
        ({"warm": "many"}, f"--warm is 'many'; allowed: {WARM}"),
        ({"preload": "json,"}, f"--preload is 'json,'; allowed: {PRELOAD}"),
        ({"log_level": "loud"}, f"--log-level is 'loud'; allowed: {LEVEL}"),
        ({"log_format": "xml"}, '--log-format is \'xml\'; allowed: "text" or "json"'),
        (
            {"log": "info"},
            (
                "--log is not known; allowed: --plugins, --state, --listen, --socket, --token-file, --grace, "
                "--max-body, --warm, --preload, --max-lost, --watch, --log-level, --log-format"
            ),
        ),
    ],
)
def test_what_is_wrong_on_the_command_line_is_said(overrides, message):
    assert error_of(load_options, None, overrides) == f"command line: {message}"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8470", ("127.0.0.1", 8470)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:0", ("::1", 0)),
        ("[0:0::1]:65535", ("::1", 65535)),
        ("localhost:80", ("localhost", 80)),
        ("plugins-1.example.org:80", ("plugins-1.example.org", 80)),
    ],
)
def test_listen_addresses(text, address):
    assert config.parse_listen(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "", ":80", "localhost", "localhost:", "localhost:x", "localhost:65536", "localhost:-1", "localhost:٣",
        "::1:80", "[::1]", "[::g]:80", "[localhost]:80", "[]:80", "127.0.0.256:80", "1.2.3:80", "8470:8470",
        "a b:80", "-a:80", "http://localhost:80", "localhost:80/", "localhost:80\n",
    ],
)  # fmt: skip
def test_listen_addresses_that_are_none(text):
    assert error_of(load_options, None, {"listen": text}) == f"command line: --listen is {text!r}; allowed: {PORTS}"


@settings(deadline=None)
@given(st.ip_addresses(), st.integers(0, 65535))
def test_every_ip_address_comes_back(address, port):
    host = f"[{address}]" if address.version == 6 else str(address)
    assert config.parse_listen(f"{host}:{port}") == (str(address), port)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
)
names = st.sampled_from([field.name for field in dataclasses.fields(Options)])


@settings(deadline=None)
@given(st.dictionaries(names | st.text(max_size=5), junk, max_size=3))
def test_any_overrides_are_options_or_a_configuration_error(overrides):
    try:
        options = load_options(None, overrides)
    except ConfigurationError as error:
        message = str(error)
        assert message.startswith("command line: --")
        assert "\n" not in message
    else:
        assert options.plugins.is_absolute()
        assert 0 <= options.grace <= 24 * 3600
        assert 1 <= options.max_body <= 1 << 32


@pytest.mark.parametrize(
    ("runtime", "path"),
    [
        ("/run/user/1000", "/run/user/1000/pyhost/pyhost.sock"),
        ("relative", f"/tmp/pyhost-{os.getuid()}/pyhost.sock"),
        ("", f"/tmp/pyhost-{os.getuid()}/pyhost.sock"),
    ],
)
def test_where_the_socket_is(runtime, path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    assert config.default_socket_path() == Path(path)
    assert load_options(None, {}).socket == Path(path)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "Localhost"])
def test_this_machine_needs_no_token(host):
    Options(Path("plugins"), listen=(host, 8470)).check()


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "0.0.0.0:8470"),
        ("192.0.2.1", "192.0.2.1:8470"),
        ("::", "[::]:8470"),
        ("example.org", "example.org:8470"),
    ],
)
def test_other_machines_need_a_token(host, address):
    options = Options(Path("plugins"), listen=(host, 8470))
    assert error_of(options.check) == (
        f"listen is {address}, which other machines may reach, and anyone who reaches it could call every plugin; "
        "give --token-file (token_file in pyhost.toml), whose token callers then have to show, or listen on 127.0.0.1"
    )
    dataclasses.replace(options, token_file=Path("token")).check()


def test_the_socket_path_has_linuxs_limit():
    longest = Path("/" + "a" * 106)
    Options(Path("plugins"), socket=longest).check()
    too_long = Path("/" + "ä" * 53 + "a")
    assert error_of(Options(Path("plugins"), socket=too_long).check) == (
        f"the path of socket {too_long} has 108 bytes; allowed: at most 107, which is Linux's limit"
    )


def write_token(data, mode=0o600, name="token"):
    path = Path(name)
    path.write_bytes(data)
    path.chmod(mode)
    return Options(Path("plugins"), token_file=path)


def test_no_token_file_no_token():
    assert Options(Path("plugins")).read_token() is None


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_the_token_is_stripped(mode):
    assert write_token(f" {TOKEN}\r\n".encode(), mode).read_token() == TOKEN


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_token_that_others_can_get_at(mode):
    assert error_of(write_token(TOKEN.encode(), mode, name="my token").read_token) == (
        f"token file my token is open to other users (its mode is {mode:04o}); run: chmod 600 'my token'"
    )


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "0 bytes"),
        (TOKEN[1:].encode() + b"\n", "15 bytes"),
        (b"a" * 4097, "4097 bytes"),
        (b"0123456789 abcdef", "17 bytes"),
        (b"0123456789\nabcdef", "17 bytes"),
        ("0123456789abcdeä".encode(), "bytes that are not ASCII"),
    ],
)
def test_what_is_no_token(data, found):
    message = error_of(write_token(data).read_token)
    assert message == (
        f"token file token holds no token ({found}); allowed: 16 to 4096 letters, digits and signs without a space; "
        "write one with: openssl rand -hex 32 > token"
    )


def test_a_token_file_that_is_not_there():
    assert error_of(Options(Path("plugins"), token_file=Path("token")).read_token) == (
        "token file token cannot be read (No such file or directory); it must be a file that this user can read"
    )


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"PYHOST_STATE": "/var/lib/pyhost", "XDG_STATE_HOME": "/xdg"}, "/var/lib/pyhost"),
        ({"PYHOST_STATE": "here"}, "CURRENT/here"),
        ({"PYHOST_STATE": "", "XDG_STATE_HOME": "/xdg"}, "/xdg/pyhost"),
        ({"XDG_STATE_HOME": "relative"}, "/home/ada/.local/state/pyhost"),
        ({}, "/home/ada/.local/state/pyhost"),
    ],
)
def test_the_default_state_folder(current_folder, monkeypatch, variables, folder):
    for name, value in {"HOME": "/home/ada", "PYHOST_STATE": "", "XDG_STATE_HOME": "", **variables}.items():
        monkeypatch.setenv(name, value)
    assert config.default_state_folder() == Path(folder.replace("CURRENT", str(current_folder)))


def test_a_user_without_a_home_is_told_what_to_give(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("PYHOST_STATE", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert error_of(config.default_state_folder) == (
        "there is no place for pyhost's state, as this user has no home folder; give --state DIR, or PYHOST_STATE in "
        "the environment"
    )
