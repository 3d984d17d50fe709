"""Durations and sizes as people write them: ``"250ms"``, ``"1.5s"``, ``"16MiB"``."""

from __future__ import annotations

import re
from decimal import Decimal

_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "": Decimal(1)}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "": 1}

# The digits are bounded so that no text costs more than a glance.
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?(ms|s|m|h|)")
_SIZE = re.compile(r"([0-9]{1,15}) ?(B|KiB|MiB|GiB|)")


def parse_duration(value: str | float) -> float:
    """Return a duration in seconds.

    Text is a number with a unit, ``"250ms"``, ``"2s"``, ``"1.5m"``, ``"1h"``, or without one, which means seconds.
    What is not text is returned as it is.

    Raises:
        ValueError: the text is not a duration.
    """
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value)
    if match is None:
        raise ValueError(f'{value!r} is not a duration, such as "250ms", "2s", "1m", "1h" or a number of seconds')
    number, unit = match.groups()
    return float(Decimal(number) * _SECONDS[unit])  # decimal, so that "100ms" is exactly the float 0.1


def parse_size(value: str | int) -> int:
    """Return a size in bytes.

    Text is a whole number with a unit, ``"512B"``, ``"64KiB"``, ``"16MiB"``, ``"1GiB"``, or without one, which means
    bytes. What is not text is returned as it is.

    Raises:
        ValueError: the text is not a size.
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(f'{value!r} is not a size, such as "64KiB", "16MiB", "1GiB" or a number of bytes')
    number, unit = match.groups()
    return int(number) * _BYTES[unit]


def format_size(size: int) -> str:
    """Return a size in bytes with the unit that fits, whole where that is exact: ``"64 MiB"``, ``"12.3 MiB"``.

    What is not exact has three digits, or four where the next unit begins at 1024 of this one.
    """
    units = [(unit, scale) for unit, scale in _BYTES.items() if unit]
    unit, scale = units[0]
    for larger, larger_scale in units[1:]:
        if size >= larger_scale - scale / 2:  # rounded to whole numbers of the smaller unit, it is one
            unit, scale = larger, larger_scale
    if size % scale == 0:
        return f"{size // scale} {unit}"
    value = size / scale
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def format_seconds(seconds: float) -> str:
    """Return a time with three digits and the unit that fits: ``"850 µs"``, ``"12.3 ms"``, ``"2.00 s"``."""
    value, unit = seconds, "s"
    if seconds < 999.5e-6:
        value, unit = seconds * 1e6, "µs"
    elif seconds < 999.5e-3:
        value, unit = seconds * 1e3, "ms"
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"
