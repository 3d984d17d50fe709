"""The time in any zone, and waiting: an asynchronous plugin with many calls under way at once on one thread."""

import asyncio
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyhost

MAXIMUM_SECONDS = 3600.0
MAXIMUM_TICKS = 10_000


class _UnderWay:
    """Counts the calls under way; also one that is cancelled is counted out again."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *exception: object) -> None:
        self.count -= 1


_under_way = _UnderWay()


@pyhost.export
async def now(zone: str = "UTC") -> str:
    """The time now in a zone of the IANA time zone database, such as "Europe/Paris": ISO 8601 to the microsecond.

    Raises ValueError if there is no such zone.
    """
    return datetime.now(UTC if zone == "UTC" else _zone(zone)).isoformat(timespec="microseconds")


@pyhost.export
async def sleep(seconds: float) -> float:
    """Wait for 0 to 3600 ``seconds``; returns how long it really took, in seconds.

    Raises ValueError if ``seconds`` is out of range.
    """
    _check_range("seconds", seconds, 0.0, MAXIMUM_SECONDS)
    clock = asyncio.get_running_loop().time
    start = clock()
    with _under_way:
        await asyncio.sleep(seconds)
    return clock() - start


@pyhost.export
async def ticks(count: int, interval: float = 0.1) -> list[float]:
    """Wait for 1 to 10000 ticks, ``interval`` seconds apart; returns when each came, in seconds since the call.

    A tick that comes late does not delay those after it.

    Raises ValueError if an argument is out of range; ``interval`` may be 0 to 3600.
    """
    _check_range("count", count, 1, MAXIMUM_TICKS)
    _check_range("interval", interval, 0.0, MAXIMUM_SECONDS)
    clock = asyncio.get_running_loop().time
    start = clock()
    times = []
    with _under_way:
        for tick in range(1, count + 1):
            await asyncio.sleep(max(0.0, start + tick * interval - clock()))
            times.append(clock() - start)
    return times


@pyhost.export
async def in_flight() -> int:
    """How many calls of ``sleep`` and ``ticks`` are under way now."""
    return _under_way.count


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # not in the database; no relative path; a folder of zones
        raise ValueError(f"there is no time zone {name!r}; allowed: IANA names such as Europe/Paris") from error


def _check_range(name: str, value: float, minimum: float, maximum: float) -> None:
    if not minimum <= value <= maximum:  # not so for a NaN either
        raise ValueError(f"{name} is {value}; allowed: {minimum} to {maximum}")
