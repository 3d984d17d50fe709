"""Big integers: the digits of pi, one after another. Nearly every operation allocates more than 512 bytes."""

from collections.abc import Iterator

import pyhost


@pyhost.export
def run(size: int) -> int:
    """The last nine of the first ``size`` digits of pi (3, 1, 4, 1, ...), as a number."""
    last = 0
    for _, digit in zip(range(size), digits(), strict=False):
        last = (last * 10 + digit) % 10**9
    return last


def digits() -> Iterator[int]:
    """All digits, by Gibbons's spigot: pi = 2 + 1/3 (2 + 2/5 (2 + 3/7 (2 + ...))).

    What has been read of the series is the map x -> (scale * x + shift) / divisor.
    """
    scale, shift, divisor, term = 1, 0, 1, 1
    while True:
        # The rest of the series lies between 3 and 4; a digit is sure once both give the same.
        digit = (3 * scale + shift) // divisor
        if digit == (4 * scale + shift) // divisor:
            yield digit
            scale, shift = 10 * scale, 10 * (shift - digit * divisor)
        else:
            odd = 2 * term + 1
            scale, shift, divisor = scale * term, (2 * scale + shift) * odd, divisor * odd
            term += 1
