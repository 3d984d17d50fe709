"""What plugins depend on, as their authors write it: in a plugin.toml, or in a comment of a single .py file."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from pyhost import tables
from pyhost.errors import ManifestError

if TYPE_CHECKING:
    from pathlib import Path

_SCRIPT_START, _SCRIPT_END = "# /// script", "# ///"


def is_requirement(value: object) -> bool:
    """Whether it is a requirement in the form of Python's packaging standard, or ``-e`` and a folder."""
    if not isinstance(value, str) or not value.isprintable():  # one line: uv reads them from a file of lines
        return False
    if value.startswith("-e "):
        folder = value[3:].strip()
        return bool(folder) and not folder.startswith("-")
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        Requirement(value)
    except InvalidRequirement:
        return False
    return True


Dependencies = Annotated[
    tuple[str, ...],
    Meta(
        description='a list of requirements, such as ["packaging==24.1", "lib @ ../lib", "-e ../lib"]',
        extra={"is_item": is_requirement},
    ),
]


@dataclass(frozen=True, slots=True)
class _Script:
    dependencies: Dependencies = ()


def of_script(path: Path) -> tuple[str, ...]:
    """Return the ``dependencies`` in the ``# /// script`` comment of a .py file, as PEP 723 has it; () without one.

    Raises:
        ManifestError: the file cannot be read, or something in the comment is wrong.
    """
    code, _ = tables.read_bytes(path, tables.Source(str(path), ManifestError))
    comment = _script_comment(code.decode(errors="replace"))
    source = tables.Source(f"the script comment of {path}", ManifestError)
    document = tables.parse(comment, source)
    # The standard's other keys speak to programs that run scripts.
    stated = {key: value for key, value in document.items() if key not in {"requires-python", "tool"}}
    return tables.decode(stated, _Script, source).dependencies


def _script_comment(code: str) -> str:
    """The TOML of the comment: the lines between the first start and the last end that no other line divides."""
    lines = iter(code.splitlines())
    if _SCRIPT_START not in lines:  # takes the lines up to it
        return ""
    block = list(takewhile(lambda line: line == "#" or line.startswith("# "), lines))
    ends = [index for index, line in enumerate(block) if line == _SCRIPT_END]
    return "\n".join(line[2:] for line in block[: ends[-1]]) if ends else ""
