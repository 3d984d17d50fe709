import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

# A name that opens the database as it is where SQLite has FTS5, and as it is where it has not.
BOTH = pytest.mark.parametrize("notes", [True, False], indirect=True, ids=["full text", "like"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "notes.db"


@pytest.fixture
def notes(load_plugin, path, request):
    module = load_plugin("notes")
    module.open_notes(path, full_text=getattr(request, "param", None))
    yield module
    module.stop()


def titles(found):
    return [note["title"] for note in found]


def date(notes, note_id, updated):
    """Give a note the time of its last change, so that an order by time is certain."""
    notes._connection.execute("UPDATE note SET updated = ? WHERE id = ?", (updated, note_id))


@BOTH
def test_a_note_comes_back_as_it_was_kept(notes):
    note_id = notes.add("Shopping", "milk\nand eggs, 2 €", ["home", "to do"])
    note = notes.get(note_id)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", note["created"])
    assert note == {
        "id": note_id,
        "title": "Shopping",
        "body": "milk\nand eggs, 2 €",
        "tags": ["home", "to do"],
        "created": note["created"],
        "updated": note["created"],
    }


def test_tags_are_trimmed_and_kept_once(notes):
    assert notes.get(notes.add("a", ""))["tags"] == []
    assert notes.get(notes.add("b", "", [" x ", "y", "x"]))["tags"] == ["x", "y"]


@BOTH
def test_update_changes_what_is_given(notes):
    note_id = notes.add("Title", "body", ["tag"])
    date(notes, note_id, "2000-01-01T00:00:00.000Z")
    before = notes.get(note_id)
    after = notes.update(note_id, body="new")
    assert after["updated"] > before["updated"]
    assert after == before | {"body": "new", "updated": after["updated"]}
    assert notes.update(note_id, title="New", tags=[])["tags"] == []
    assert notes.get(note_id)["title"] == "New"


@BOTH
def test_a_deleted_note_is_gone_and_its_id_is_not_given_again(notes):
    note_id = notes.add("Title", "body")
    notes.delete(note_id)
    assert notes.search("Title") == []
    with pytest.raises(LookupError):
        notes.get(note_id)
    assert notes.add("Another", "") > note_id


@pytest.mark.parametrize("note_id", [7, 0, -1, 1 << 63])
def test_an_unknown_id_is_a_lookup_error(notes, note_id):
    message = rf"^there is no note {note_id}; notes.list and notes.search tell the ids of those there are$"
    for call in (notes.get, notes.delete, lambda unknown: notes.update(unknown, body="x")):
        with pytest.raises(LookupError, match=message):
            call(note_id)


@BOTH
def test_search_finds_the_notes_with_every_word_in_title_body_or_tags(notes):
    notes.add("Shopping list", "milk and eggs", ["home"])
    notes.add("Milk prices", "from the farm", ["work"])
    assert set(titles(notes.search("milk"))) == {"Shopping list", "Milk prices"}
    assert titles(notes.search("milk home")) == ["Shopping list"]
    assert titles(notes.search("farm pri")) == ["Milk prices"]  # words that start so count
    assert notes.search("milk honey") == []


@BOTH
def test_search_keeps_up_with_changes(notes):
    note_id = notes.add("Draft", "alpha")
    notes.update(note_id, body="beta")
    assert notes.search("alpha") == []
    assert titles(notes.search("beta")) == ["Draft"]
    notes.delete(note_id)
    assert notes.search("beta") == []


@BOTH
@pytest.mark.parametrize(
    "query", ["100%", "a_c", "NEAR(a", "title:a", "a*", "a AND", "-a", "(a", "a'b", "a\\b", "a\0b", "^a", "a -- b"]
)
def test_nothing_in_a_query_is_taken_for_syntax(notes, query):
    notes.add("abc", "1000")
    notes.add("The very one", query.replace("\0", " "))
    assert "The very one" in titles(notes.search(query))


@pytest.mark.parametrize("notes", [False], indirect=True)
def test_wildcards_of_like_stand_for_themselves(notes):
    notes.add("abc", "1000")
    for query in ("a_c", "1%0", "a%"):
        assert notes.search(query) == []


@pytest.mark.parametrize("notes", [True], indirect=True)
def test_full_text_search_ignores_accents_and_gives_the_best_first(notes):
    notes.add("Café", "in Zürich")
    for number in range(3):
        notes.add(f"Other {number}", "a long text that has the word café in it somewhere, and many others about it")
    assert titles(notes.search("CAFE"))[0] == "Café"
    assert len(notes.search("cafe")) == 4
    assert titles(notes.search("zurich")) == ["Café"]
    assert len(notes.search("cafe", 2)) == 2


@pytest.mark.parametrize("notes", [False], indirect=True)
def test_search_by_like_gives_the_latest_first(notes):
    for number in (1, 3, 2):
        date(notes, notes.add(f"Note {number}", "same"), f"200{number}-01-01T00:00:00.000Z")
    assert titles(notes.search("same", 2)) == ["Note 3", "Note 2"]


def test_the_list_has_the_latest_first_by_tag_and_by_page(notes):
    tags = {1: ["home"], 2: ["homework"], 3: ["work", "home"], 4: []}
    for number, given in tags.items():
        date(notes, notes.add(f"Note {number}", "", given), f"200{number}-01-01T00:00:00.000Z")
    assert titles(notes.list_notes()) == ["Note 4", "Note 3", "Note 2", "Note 1"]
    assert titles(notes.list_notes(2, skip=1)) == ["Note 3", "Note 2"]
    assert titles(notes.list_notes(tag="home")) == ["Note 3", "Note 1"]
    assert notes.list_notes(tag="nothing") == []
    notes.update(1, body="touched")
    assert titles(notes.list_notes(1)) == ["Note 1"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda notes: notes.add(" ", "x"), ValueError, "the title is blank; a note needs one"),
        (lambda notes: notes.update(1, title=""), ValueError, "the title is blank; a note needs one"),
        (
            lambda notes: notes.add("x", "", ["a", " "]),
            ValueError,
            "the tag ' ' is blank or has more than one line; allowed: one line of text",
        ),
        (
            lambda notes: notes.add("x", "", ["a\nb"]),
            ValueError,
            r"the tag 'a\nb' is blank or has more than one line; allowed: one line of text",
        ),
        (lambda notes: notes.add("x", "", "home"), TypeError, "tags is the text 'home'; allowed: a list of texts"),
        (lambda notes: notes.search("-- %"), ValueError, "query is '-- %'; allowed: at least one word"),
        (lambda notes: notes.search("x", 0), ValueError, "limit is 0; allowed: 1 to 1000"),
        (lambda notes: notes.list_notes(1001), ValueError, "limit is 1001; allowed: 1 to 1000"),
        (lambda notes: notes.list_notes(skip=-1), ValueError, "skip is -1; allowed: 0 or more"),
        (
            lambda notes: notes.update(1),
            ValueError,
            "nothing to change; give at least one of title, body and tags",
        ),
    ],
)
def test_wrong_arguments_are_refused_and_change_nothing(notes, call, error, message):
    notes.add("Title", "body")
    with pytest.raises(error) as caught:
        call(notes)
    assert str(caught.value) == message
    assert titles(notes.list_notes()) == ["Title"]


def test_start_opens_the_file_that_the_environment_names_and_notes_stay_there(load_plugin, path, monkeypatch):
    monkeypatch.setenv("PYHOST_NOTES_DB", str(path))
    first = load_plugin("notes")
    first.start()
    note_id = first.add("Kept", "for ever")
    first.stop()
    second = load_plugin("notes")
    second.start()
    assert second.get(note_id)["title"] == "Kept"
    second.stop()


def test_the_file_is_in_wal_mode_and_another_connection_can_read_while_it_is_open(notes, path):
    notes.add("Title", "body")
    other = sqlite3.connect(path)
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert other.execute("SELECT title FROM note").fetchall() == [("Title",)]
    other.close()


def test_the_connection_belongs_to_the_thread_that_opened_it(notes):
    with ThreadPoolExecutor(1) as pool, pytest.raises(sqlite3.ProgrammingError, match="same thread"):
        pool.submit(notes.add, "Title", "body").result()


def test_notes_written_where_sqlite_has_no_full_text_index_are_found_where_it_has_one_again(load_plugin, path):
    notes = load_plugin("notes")
    for number, full_text in enumerate((True, False, True)):
        notes.open_notes(path, full_text=full_text)
        notes.add(f"Note {number}", "common")
        assert len(notes.search("common")) == number + 1
        notes.stop()


def test_a_file_of_a_newer_version_is_refused_and_left_alone(load_plugin, path):
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(RuntimeError) as caught:
        load_plugin("notes").open_notes(path)
    assert str(caught.value) == (
        f"cannot open the notes in {path}: its format is version 99, and this plugin knows versions up to 1;"
        " PYHOST_NOTES_DB can name another file"
    )
    newer = sqlite3.connect(path)
    assert newer.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    newer.close()


def test_a_file_that_is_no_database_is_refused(load_plugin, path):
    path.write_text("Dear diary, " * 1000, encoding="utf-8")
    with pytest.raises(RuntimeError) as caught:
        load_plugin("notes").open_notes(path)
    assert str(caught.value) == (
        f"cannot open the notes in {path}: file is not a database; PYHOST_NOTES_DB can name another file"
    )


def test_a_file_in_a_folder_that_is_not_there_is_refused(load_plugin, tmp_path):
    path = tmp_path / "missing" / "notes.db"
    with pytest.raises(RuntimeError) as caught:
        load_plugin("notes").open_notes(path)
    assert str(caught.value) == (
        f"cannot open the notes in {path}: unable to open database file; PYHOST_NOTES_DB can name another file"
    )
