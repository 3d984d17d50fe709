"""What plugins have printed and logged."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from support import PATIENCE

if TYPE_CHECKING:
    import pyhost
    from pyhost.logs import Record


def wait_records(host: pyhost.Host, plugin: str, count: int = 1) -> list[Record]:
    """The records of the plugin, once there are so many; what an open host's plugins write takes a moment."""
    grown = threading.Event()
    with host.logs.watch(plugin, grown.set):
        while len(records := host.logs.read(plugin)[0]) < count:
            assert grown.wait(PATIENCE), f"{len(records)} of {count} records came"
            grown.clear()
    return records


def printed(host: pyhost.Host, plugin: str, count: int = 0) -> list[str]:
    """Their messages."""
    return [record.message for record in wait_records(host, plugin, count)]
