import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyhost.quantities import format_seconds, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("100ms", 0.1),
        ("2s", 2.0),
        ("1.5s", 1.5),
        ("1m", 60.0),
        ("1h", 3600.0),
        ("0.5h", 1800.0),
        ("30", 30.0),
        ("3 s", 3.0),
        ("0ms", 0.0),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512B", 512), ("64KiB", 65536), ("16MiB", 16777216), ("16 MiB", 16777216), ("1GiB", 1073741824)],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "s", "-1s", "1d", "1S", "1.s", ".5s", "1e3", "1s ", "nan", "inf", "٣s", "1s\n"])
def test_text_that_is_no_duration(text):
    message = f'{text!r} is not a duration, such as "250ms", "2s", "1m", "1h" or a number of seconds'
    with pytest.raises(ValueError, match=rf"\A{re.escape(message)}\Z"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5MiB", "16MB", "16mib", "1 k", "0x10", "٣KiB", "1B\n"])
def test_text_that_is_no_size(text):
    message = f'{text!r} is not a size, such as "64KiB", "16MiB", "1GiB" or a number of bytes'
    with pytest.raises(ValueError, match=rf"\A{re.escape(message)}\Z"):
        parse_size(text)


def test_numbers_are_returned_as_they_are():
    assert parse_duration(2.5) == 2.5
    assert parse_size(4096) == 4096


@settings(deadline=None)
@given(st.integers(0, 10**12))
def test_milliseconds_are_the_float_that_is_nearest(milliseconds):
    assert parse_duration(f"{milliseconds}ms") == milliseconds / 1000


@settings(deadline=None)
@given(st.integers(0, 10**9), st.sampled_from([("s", 1), ("m", 60), ("h", 3600)]))
def test_durations_come_back(number, unit):
    name, seconds = unit
    assert parse_duration(f"{number}{name}") == number * seconds


@settings(deadline=None)
@given(st.integers(0, 10**12), st.sampled_from([("B", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30)]))
def test_sizes_come_back(number, unit):
    name, bits = unit
    assert parse_size(f"{number}{name}") == number << bits


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1025, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (12_643_738, "12.1 MiB"),
        (64 << 20, "64 MiB"),
        ((64 << 20) + 1, "64.0 MiB"),
        ((1 << 20) - 1, "1.00 MiB"),
        ((1 << 20) - 600, "1023 KiB"),
        (1000 << 20, "1000 MiB"),
        (123_400_000, "118 MiB"),
        ((1 << 30) - 1, "1.00 GiB"),
        (3 << 40, "3072 GiB"),
    ],
)
def test_a_size_has_the_unit_that_fits(size, text):
    assert format_size(size) == text


@settings(deadline=None)
@given(st.integers(1, 1023), st.sampled_from(["B", "KiB", "MiB", "GiB"]))
def test_a_whole_size_comes_back(number, unit):
    size = parse_size(f"{number}{unit}")
    assert format_size(size) == f"{number} {unit}"
    assert parse_size(format_size(size)) == size


@settings(deadline=None)
@given(st.integers(0, 10**15))
def test_any_size_is_said_to_half_a_percent(size):
    number, unit = format_size(size).split(" ")
    assert float(number) * parse_size(f"1{unit}") == pytest.approx(size, rel=0.00501)


@settings(deadline=None)
@given(st.text() | st.from_regex(r"[0-9]+(\.[0-9]+)?(ms|s|m|h|KiB|MiB)?"))
def test_any_text_is_a_finite_number_or_a_value_error(text):
    for parse in (parse_duration, parse_size):
        try:
            value = parse(text)
        except ValueError:
            continue
        assert value >= 0
        assert math.isfinite(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 µs"),
        (1.234e-6, "1.23 µs"),
        (99.94e-6, "99.9 µs"),
        (850e-6, "850 µs"),
        (999.6e-6, "1.00 ms"),
        (12.34e-3, "12.3 ms"),
        (0.9996, "1.00 s"),
        (2.0, "2.00 s"),
        (75.0, "75.0 s"),
        (1234.0, "1234 s"),
    ],
)
def test_a_time_has_three_digits_and_a_unit(seconds, text):
    assert format_seconds(seconds) == text
