"""The first stage: lines to records."""

import pyhost


@pyhost.export
def records(line: str) -> list[tuple[str, float]]:
    """Split a line "city value, city value" into records."""
    pairs = (part.split() for part in line.split(","))
    return [(city, float(value)) for city, value in pairs]
