"""The plugins in plugins/, each in interpreters of its own, as a host runs them."""

from __future__ import annotations

import shutil
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pyhost
from pyhost.errors import CallCancelledError, FunctionNotFoundError, PluginError, PluginUnavailableError
from pyhost.lifecycle import SERVING

PLUGINS = Path(__file__).parents[2] / "plugins"
GETTYSBURG = Path(__file__).parents[1] / "plugins" / "data" / "gettysburg.txt"
PATIENCE = 30.0
"""Seconds after which a wait is given up for lost; nothing here depends on how long anything takes."""

FUNCTIONS = {
    "clock": {"in_flight", "now", "sleep", "ticks"},
    "mandelbrot": {"assemble", "render", "row"},
    "notes": {"add", "delete", "get", "list", "search", "update"},
    "pipeline": {"poster", "race", "report"},
    "wordcount": {"count", "readability", "statistics", "words"},
}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYHOST_NOTES_DB", str(tmp_path_factory.mktemp("notes") / "notes.db"))
        with pyhost.Host(PLUGINS) as started:
            yield started


@pytest.fixture(scope="module")
def gettysburg():
    return GETTYSBURG.read_text(encoding="utf-8")


def png_size(png):
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def test_every_plugin_runs_and_exports_what_it_should(host):
    plugins = {plugin.name: plugin for plugin in host.plugins()}
    assert {name: (plugin.state, plugin.reason) for name, plugin in plugins.items()} == dict.fromkeys(
        FUNCTIONS, ("running", "")
    )
    assert {
        name: {function.description.name for function in plugin.functions} for name, plugin in plugins.items()
    } == FUNCTIONS
    assert {name: len(plugin.interpreters) for name, plugin in plugins.items()} == {
        "clock": 1,
        "mandelbrot": 2,
        "notes": 1,
        "pipeline": 1,
        "wordcount": 1,
    }


def test_every_function_is_documented_and_every_parameter_has_a_schema(host):
    for plugin in host.plugins():
        assert plugin.doc
        assert plugin.version == "1.0.0"
        for function in plugin.functions:
            description = function.description
            assert description.doc, description.name
            assert description.returns, description.name
            assert all(parameter.schema for parameter in description.parameters), description.signature


def test_direct_and_asynchronous_functions_are_told_as_such(host):
    described = {
        f"{plugin.name}.{function.description.name}": function.description
        for plugin in host.plugins()
        for function in plugin.functions
    }
    assert {name for name, description in described.items() if description.direct} == {"wordcount.words"}
    assert {name for name, description in described.items() if description.is_async} == {
        "clock.in_flight",
        "clock.now",
        "clock.sleep",
        "clock.ticks",
        "pipeline.race",
    }
    assert described["wordcount.count"].signature == "(text: str, top: int = 10) -> dict[str, int]"


def test_an_unknown_function_of_a_plugin_is_not_found(host):
    with pytest.raises(FunctionNotFoundError):
        host.call("wordcount.summarize", "text")


class TestWordcount:
    def test_counts_a_known_text(self, host, gettysburg):
        assert list(host.call("wordcount.count", gettysburg, top=3).items()) == [("that", 13), ("the", 11), ("we", 10)]
        assert host.plugin("wordcount").statistics(gettysburg)["distinct_words"] == 138
        assert host.call("wordcount.readability", text=gettysburg)["words_per_sentence"] == 27.2

    def test_direct_calls_from_many_threads(self, host, gettysburg):
        with ThreadPoolExecutor(8) as pool:
            counted = pool.map(lambda _: host.call("wordcount.words", gettysburg), range(200))
            assert set(counted) == {272}

    def test_what_it_raises_reaches_the_caller(self, host):
        with pytest.raises(
            PluginError, match=r"wordcount\.count raised ValueError: top is 0; allowed: 1 or more"
        ) as caught:
            host.call("wordcount.count", "text", top=0)
        assert caught.value.type_name == "ValueError"
        assert caught.value.message == "top is 0; allowed: 1 or more"
        assert "wordcount.py" in caught.value.traceback_text


class TestNotes:
    def test_a_note_from_its_making_to_its_end(self, host):
        notes = host.plugin("notes")
        note_id = notes.add("Round trip", "xylophone lessons", tags=["music"])
        assert notes.get(note_id)["tags"] == ["music"]
        assert notes.update(note_id, body="zither lessons")["title"] == "Round trip"
        assert notes.search("xylophone") == []
        assert [note["id"] for note in notes.search("zither")] == [note_id]
        assert [note["id"] for note in notes.list(tag="music")] == [note_id]
        assert notes.delete(note_id) is None
        with pytest.raises(PluginError, match=f"there is no note {note_id}") as caught:
            notes.get(note_id)
        assert caught.value.type_name == "LookupError"

    def test_callers_on_many_threads_share_the_one_connection(self, host):
        # SQLite's connection refuses every thread but its own, so these calls must all run on the owner thread.
        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(lambda number: host.call("notes.add", f"Thread {number}", "", ["many"]), range(100)))
        assert len(set(ids)) == 100
        assert {note["id"] for note in host.call("notes.list", 1000, tag="many")} == set(ids)

    def test_notes_outlive_the_host_and_the_plugin_is_unchanged_by_its_own_file(self, tmp_path, monkeypatch):
        monkeypatch.delenv("PYHOST_NOTES_DB", raising=False)
        shutil.copytree(
            PLUGINS / "notes", tmp_path / "notes", ignore=shutil.ignore_patterns("notes.db*", "__pycache__")
        )
        with pyhost.Host(tmp_path) as first:
            note_id = first.call("notes.add", "Kept", "for ever")
            assert (tmp_path / "notes" / "notes.db").exists()
            assert first.rescan().unchanged == ("notes",)
        with pyhost.Host(tmp_path) as second:
            assert second.call("notes.get", note_id)["title"] == "Kept"

    def test_a_file_that_cannot_be_opened_fails_this_plugin_alone(self, tmp_path, monkeypatch):
        database = tmp_path / "missing" / "notes.db"
        monkeypatch.setenv("PYHOST_NOTES_DB", str(database))
        with pyhost.Host(PLUGINS) as host:
            failed = host.status("notes")
            assert failed.state not in SERVING
            assert f"cannot open the notes in {database}" in failed.reason
            assert "PYHOST_NOTES_DB can name another file" in failed.reason
            assert "notes.py" in failed.traceback_text
            assert {plugin.name for plugin in host.plugins() if plugin.state == "running"} == set(FUNCTIONS) - {"notes"}
            with pytest.raises(PluginUnavailableError, match="notes"):
                host.call("notes.add", "Title", "body")
            with pytest.raises(PluginError) as caught:
                host.call("pipeline.report", "A text.")
            assert caught.value.type_name.endswith("PluginUnavailableError")
            assert "keeping the summary" in caught.value.traceback_text

            database.parent.mkdir()
            assert host.rescan().failed == ()
            assert host.call("pipeline.report", "A text.")["note"] == host.call("notes.list")[0]["id"]


class TestMandelbrot:
    def test_rows_from_both_interpreters_make_the_picture_that_one_call_makes(self, host):
        rows = list(host.map("mandelbrot.row", range(240)))
        png = host.call("mandelbrot.assemble", rows, 320)
        assert png == host.call("mandelbrot.render")
        assert png_size(png) == (320, 240)
        assert all(interpreter.served > 0 for interpreter in host.status("mandelbrot").interpreters)

    def test_arguments_out_of_range_are_refused(self, host):
        with pytest.raises(PluginError, match="width is 0; allowed: 1 to 4096"):
            host.call("mandelbrot.render", width=0)


class TestClock:
    def test_tells_the_time_in_a_zone(self, host):
        assert host.call("clock.now").endswith("+00:00")
        assert host.call("clock.now", "Asia/Tokyo").endswith("+09:00")
        with pytest.raises(PluginError, match="there is no time zone 'Middle/Earth'"):
            host.call("clock.now", "Middle/Earth")

    def test_many_calls_are_under_way_at_once_on_its_one_thread_and_end_with_their_host(self, tmp_path):
        shutil.copytree(PLUGINS / "clock", tmp_path / "clock")
        with pyhost.Host(tmp_path) as host:
            sleepers = [host.submit("clock.sleep", 60) for _ in range(200)]
            give_up = time.monotonic() + PATIENCE
            while host.call("clock.in_flight") < len(sleepers):
                assert time.monotonic() < give_up
            assert len(host.call("clock.ticks", 3, 0.001)) == 3
            host.close(grace=0.1)
            assert {type(sleeper.exception(PATIENCE)) for sleeper in sleepers} == {CallCancelledError}


class TestPipeline:
    def test_report_describes_a_text_and_keeps_the_summary(self, host, gettysburg):
        report = host.call("pipeline.report", gettysburg)
        assert report["statistics"] == host.call("wordcount.statistics", gettysburg)
        assert report["frequent"] == host.call("wordcount.count", gettysburg)
        note = host.call("notes.get", report["note"])
        assert note["title"] == "Four score and seven years ago our fathers brought forth on…"
        assert note["body"].startswith("272 words in 10 sentences, 1.1 minutes to read\nthat 13, the 11, we 10")
        assert note["tags"] == ["report"]

    def test_race_answers_in_the_order_of_the_texts(self, host):
        texts = [f"{'word ' * number}" for number in range(1, 51)]
        assert [figures["words"] for figures in host.call("pipeline.race", texts)] == list(range(1, 51))
        assert host.call("pipeline.race", []) == []

    def test_poster_is_a_picture_from_mandelbrot(self, host):
        assert png_size(host.call("pipeline.poster", 32, 24)) == (32, 24)

    def test_an_error_in_another_plugin_comes_through_with_what_was_being_done(self, host):
        with pytest.raises(PluginError) as caught:
            host.call("pipeline.poster", 0, 24)
        error = caught.value
        assert error.function == "pipeline.poster"
        assert error.type_name.endswith("PluginError")
        assert "mandelbrot.render raised ValueError: width is 0; allowed: 1 to 4096" in error.message
        assert "while pipeline.poster drew 0 by 24 pixels" in error.notes
        assert "mandelbrot.py" in error.traceback_text

    def test_the_failing_text_of_a_race_is_named(self, host):
        with pytest.raises(PluginError) as caught:
            host.call("pipeline.race", ["fine", None])
        assert "while pipeline.race described text 2 of 2" in caught.value.notes
