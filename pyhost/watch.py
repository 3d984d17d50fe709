"""Watching the plugins' folder for changes of code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import watchfiles

from pyhost import manifest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_QUIET_MS = 100
"""A change is told when nothing has changed for so long: editors and version control write several files."""
_LONGEST_MS = 2000
"""A change is told after so long, though others follow."""


async def changes(folder: Path) -> AsyncIterator[frozenset[Path]]:
    """Yield the files of plugins that have come, changed or gone, whenever there are some; until it is cancelled.

    What a plugin writes beside its code is none: see ``manifest.fingerprint``.
    """
    async for found in watchfiles.awatch(
        folder,
        watch_filter=lambda _, path: manifest.is_code(Path(path), folder),
        debounce=_LONGEST_MS,
        step=_QUIET_MS,
        recursive=True,
    ):
        yield frozenset(Path(path) for _, path in found)
