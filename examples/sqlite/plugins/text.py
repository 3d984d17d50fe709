"""Functions for SQL."""

import pyhost


@pyhost.export(direct=True)
def reverse(text: str | None) -> str | None:
    return text[::-1] if text is not None else None


@pyhost.export(direct=True)
def digits(number: int) -> int:
    return len(str(number))
