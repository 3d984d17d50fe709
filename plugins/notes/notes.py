"""Notes with titles, texts and tags, kept in an SQLite file and found again by their words.

The file is the one that the environment variable PYHOST_NOTES_DB names, or else ``notes.db`` beside this module. A note
is ``{"id", "title", "body", "tags", "created", "updated"}``; times are ISO 8601 in UTC. Search uses SQLite's full-text
index (FTS5) where SQLite was built with it, and LIKE where it was not: then words are also found inside others, only
ASCII letters match without regard to case, and the note changed last comes first instead of the best one.
"""

import os
import sqlite3
from pathlib import Path

import pyhost

Note = dict[str, int | str | list[str]]

MAXIMUM_LIMIT = 1000

# Each entry takes the file from the version that is its index (PRAGMA user_version) to the next one. Tags are one text,
# a tag a line, so that the full-text index takes them as it takes the other columns. AUTOINCREMENT: the id of a deleted
# note is never given to another one.
_MIGRATIONS = (
    (
        """CREATE TABLE note (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            title TEXT NOT NULL,
            body TEXT NOT NULL,
            tags TEXT NOT NULL,
            created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
            updated TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        )""",
        "CREATE INDEX note_updated ON note (updated)",
    ),
)

# The index keeps no copy of the texts: its triggers tell it what to forget and what to learn. They may be missing
# although the table is there, see _prepare_search, hence "rebuild".
_LEARN = "INSERT INTO note_text (rowid, title, body, tags) VALUES (new.id, new.title, new.body, new.tags);"
_FORGET = (
    "INSERT INTO note_text (note_text, rowid, title, body, tags)"
    " VALUES ('delete', old.id, old.title, old.body, old.tags);"
)
_CREATE_INDEX = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS note_text USING fts5(title, body, tags, content='note', content_rowid='id')",
    f"CREATE TRIGGER note_inserted AFTER INSERT ON note BEGIN {_LEARN} END",
    f"CREATE TRIGGER note_deleted AFTER DELETE ON note BEGIN {_FORGET} END",
    f"CREATE TRIGGER note_changed AFTER UPDATE ON note BEGIN {_FORGET} {_LEARN} END",
    "INSERT INTO note_text (note_text) VALUES ('rebuild')",
)
_DROP_TRIGGERS = (
    "DROP TRIGGER IF EXISTS note_inserted",
    "DROP TRIGGER IF EXISTS note_deleted",
    "DROP TRIGGER IF EXISTS note_changed",
)

_SELECT = "SELECT note.id, note.title, note.body, note.tags, note.created, note.updated FROM note"

_connection: sqlite3.Connection
_full_text: bool


@pyhost.on_start
def start() -> None:
    """Open the file that PYHOST_NOTES_DB names, or ``notes.db`` beside this module."""
    open_notes(Path(os.environ.get("PYHOST_NOTES_DB") or Path(__file__).with_name("notes.db")))


def open_notes(path: Path, *, full_text: bool | None = None) -> None:
    """Open a file of notes, or make it, bring its tables up to date and make it the one that this module uses.

    ``full_text`` says whether to search by FTS5; None asks SQLite whether it can.

    Raises RuntimeError if the file cannot be opened, is no database, or was written by a newer version.
    """
    global _connection, _full_text
    try:
        # Autocommit: every function here is one statement. The connection refuses every thread but this one.
        connection = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error as error:
        raise _cannot_open(path, str(error)) from error
    try:
        # With WAL readers and the writer of other processes do not wait for each other. NORMAL may lose the last notes
        # in a power cut, never the file.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        full_text = _has_full_text(connection) if full_text is None else full_text
        connection.execute("BEGIN IMMEDIATE")
        _migrate(connection)
        _prepare_search(connection, full_text=full_text)
        connection.execute("COMMIT")
    except (sqlite3.Error, ValueError) as error:
        connection.close()
        raise _cannot_open(path, str(error)) from error
    _connection, _full_text = connection, full_text


@pyhost.on_stop
def stop() -> None:
    """Close the file."""
    _connection.close()


@pyhost.export
def add(title: str, body: str, tags: list[str] | None = None) -> int:
    """Keep a note; returns its id.

    Raises ValueError if the title is blank, or a tag is blank or has more than one line.
    """
    cursor = _connection.execute(
        "INSERT INTO note (title, body, tags) VALUES (?, ?, ?)",
        (_checked_title(title), body, _tags_to_text(tags or [])),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


@pyhost.export
def get(note_id: int) -> Note:
    """The note with that id.

    Raises LookupError if there is none.
    """
    found = _notes(f"{_SELECT} WHERE id = ?", (_checked_id(note_id),))
    if not found:
        raise _no_note(note_id)
    return found[0]


@pyhost.export
def search(query: str, limit: int = 20) -> list[Note]:
    """The notes that have every word of ``query``, or one that starts with it, in title, body or tags; the best first.

    At most ``limit`` notes. A word in the title counts more than one in the tags, and that more than one in the body.

    Raises ValueError if ``query`` has no word, or ``limit`` is out of range.
    """
    words = [word for word in query.replace("\0", " ").split() if any(map(str.isalnum, word))]
    if not words:
        raise ValueError(f"query is {query!r}; allowed: at least one word")
    if _full_text:
        # Each word stands in quotation marks, so none is taken for FTS5's own syntax; "*" is for words that start so.
        match = " ".join('"' + word.replace('"', '""') + '"*' for word in words)
        return _notes(
            f"{_SELECT} JOIN note_text ON note_text.rowid = note.id WHERE note_text MATCH ?"
            " ORDER BY bm25(note_text, 8, 1, 4), note.updated DESC LIMIT ?",
            (match, _checked_limit(limit)),
        )
    condition = " AND ".join([r"title || char(10) || body || char(10) || tags LIKE ? ESCAPE '\'"] * len(words))
    return _notes(
        f"{_SELECT} WHERE {condition} ORDER BY updated DESC, id DESC LIMIT ?",
        (*(f"%{_escape_like(word)}%" for word in words), _checked_limit(limit)),
    )


@pyhost.export(name="list")  # a function of that name would hide the builtin from every annotation here
def list_notes(limit: int = 20, tag: str | None = None, skip: int = 0) -> list[Note]:
    """The notes changed last, the latest first, of all or of those that have the tag.

    At most ``limit`` notes, after the first ``skip``.

    Raises ValueError if ``limit`` or ``skip`` is out of range.
    """
    if skip < 0:
        raise ValueError(f"skip is {skip}; allowed: 0 or more")
    return _notes(
        f"{_SELECT} WHERE ?1 IS NULL OR instr(char(10) || tags || char(10), char(10) || ?1 || char(10))"
        " ORDER BY updated DESC, id DESC LIMIT ?2 OFFSET ?3",
        (tag, _checked_limit(limit), skip),
    )


@pyhost.export
def update(note_id: int, title: str | None = None, body: str | None = None, tags: list[str] | None = None) -> Note:
    """Change what is given of a note and leave the rest; returns the note as it is now.

    Raises LookupError if there is no such note; ValueError if nothing is given, or as ``add`` does.
    """
    if title is None and body is None and tags is None:
        raise ValueError("nothing to change; give at least one of title, body and tags")
    cursor = _connection.execute(
        "UPDATE note SET title = coalesce(?, title), body = coalesce(?, body), tags = coalesce(?, tags),"
        " updated = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = ?",
        (
            None if title is None else _checked_title(title),
            body,
            None if tags is None else _tags_to_text(tags),
            _checked_id(note_id),
        ),
    )
    if cursor.rowcount == 0:
        raise _no_note(note_id)
    return get(note_id)


@pyhost.export
def delete(note_id: int) -> None:
    """Delete a note for good.

    Raises LookupError if there is no such note.
    """
    if _connection.execute("DELETE FROM note WHERE id = ?", (_checked_id(note_id),)).rowcount == 0:
        raise _no_note(note_id)


def _has_full_text(connection: sqlite3.Connection) -> bool:
    """Whether this SQLite has FTS5, by trying."""
    try:
        connection.execute("CREATE VIRTUAL TABLE temp.probe USING fts5(text)")
    except sqlite3.OperationalError:
        return False
    connection.execute("DROP TABLE temp.probe")
    return True


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables up to date; in the caller's transaction.

    Raises ValueError if the file was written by a newer version.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(_MIGRATIONS):
        raise ValueError(f"its format is version {version}, and this plugin knows versions up to {len(_MIGRATIONS)}")
    for statements in _MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


def _prepare_search(connection: sqlite3.Connection, *, full_text: bool) -> None:
    """Make the full-text index, or see to it that the file can be written without; in the caller's transaction.

    A trigger on the index fails where SQLite has no FTS5, so it is dropped there. Where FTS5 is back, the index is
    built anew from the notes.
    """
    if not full_text:
        for statement in _DROP_TRIGGERS:
            connection.execute(statement)
    elif not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'note_inserted'").fetchone():
        for statement in _CREATE_INDEX:
            connection.execute(statement)


def _notes(sql: str, values: tuple[object, ...]) -> list[Note]:
    """The notes that a statement with the columns of _SELECT finds."""
    return [
        {"id": number, "title": title, "body": body, "tags": tags.splitlines(), "created": created, "updated": updated}
        for number, title, body, tags, created, updated in _connection.execute(sql, values)
    ]


def _tags_to_text(tags: list[str]) -> str:
    """Tags as they are stored: a line each, every tag once, in the order given."""
    if isinstance(tags, str):
        raise TypeError(f"tags is the text {tags!r}; allowed: a list of texts")
    for tag in tags:
        if len(tag.splitlines()) != 1 or not tag.strip():
            raise ValueError(f"the tag {tag!r} is blank or has more than one line; allowed: one line of text")
    return "\n".join(dict.fromkeys(tag.strip() for tag in tags))


def _escape_like(word: str) -> str:
    """A word with what LIKE takes for wildcards made plain."""
    return word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _checked_title(title: str) -> str:
    if not title.strip():
        raise ValueError("the title is blank; a note needs one")
    return title


def _checked_limit(limit: int) -> int:
    if not 1 <= limit <= MAXIMUM_LIMIT:
        raise ValueError(f"limit is {limit}; allowed: 1 to {MAXIMUM_LIMIT}")
    return limit


def _checked_id(note_id: int) -> int:
    if not 1 <= note_id < 1 << 63:  # SQLite's integers end there
        raise _no_note(note_id)
    return note_id


def _no_note(note_id: int) -> LookupError:
    return LookupError(f"there is no note {note_id}; notes.list and notes.search tell the ids of those there are")


def _cannot_open(path: Path, reason: str) -> RuntimeError:
    return RuntimeError(f"cannot open the notes in {path}: {reason}; PYHOST_NOTES_DB can name another file")
