import struct
import zlib

import pytest

BLACK = b"\0\0\0"


@pytest.fixture(scope="module")
def mandelbrot(load_plugin):
    return load_plugin("mandelbrot")


def read_png(png):
    """The width, height and rows of pixels of a PNG file of 8-bit RGB without filters; checks its structure."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks = {}
    rest = png[8:]
    while rest:
        size, kind = struct.unpack(">I4s", rest[:8])
        (checksum,) = struct.unpack(">I", rest[8 + size : 12 + size])
        assert checksum == zlib.crc32(rest[4 : 8 + size])
        chunks[kind] = rest[8 : 8 + size]
        rest = rest[12 + size :]
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert form == [8, 2, 0, 0, 0]
    pixels = zlib.decompress(chunks[b"IDAT"])
    length = 1 + 3 * width
    assert len(pixels) == height * length
    rows = [pixels[start : start + length] for start in range(0, len(pixels), length)]
    assert {row[0] for row in rows} == {0}
    return width, height, [row[1:] for row in rows]


def test_render_makes_a_png_file_of_all_rows(mandelbrot):
    width, height, rows = read_png(mandelbrot.render(40, 30))
    assert (width, height) == (40, 30)
    assert rows == [mandelbrot.row(y, 40, 30) for y in range(30)]


def test_render_gives_320_by_240_pixels_unless_told(mandelbrot):
    width, height, rows = read_png(mandelbrot.render(iterations=10))
    assert (width, height) == (320, 240)
    assert rows[17] == mandelbrot.row(17, iterations=10)


def test_assemble_gives_the_same_bytes_as_render(mandelbrot):
    view = {"width": 24, "height": 18, "center_x": -0.75, "center_y": 0.1, "scale": 0.05, "iterations": 60}
    rows = [mandelbrot.row(y, **view) for y in range(18)]
    assert mandelbrot.assemble(rows, 24) == mandelbrot.render(**view)


@pytest.mark.parametrize(
    "point",
    [
        (0.0, 0.0),
        (-1.0, 0.0),
        (0.0, 1.0),  # i: after two steps it goes to and fro between -1+i and -i
        (-2.0, 0.0),  # the tip: 0, -2, 2, 2, ...
        (-0.1226, 0.7449),  # the centre of the part above the big one
    ],
)
def test_points_of_the_set_are_black(mandelbrot, point):
    assert mandelbrot.row(0, 1, 1, *point, iterations=500) == BLACK


@pytest.mark.parametrize("point", [(1.0, 0.0), (-2.01, 0.0), (0.0, 1.1), (4.0, 4.0)])
def test_points_outside_the_set_have_a_colour(mandelbrot, point):
    assert mandelbrot.row(0, 1, 1, *point) != BLACK


def test_a_point_that_escapes_late_needs_many_iterations(mandelbrot):
    # 0.26 takes about π / √0.01, some thirty, to get out
    assert mandelbrot.row(0, 1, 1, 0.26, 0.0, iterations=20) == BLACK
    assert mandelbrot.row(0, 1, 1, 0.26, 0.0, iterations=60) != BLACK


def test_the_picture_is_as_wide_as_scale_and_symmetrical_about_the_real_axis(mandelbrot):
    # A step of 1/16 makes every coordinate exact.
    view = {"width": 64, "height": 49, "center_x": 0.0, "center_y": 0.0, "scale": 4.0}
    rows = [mandelbrot.row(y, **view) for y in range(49)]
    assert rows == rows[::-1]
    middle = [rows[24][start : start + 3] for start in range(0, 192, 3)]
    inside = [x for x, pixel in enumerate(middle) if pixel == BLACK]
    # On the real axis the set reaches from -2 to 1/4; pixel x is at (x - 31.5) / 16.
    assert inside == [x for x in range(64) if -2 <= (x - 31.5) / 16 <= 0.25]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width is 0; allowed: 1 to 4096"),
        ({"width": 5000}, "width is 5000; allowed: 1 to 4096"),
        ({"height": -1}, "height is -1; allowed: 1 to 4096"),
        ({"center_x": 4.5}, "center_x is 4.5; allowed: -4.0 to 4.0"),
        ({"center_y": float("nan")}, "center_y is nan; allowed: -4.0 to 4.0"),
        ({"scale": 0.0}, "scale is 0.0; allowed: 1e-12 to 10.0"),
        ({"scale": float("inf")}, "scale is inf; allowed: 1e-12 to 10.0"),
        ({"iterations": 0}, "iterations is 0; allowed: 1 to 10000"),
    ],
)
def test_arguments_out_of_range_are_refused(mandelbrot, arguments, message):
    for call in (mandelbrot.render, lambda **given: mandelbrot.row(0, **given)):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is compared below)
            call(**arguments)
        assert str(caught.value) == message


@pytest.mark.parametrize("y", [-1, 30])
def test_a_row_that_the_picture_does_not_have_is_refused(mandelbrot, y):
    with pytest.raises(ValueError, match=rf"^y is {y}; allowed: 0 to 29, as height is 30$"):
        mandelbrot.row(y, 40, 30)


def test_assemble_refuses_rows_that_make_no_picture(mandelbrot):
    with pytest.raises(ValueError, match=r"^row 1 has 3 bytes; allowed: 6, as width is 2$"):
        mandelbrot.assemble([bytes(6), bytes(3)], 2)
    with pytest.raises(ValueError, match=r"^rows has 0 rows; allowed: 1 to 4096$"):
        mandelbrot.assemble([], 2)
    with pytest.raises(ValueError, match=r"^width is 0; allowed: 1 to 4096$"):
        mandelbrot.assemble([b""], 0)
