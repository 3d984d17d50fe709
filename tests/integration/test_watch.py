"""A server with --watch: what changes is reloaded, what is written beside the code is not."""

import time

import pytest
from support import PATIENCE
from support.plugins import write_plugin

VERSION = "import pyhost\n@pyhost.export\ndef version(): return {}\n"


def wait_for(function, expected):
    """Ask until the answer is as expected."""
    deadline = time.monotonic() + PATIENCE
    while (answer := function()) != expected:
        assert time.monotonic() < deadline, answer
        time.sleep(0.02)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "plugins"
    write_plugin(folder, "shop", VERSION.format(1))
    return folder


def version_of(client, plugin):
    response = client.post(f"/call/{plugin}/version")
    return response.json().get("result") if response.status_code == 200 else response.status_code


def test_changes_are_loaded_and_what_is_gone_stops(folder, start_server):
    server = start_server(folder, "--watch")
    with server.unix() as client:
        assert version_of(client, "shop") == 1
        write_plugin(folder, "shop", VERSION.format(2))
        wait_for(lambda: version_of(client, "shop"), 2)
        (folder / "single.py").write_text(VERSION.format(3))
        wait_for(lambda: version_of(client, "single"), 3)
        (folder / "single.py").unlink()
        wait_for(lambda: version_of(client, "single"), 404)
        assert version_of(client, "shop") == 2


def test_a_broken_change_leaves_the_old_version_and_a_mended_one_loads(folder, start_server):
    server = start_server(folder, "--watch")
    with server.unix() as client:
        write_plugin(folder, "shop", "def (")
        wait_for(lambda: "SyntaxError" in client.get("/plugins/shop").json()["reason"], True)
        assert version_of(client, "shop") == 1
        write_plugin(folder, "shop", VERSION.format(2))
        wait_for(lambda: version_of(client, "shop"), 2)


def test_what_plugins_write_is_no_change(folder, start_server):
    server = start_server(folder, "--watch")
    with server.unix() as client:
        before = client.get("/plugins/shop").json()["interpreters"][0]["id"]
        (folder / "shop" / "data.db").write_text("rows")
        (folder / "shop" / "__pycache__").mkdir(exist_ok=True)
        (folder / "shop" / "__pycache__" / "x.pyc").write_text("")
        (folder / "later.py").write_text(VERSION.format(3))
        wait_for(lambda: version_of(client, "later"), 3)
        assert client.get("/plugins/shop").json()["interpreters"][0]["id"] == before
    assert "data.db" not in server.log.read_text()
