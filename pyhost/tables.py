"""TOML files as typed tables, and the messages about what is wrong in them.

Every message has one form, whether it is about a ``plugin.toml``, a ``pyhost.toml`` or the command line: where, which
key, what was found, what is allowed::

    plugins/x/plugin.toml: plugin.interpreters is 0; allowed: a whole number from 1 to 256

A table is a frozen dataclass. msgspec checks each value against its field's type, ``Annotated`` with a ``Meta`` that
holds the bounds, says in words what is allowed (``description``) and, where people write a value as text, how that text
is read (``extra={"parse": ...}``, a function that raises ValueError); for a list, which items it may have
(``extra={"is_item": ...}``). Values are checked one by one, so that the key is always known and no message depends on
msgspec's own wording.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import reprlib
import stat
import tomllib
from functools import cache
from itertools import filterfalse
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pyhost.errors import PyhostError

type Keys = tuple[str, ...]
"""The way to a value from the top of the document: ``("plugin", "interpreters")``."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}")


class _Display(reprlib.Repr):
    """``repr``, cut to what fits in a message whatever the document holds."""

    def repr_int(self, x: int, level: int) -> str:  # noqa: ARG002 - as the base class has it
        # repr() refuses integers of more than 4300 digits, and TOML can hold them in hexadecimal.
        return repr(x) if x.bit_length() <= 128 else f"a number of {x.bit_length()} bits"


_display = _Display(maxlevel=2, maxdict=3, maxlist=3, maxstring=60, maxother=60)


def _spell_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _display.repr(key)


def dotted(keys: Keys) -> str:
    """Spell a key as TOML does, ``limits.deadline``."""
    return ".".join(map(_spell_key, keys))


def as_option(keys: Keys) -> str:
    """Spell a key as the command line does, ``--max-body``."""
    return "--" + _spell_key(keys[-1]).replace("_", "-")


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where a table was read, for its messages."""

    place: str
    """The file's path, or what else the reader knows it as."""
    error: type[PyhostError]
    """The class of the errors about it."""
    spell: Callable[[Keys], str] = dotted

    def wrong(self, keys: Keys, found: object, allowed: str, verb: str = "is") -> PyhostError:
        """The error about a value that is not allowed; with the verb "has", about an item of it."""
        return self.error(f"{self.place}: {self.spell(keys)} {verb} {_display.repr(found)}; allowed: {allowed}")

    def missing(self, keys: Keys, allowed: str) -> PyhostError:
        """The error about a value that has to be there."""
        return self.error(f"{self.place}: {self.spell(keys)} is missing; give {allowed}")

    def unknown(self, keys: Keys, siblings: list[Keys], everywhere: Sequence[Keys]) -> PyhostError:
        """The error about a key that means nothing: ``siblings`` would do beside it, ``everywhere`` somewhere."""
        by_last_key = {known[-1]: known for known in everywhere}
        close = difflib.get_close_matches(keys[-1].lower().replace("-", "_"), by_last_key, n=1)
        hint = f"did you mean {self.spell(by_last_key[close[0]])}? " if close else ""
        allowed = ", ".join(map(self.spell, siblings))
        return self.error(f"{self.place}: {self.spell(keys)} is not known; {hint}allowed: {allowed}")


def require_file(path: Path, source: Source) -> None:
    """Make sure that ``path`` is a regular file, before an open that would wait for ever on a pipe.

    Raises ``source.error`` where it is not.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise _unreadable(error, source) from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise source.error(f"{source.place} is {kind}; allowed: a file")


def read_bytes(path: Path, source: Source) -> tuple[bytes, int]:
    """Return what is in a regular file, and the bits of its mode.

    Raises ``source.error`` where it cannot be read.
    """
    require_file(path, source)
    try:
        with path.open("rb") as file:
            return file.read(), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except OSError as error:
        raise _unreadable(error, source) from error


def read(path: Path, source: Source) -> dict[str, Any]:
    """Return the TOML document in a file.

    Raises ``source.error`` where it cannot be read, is not UTF-8 or is not TOML.
    """
    data, _ = read_bytes(path, source)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte 0x{error.object[error.start]:02x} in line {error.object.count(b'\n', 0, error.start) + 1}"
        raise source.error(f"{source.place} is not UTF-8: {found}; save the file as UTF-8") from error
    return parse(text, source)


def parse(text: str, source: Source) -> dict[str, Any]:
    """Return the TOML document in a text.

    Raises ``source.error`` where it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise source.error(f"{source.place} is not TOML: {_locate(str(error), text)}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets nested by the thousand
        raise source.error(f"{source.place} is beyond what can be read as TOML: {error}") from error


def decode[T](document: Mapping[str, object], kind: type[T], source: Source) -> T:
    """Return ``document`` as a ``kind``.

    Raises ``source.error`` for the first key that is unknown, missing or has a value that is not allowed.
    """
    return msgspec.convert(check(document, kind, source), kind)


def check(document: Mapping[str, object], kind: type, source: Source) -> dict[str, Any]:
    """Return the values that ``document`` gives for fields of a ``kind``, as they are after reading; tables as dicts.

    Raises as ``decode`` does.
    """
    return _check(document, kind, source, (), _known_keys(kind))


def _check(
    table: Mapping[str, object], kind: type, source: Source, keys: Keys, everywhere: Sequence[Keys]
) -> dict[str, Any]:
    types = _types_of(kind)
    for name in table:
        if name not in types:
            raise source.unknown((*keys, name), [(*keys, known) for known in types], everywhere)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        at = (*keys, field.name)
        annotation = types[field.name]
        is_table = dataclasses.is_dataclass(annotation)
        allowed = f"a table, [{source.spell(at)}]" if is_table else _meta(annotation).description or ""
        if field.name not in table:
            if field.default is field.default_factory is dataclasses.MISSING:
                raise source.missing(at, allowed)
            continue
        found = table[field.name]
        if not is_table:
            values[field.name] = _check_value(found, annotation, source, at, allowed)
        elif isinstance(found, dict):
            values[field.name] = _check(found, annotation, source, at, everywhere)
        else:
            raise source.wrong(at, found, allowed)
    return values


def _check_value(found: object, annotation: Any, source: Source, keys: Keys, allowed: str) -> object:
    extra = _meta(annotation).extra or {}
    parse = extra.get("parse")
    if "is_item" in extra and isinstance(found, list):
        for item in filterfalse(extra["is_item"], found):
            raise source.wrong(keys, item, allowed, verb="has")
    try:
        return msgspec.convert(found if parse is None else parse(found), annotation)
    except ValueError as error:
        raise source.wrong(keys, found, allowed) from error


# Each of these would compile every annotation again.


@cache
def _types_of(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind, include_extras=True)


@cache
def _known_keys(kind: type) -> tuple[Keys, ...]:
    known: list[Keys] = []
    for name, annotation in _types_of(kind).items():
        below = _known_keys(annotation) if isinstance(annotation, type) and dataclasses.is_dataclass(annotation) else ()
        known += [(name,), *((name, *keys) for keys in below)]
    return tuple(known)


def _meta(annotation: Any) -> msgspec.Meta:
    meta: msgspec.Meta = annotation.__metadata__[0]
    return meta


def _unreadable(error: OSError, source: Source) -> PyhostError:
    return source.error(f"{source.place} cannot be read ({error.strerror}); it must be a file that this user can read")


LONGEST_REASON = 200
"""Characters of what is wrong with a text as TOML that are shown."""


def _locate(message: str, text: str) -> str:
    """Put the position first: ``Invalid value (at line 2, column 5)`` as ``line 2, column 5: Invalid value``."""
    what, _, where = message.rpartition(" (at ")
    where = where.removesuffix(")")
    if where == "end of document":
        lines = text.split("\n")
        where = f"line {len(lines)}, column {len(lines[-1]) + 1}"
    if len(what) > LONGEST_REASON:  # it quotes a key whole
        what = what[:LONGEST_REASON] + "…"
    return f"{where}: {what}"
