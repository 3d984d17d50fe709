"""Functions for SQL."""

import pyhost


@pyhost.export(direct=True)
def reverse(text: str | None) -> str | None:
    """The text from its end to its beginning."""
    return text[::-1] if text is not None else None


@pyhost.export(direct=True)
def digits(number: int) -> int:
    """How many digits the number has, its sign included."""
    return len(str(number))
