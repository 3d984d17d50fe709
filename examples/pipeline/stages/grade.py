"""How temperatures compare to what the program knows as usual."""

import pyhost


@pyhost.export(direct=True)
def grade(city: str, value: float) -> str:
    """Say how warm it is for that city."""
    usual = pyhost.host.usual(city)
    if usual is None:
        return "unknown"
    return "warm" if value > usual + 3 else "cold" if value < usual - 3 else "usual"
