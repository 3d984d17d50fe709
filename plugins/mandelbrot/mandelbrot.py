"""Pictures of the Mandelbrot set as PNG files, computed in plain Python: work that keeps a core busy.

``render`` computes a whole picture in one call. ``row`` computes one row, so that the rows of a picture can be spread
over the plugin's interpreters, and ``assemble`` makes the picture of them::

    rows = host.map("mandelbrot.row", range(240))
    png = host.call("mandelbrot.assemble", list(rows), 320)

The two ways with the same arguments give the same bytes.
"""

import math
import struct
import zlib
from itertools import pairwise

import pyhost

MAXIMUM_SIDE = 4096
MAXIMUM_ITERATIONS = 10_000

# Below, neighbouring points are the same number in double precision.
MINIMUM_SCALE = 1e-12
MAXIMUM_SCALE = 10.0

# Stops on the way round the palette: (place, red, green, blue), from deep blue over white and amber back again.
_STOPS = (
    (0.0, 0, 7, 100),
    (0.16, 32, 107, 203),
    (0.42, 237, 255, 255),
    (0.6425, 255, 170, 0),
    (0.8575, 0, 2, 0),
    (1.0, 0, 7, 100),
)
_PALETTE_SIZE = 2048
_TURNS = 0.25  # turns round the palette for a step of the count's square root
_ESCAPE_RADIUS_SQUARED = 2.0**16  # far out, where the smooth count shows no steps


def _palette() -> list[bytes]:
    """_PALETTE_SIZE colours of 3 bytes, eased from stop to stop so that no edge shows."""
    colours = []
    for index in range(_PALETTE_SIZE):
        place = index / _PALETTE_SIZE
        left, right = next(pair for pair in pairwise(_STOPS) if pair[0][0] <= place < pair[1][0])
        along = (place - left[0]) / (right[0] - left[0])
        along *= along * (3 - 2 * along)
        colours.append(bytes(round(a + (b - a) * along) for a, b in zip(left[1:], right[1:], strict=True)))
    return colours


_PALETTE = _palette()
_INSIDE = bytes(3)


@pyhost.export
def render(
    width: int = 320,
    height: int = 240,
    center_x: float = -0.5,
    center_y: float = 0.0,
    scale: float = 3.0,
    iterations: int = 100,
) -> bytes:
    """A picture of the set as a PNG file.

    ``width`` and ``height`` are in pixels, 1 to 4096. The picture is around the point ``center_x`` + ``center_y`` i,
    each from -4 to 4, and ``scale`` wide, 1e-12 to 10. ``iterations``, 1 to 10000, is how far each point is followed:
    the smaller the scale, the more it takes.

    Raises ValueError if an argument is out of its range.
    """
    _check(width, height, center_x, center_y, scale, iterations)
    return _png([_row(y, width, height, center_x, center_y, scale, iterations) for y in range(height)], width)


@pyhost.export
def row(
    y: int,
    width: int = 320,
    height: int = 240,
    center_x: float = -0.5,
    center_y: float = 0.0,
    scale: float = 3.0,
    iterations: int = 100,
) -> bytes:
    """Row ``y`` of the picture that ``render`` makes of the other arguments: a red, green and blue byte for each pixel.

    The top row is 0.

    Raises ValueError if an argument is out of its range.
    """
    _check(width, height, center_x, center_y, scale, iterations)
    if not 0 <= y < height:
        raise ValueError(f"y is {y}; allowed: 0 to {height - 1}, as height is {height}")
    return _row(y, width, height, center_x, center_y, scale, iterations)


@pyhost.export
def assemble(rows: list[bytes], width: int) -> bytes:
    """The PNG file of all rows of a picture, the top one first, each of ``width`` pixels of 3 bytes.

    Raises ValueError if there are too few or too many rows, or if one is of another size.
    """
    _check_range("width", width, 1, MAXIMUM_SIDE)
    if not 1 <= len(rows) <= MAXIMUM_SIDE:
        raise ValueError(f"rows has {len(rows)} rows; allowed: 1 to {MAXIMUM_SIDE}")
    for y, pixels in enumerate(rows):
        if len(pixels) != 3 * width:
            raise ValueError(f"row {y} has {len(pixels)} bytes; allowed: {3 * width}, as width is {width}")
    return _png(rows, width)


def _row(y: int, width: int, height: int, center_x: float, center_y: float, scale: float, iterations: int) -> bytes:
    step = scale / width
    top = center_y + (height - 1) / 2 * step
    left = center_x - (width - 1) / 2 * step
    return b"".join(_colour(left + x * step, top - y * step, iterations) for x in range(width))


def _colour(real: float, imaginary: float, iterations: int) -> bytes:
    """The colour of a point: how soon it escapes under z → z² + point."""
    # The two biggest parts of the set, by formula: their points would take all iterations.
    squared = imaginary * imaginary
    from_cusp = real - 0.25
    distance = from_cusp * from_cusp + squared
    if distance * (distance + from_cusp) <= 0.25 * squared or (real + 1) * (real + 1) + squared <= 0.0625:
        return _INSIDE
    x = y = x_squared = y_squared = 0.0
    for count in range(iterations):
        y = 2 * x * y + imaginary
        x = x_squared - y_squared + real
        x_squared = x * x
        y_squared = y * y
        if x_squared + y_squared > _ESCAPE_RADIUS_SQUARED:
            # The share of the last step that went too far makes the count smooth. Under the square root the colours
            # change less wildly close to the set, where the count rises fast.
            smooth = count + 1 - math.log2(math.log2(x_squared + y_squared) / 2)
            place = _TURNS * (math.sqrt(max(smooth, 1.0)) - 1)
            return _PALETTE[int(_PALETTE_SIZE * place) % _PALETTE_SIZE]
    return _INSIDE


def _png(rows: list[bytes], width: int) -> bytes:
    """A PNG file (RFC 2083) of 8-bit RGB rows."""
    header = struct.pack(">IIBBBBB", width, len(rows), 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + pixels for pixels in rows))  # 0: the row is not filtered
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _check(width: int, height: int, center_x: float, center_y: float, scale: float, iterations: int) -> None:
    _check_range("width", width, 1, MAXIMUM_SIDE)
    _check_range("height", height, 1, MAXIMUM_SIDE)
    _check_range("center_x", center_x, -4.0, 4.0)
    _check_range("center_y", center_y, -4.0, 4.0)
    _check_range("scale", scale, MINIMUM_SCALE, MAXIMUM_SCALE)
    _check_range("iterations", iterations, 1, MAXIMUM_ITERATIONS)


def _check_range(name: str, value: float, minimum: float, maximum: float) -> None:
    if not minimum <= value <= maximum:  # not so for a NaN either
        raise ValueError(f"{name} is {value}; allowed: {minimum} to {maximum}")
