"""Splits a line "city value, city value" into records."""

import pyhost


@pyhost.export
def records(line: str) -> list[tuple[str, float]]:
    pairs = (part.split() for part in line.split(","))
    return [(city, float(value)) for city, value in pairs]
