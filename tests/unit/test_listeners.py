from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pyhost.listeners import INHERITED_VARIABLE, ListenError, listen, listen_tcp, listen_unix, url


def test_port_0_takes_a_free_port_that_accepts():
    with listen_tcp("127.0.0.1", 0) as listener:
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", url(listener))
        socket.create_connection(listener.getsockname()).close()


def test_an_ipv6_url_has_brackets():
    try:
        listener = listen_tcp("::1", 0)
    except ListenError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert url(listener).startswith("http://[::1]:")


def test_a_taken_port_is_named():
    with listen_tcp("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ListenError) as caught:
            listen_tcp("127.0.0.1", port)
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port}: another program listens there; give another address with --listen, "
        "or port 0 for a free one"
    )


def test_an_unknown_host_is_named():
    with pytest.raises(ListenError) as caught:
        listen_tcp("no..host", 80)
    assert str(caught.value).startswith("cannot listen on no..host:80: the host is unknown (")


def test_an_address_of_another_machine_cannot_be_had():
    with pytest.raises(ListenError, match=r"^cannot listen on 192\.0\.2\.1:0: Cannot assign requested address; give"):
        listen_tcp("192.0.2.1", 0)


def test_the_socket_and_the_folder_made_for_it_are_the_owners_alone(tmp_path):
    path = tmp_path / "run" / "pyhost.sock"
    with listen_unix(path) as (listener, _), socket.socket(socket.AF_UNIX) as client:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        client.connect(os.fspath(path))
        listener.accept()[0].close()
    assert not path.exists()


def test_a_folder_that_is_there_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o750)
    with listen_unix(tmp_path / "pyhost.sock"):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_a_second_server_is_told_who_has_the_socket(tmp_path):
    path = tmp_path / "pyhost.sock"
    with listen_unix(path):
        with pytest.raises(ListenError) as caught, listen_unix(path):
            pass
        assert path.exists()
    assert str(caught.value) == (
        f"the socket {path} is taken by another pyhost server (process {os.getpid()}); stop that one, or give this one "
        "a path of its own with --socket"
    )


def test_the_path_is_free_again_afterwards(tmp_path):
    path = tmp_path / "pyhost.sock"
    for _ in range(2):
        with listen_unix(path):
            assert path.is_socket()


def test_the_socket_of_a_dead_server_is_replaced(tmp_path):
    path = tmp_path / "pyhost.sock"
    die = "import os, sys; from pathlib import Path; from pyhost.listeners import listen_unix\n"
    die += "with listen_unix(Path(sys.argv[1])): os._exit(9)"
    assert subprocess.run([sys.executable, "-P", "-c", die, path], check=False).returncode == 9
    assert path.is_socket()
    with listen_unix(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(os.fspath(path))


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "pyhost.sock"
    path.write_text("precious")
    with pytest.raises(ListenError) as caught, listen_unix(path):
        pass
    assert str(caught.value) == f"{path} is there and is no socket; remove it, or give another path with --socket"
    assert path.read_text() == "precious"


def test_a_socket_that_another_program_put_there_is_not_removed(tmp_path):
    path = tmp_path / "pyhost.sock"
    with socket.socket(socket.AF_UNIX) as other:
        with listen_unix(path):
            path.unlink()
            other.bind(os.fspath(path))
        assert path.is_socket()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "run" / "pyhost.sock"
    with pytest.raises(ListenError) as caught, listen_unix(path):
        pass
    assert str(caught.value) == (f"cannot make the socket {path}: Not a directory; give another path with --socket")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_refused(tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, 12345, -1)
    with pytest.raises(ListenError) as caught, listen_unix(Path(folder, "pyhost.sock")):
        pass
    assert str(caught.value) == (
        f"the socket's folder {folder} belongs to another user (number 12345), who could take the socket's place; "
        "give another path with --socket"
    )


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "pyhost.sock.lock").symlink_to(target)
    with pytest.raises(ListenError, match="Too many levels of symbolic links"), listen_unix(tmp_path / "pyhost.sock"):
        pass
    assert target.read_text() == "precious"


def test_sockets_are_handed_on_with_their_lock(tmp_path, monkeypatch):
    path = tmp_path / "pyhost.sock"
    with listen("127.0.0.1", 0, path) as first:
        settings = first.hand_on()
        assert [os.get_inheritable(fd) for fd in (first.tcp.fileno(), first.unix.fileno(), first.lock)] == [True] * 3
        copies = [os.dup(int(number)) for number in settings[INHERITED_VARIABLE].split(",")]
        monkeypatch.setenv(INHERITED_VARIABLE, ",".join(map(str, copies)))
        address = first.tcp.getsockname()
    # As after an exec: the first server's own descriptors and its socket's file are gone with the context above.
    with socket.socket(socket.AF_UNIX) as made_anew:
        made_anew.bind(os.fspath(path))
        with listen("127.0.0.1", 1, path) as second:
            assert INHERITED_VARIABLE not in os.environ
            assert not os.get_inheritable(second.lock)
            with socket.create_connection(address):
                second.tcp.accept()[0].close()
            with pytest.raises(ListenError, match="is taken by another pyhost server"), listen_unix(path):
                pass
    assert not path.exists()
