"""A barrier holds plugin code until the test lets it go on: two pipes, which every interpreter of the process can use."""

from __future__ import annotations

import os
import select

from support import PATIENCE


class Barrier:
    """Pass ``keys`` to plugin code that writes a byte to the first when it arrives, and reads one from the second.

    ``support.plugins.COMMON`` has such a function, ``hold``.
    """

    def __init__(self) -> None:
        self._arrived_read, self._arrived_write = os.pipe()
        self._open_read, self._open_write = os.pipe()
        self.keys = (self._arrived_write, self._open_read)

    def wait_arrived(self, count: int = 1) -> None:
        """Wait until so many have arrived since the last time."""
        for _ in range(count):
            readable, _, _ = select.select([self._arrived_read], [], [], PATIENCE)
            assert readable, "nobody arrived at the barrier"
            os.read(self._arrived_read, 1)

    def has_arrived(self) -> bool:
        """Whether somebody stands at the barrier who has not been waited for."""
        return bool(select.select([self._arrived_read], [], [], 0)[0])

    def open(self, count: int = 1) -> None:
        """Let so many go on, now or when they arrive."""
        os.write(self._open_write, b"." * count)

    def release(self) -> None:
        """Let everybody go on, for good."""
        if self._open_write >= 0:
            os.close(self._open_write)
            self._open_write = -1

    def close(self) -> None:
        """Close the pipes, when no plugin code uses them any more."""
        self.release()
        for descriptor in (self._open_read, self._arrived_write, self._arrived_read):
            os.close(descriptor)


class BarrierMaker:
    """Makes barriers, and opens them all when a test ends."""

    def __init__(self) -> None:
        self._barriers: list[Barrier] = []

    def __call__(self) -> Barrier:
        """A new barrier."""
        self._barriers.append(Barrier())
        return self._barriers[-1]

    def release(self) -> None:
        """Let everybody go on, for good."""
        for barrier in self._barriers:
            barrier.release()

    def close(self) -> None:
        """Close all pipes."""
        for barrier in self._barriers:
            barrier.close()
