"""What crosses between interpreters, and how it arrives: equal, of the same type, never shared."""

from __future__ import annotations

import array
import collections
import ctypes
import datetime
import decimal
import enum
import fractions
import http
import ipaddress
import math
import pathlib
import pickle
import re
import socket
import struct
import threading
import time
import urllib.robotparser
import uuid
import zoneinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plugins import COMMON

import pyhost
from pyhost import _core
from pyhost.errors import ArgumentEncodingError, ResultEncodingError

DEPTH = 500

PLUGIN = (
    COMMON
    + """
import threading

@pyhost.export
def make(expression):
    return eval(expression)

@pyhost.export
def keep(**keywords):
    return keywords

class Unpicklable:
    def __reduce__(self):
        raise ZeroDivisionError("not today")

class Local:
    pass

def nest(kind, depth, inner):
    for _ in range(depth):
        inner = kind([inner])
    return inner

def cycle():
    items = []
    items.append(items)
    return items

def generate():
    yield 1

async def coroutine():
    pass
"""
)


@pytest.fixture(scope="module")
def host(module_maker):
    return module_maker.start(codec=PLUGIN)


@pytest.fixture(scope="module")
def through_plugin(host):
    identity = host.function("codec.identity")
    return lambda value: identity(value)


@pytest.fixture(scope="module", params=["copied", "through a plugin"])
def cross(request, through_plugin):
    """Both ways of a value: encoded and decoded in one interpreter, and to a plugin and back."""
    return _core.copy if request.param == "copied" else through_plugin


def form(value):
    """A value as something that compares its types, signs and order too, and makes NaN equal to itself."""
    match value:
        case float():
            content = struct.pack("<d", value)
        case list() | tuple() | collections.deque():
            content = [form(item) for item in value]
        case dict():
            content = [(form(key), form(item)) for key, item in value.items()]
        case set() | frozenset():
            content = sorted(repr(form(item)) for item in value)
        case memoryview():
            content = (value.format, value.shape, value.tobytes())
        case datetime.datetime() | datetime.time():
            content = (value.replace(tzinfo=None).isoformat(), value.fold, form(value.tzinfo))
        case datetime.timezone():
            content = value.__getinitargs__()
        case zoneinfo.ZoneInfo():
            content = value.key
        case BaseException():
            content = (value.args, getattr(value, "__notes__", None))
        case _:
            content = value
    return type(value), content


# Values by their kinds.
texts = st.text(st.characters(codec=None), max_size=50)
zones = st.one_of(
    st.none(),
    st.just(datetime.UTC),
    st.builds(datetime.timezone, st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23))),
    st.builds(datetime.timezone, st.just(datetime.timedelta(minutes=5, microseconds=7)), texts),
    st.sampled_from(["Europe/Paris", "Asia/Kathmandu", "UTC"]).map(zoneinfo.ZoneInfo),
)
hashable_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.sampled_from([0, -1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 3**500]),
    st.floats(),
    st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324]),
    texts,
    st.binary(max_size=50),
    st.dates(),
    st.timedeltas(),
    st.times().flatmap(lambda value: st.builds(value.replace, tzinfo=zones, fold=st.sampled_from([0, 1]))),
    st.datetimes().flatmap(lambda value: st.builds(value.replace, tzinfo=zones, fold=st.sampled_from([0, 1]))),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.complex_numbers(allow_nan=False),
    st.uuids(),
    st.ip_addresses(),
    st.sampled_from(
        [*list(http.HTTPStatus)[:5], socket.AF_INET, re.IGNORECASE | re.DOTALL, ..., NotImplemented, int, len]
    ),
)
views = st.builds(
    lambda code, items: memoryview(array.array(code, items)),
    st.sampled_from("bBhHiIlLqQfd"),
    st.lists(st.integers(0, 100), min_size=1, max_size=20),
)
scalars = st.one_of(
    hashable_scalars,
    st.binary(max_size=50).map(bytearray),
    st.binary(min_size=1, max_size=50).map(memoryview),
    views,
    st.builds(slice, st.integers(), st.none() | st.integers()),
)
hashables = st.recursive(
    hashable_scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple),
        st.frozensets(inner, max_size=4),
        inner.map(lambda item: urllib.robotparser.RequestRate(item, 1)),
    ),
    max_leaves=6,
)
any_hashable = st.deferred(lambda: hashables)
values = st.recursive(
    scalars | any_hashable,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.sets(any_hashable, max_size=5),
        st.dictionaries(any_hashable, inner, max_size=5),
        st.dictionaries(any_hashable, any_hashable, max_size=5).map(collections.OrderedDict),
        st.lists(any_hashable, max_size=5).map(collections.deque),
    ),
    max_leaves=30,
)


class TestRoundTrips:
    @given(values)
    @settings(deadline=None, max_examples=200)
    def test_any_value_arrives_as_it_was_sent(self, value):
        assert form(_core.copy(value)) == form(value)

    @given(values)
    @settings(deadline=None, max_examples=100)
    def test_any_value_comes_back_from_a_plugin_as_it_was_sent(self, through_plugin, value):
        assert form(through_plugin(value)) == form(value)

    @pytest.mark.parametrize(
        "value",
        [
            pathlib.PurePosixPath("/a/b"),
            ipaddress.ip_network("10.0.0.0/8"),
            fractions.Fraction(1, 3),
            decimal.Decimal("NaN"),
            uuid.UUID(int=5),
            re.compile("a+", re.IGNORECASE),
            time.struct_time((2025, 1, 2, 3, 4, 5, 6, 7, 0)),
            urllib.robotparser.RequestRate(1, 60),
            collections.Counter("abracadabra"),
            collections.defaultdict(list, {"a": [1]}),
            collections.ChainMap({"a": 1}, {"b": 2}),
            enum.Flag,
            range(2, 9, 3),
            array.array("d", [1.5, -0.0]),
            ValueError("text", 5),
            datetime.datetime.max,
            datetime.date.min,
            datetime.timedelta.min,
            datetime.timedelta.max,
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_what_the_standard_library_has(self, cross, value):
        arrived = cross(value)
        assert type(arrived) is type(value)
        assert str(arrived) == str(value)

    def test_bool_and_int_stay_apart_in_every_container(self, cross):
        value = [True, 1, (False, 0), {1: True}, {0: False}, {True}, frozenset([0])]
        assert form(cross(value)) == form(value)

    def test_the_order_of_a_dict_is_kept(self, cross):
        value = dict.fromkeys(["b", "a", 3, None, (1, 2), "c"])
        assert list(cross(value)) == list(value)

    def test_lone_surrogates_pass(self, cross):
        assert cross({"\udc80": ["a\ud800b"]}) == {"\udc80": ["a\ud800b"]}

    @pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 70_000])
    def test_any_length(self, cross, size):
        for value in ("x" * size, "é" * size, b"x" * size, bytearray(size), [None] * size, tuple(range(size))):
            assert form(cross(value)) == form(value)

    @pytest.mark.parametrize("bits", [7, 8, 31, 32, 62, 63, 64, 65, 127, 128, 4096])
    def test_integers_at_the_edges_of_every_size(self, cross, bits):
        edges = [sign * 2**bits + step for sign in (1, -1) for step in (-1, 0, 1)]
        assert cross(edges) == edges

    def test_a_large_buffer(self, through_plugin):
        data = bytes(range(256)) * (32 * 1024 * 4)
        arrived = through_plugin(memoryview(data))
        assert arrived.nbytes == 32 * 1024 * 1024
        assert arrived == data

    def test_shared_references_arrive_as_equal_copies(self, cross):
        shared = ["shared"]
        first, second = cross([shared, shared])
        assert first == second == shared
        assert first is not second

    def test_nothing_is_shared_with_the_sender(self, through_plugin):
        sent = {"list": [1], "bytes": bytearray(b"a")}
        arrived = through_plugin(sent)
        arrived["list"].append(2)
        arrived["bytes"].extend(b"b")
        assert sent == {"list": [1], "bytes": bytearray(b"a")}

    def test_a_pickled_object_may_contain_itself(self, cross):
        ring = collections.deque()
        ring.append(ring)
        arrived = cross(ring)
        assert arrived[0] is arrived

    @pytest.mark.parametrize("kind", ["utc", "timezone(timedelta(hours=-5))", "timezone(timedelta(0), 'Zulu')"])
    def test_time_zones_keep_offset_and_name(self, cross, kind):
        zone = eval(kind, {**vars(datetime), "utc": datetime.UTC})
        arrived = cross(datetime.datetime(2025, 7, 1, tzinfo=zone))
        assert arrived.tzinfo == zone
        assert arrived.tzname() == zone.tzname(None)
        assert kind != "utc" or arrived.tzinfo is datetime.UTC

    def test_the_second_of_two_equal_hours_stays_the_second(self, cross):
        paris = zoneinfo.ZoneInfo("Europe/Paris")
        second = datetime.datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=paris)
        assert cross(second).utcoffset() == second.utcoffset() == datetime.timedelta(hours=1)


class TestMemoryviews:
    def test_arrives_read_only(self, cross):
        arrived = cross(memoryview(bytearray(b"abc")))
        assert type(arrived) is memoryview
        assert arrived.readonly
        assert arrived == b"abc"

    @pytest.mark.parametrize("code", "bBhHiIlLqQnNfdc?")
    def test_every_native_format(self, cross, code):
        view = memoryview(bytes(range(16))).cast(code)
        arrived = cross(view)
        assert (arrived.format, arrived.shape, arrived.tobytes()) == (code, view.shape, view.tobytes())

    @pytest.mark.parametrize("shape", [(24,), (2, 12), (2, 3, 4), (24, 1), (1, 1, 1, 24)])
    @pytest.mark.parametrize("code", ["B", "h"])
    def test_every_shape(self, cross, shape, code):
        data = array.array(code, range(24)).tobytes()
        arrived = cross(memoryview(data).cast(code, shape))
        assert (arrived.shape, arrived.format, arrived.c_contiguous) == (shape, code, True)
        assert arrived.tobytes() == data

    def test_without_dimensions(self, cross):
        arrived = cross(memoryview(struct.pack("d", 1.5)).cast("d", ()))
        assert (arrived.shape, arrived[()]) == ((), 1.5)

    @pytest.mark.parametrize("part", [slice(None, None, 2), slice(None, None, -1), slice(5, 1, -2), slice(2, 4)])
    def test_a_slice_arrives_as_what_it_shows(self, cross, part):
        view = memoryview(array.array("i", range(10)))[part]
        arrived = cross(view)
        assert arrived.tolist() == view.tolist()
        assert arrived.c_contiguous

    @pytest.mark.parametrize("code", ["B", "i", "d"])
    def test_an_empty_one(self, cross, code):
        arrived = cross(memoryview(array.array(code)))
        assert (arrived.format, arrived.shape, arrived.tobytes()) == (code, (0,), b"")

    def test_one_of_ctypes(self, cross):
        numbers = (ctypes.c_int32 * 3)(1, -2, 3)
        arrived = cross(memoryview(numbers))
        assert arrived.tolist() == [1, -2, 3]

    def test_one_that_was_released_is_refused(self):
        view = memoryview(b"abc")
        view.release()
        with pytest.raises(ValueError, match="released memoryview"):
            _core.copy(view)

    def test_many_in_one_value_keep_their_places(self, cross):
        value = {index: [memoryview(bytes([index]) * index)] for index in range(1, 100)}
        assert {key: item.tobytes() for key, [item] in cross(value).items()} == {
            index: bytes([index]) * index for index in range(1, 100)
        }

    def test_a_pickle_buffer_arrives_as_its_bytes(self, cross):
        assert bytes(cross(pickle.PickleBuffer(bytearray(b"outside the pickle")))) == b"outside the pickle"

    def test_outlives_the_host_that_it_came_from(self, maker):
        with maker.start(plugin=COMMON) as host:
            arrived = host.call("plugin.identity", memoryview(b"still there"))
        assert arrived == b"still there"


def nested(kind, depth, inner=None):
    for _ in range(depth):
        inner = kind([inner])
    return inner


KINDS = {"list": list, "tuple": tuple, "frozenset": frozenset, "dict": lambda items: {"key": items[0]}}
KINDS["mixed"] = lambda items: [(items[0],)][0]
LEAVES = {
    "None": None,
    "big int": 2**100,
    "date": datetime.date(2025, 1, 1),
    "datetime": datetime.datetime(2025, 1, 1),
    "datetime with zone": datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1), "here")),
    "time": datetime.time(1),
    "timedelta": datetime.timedelta(1),
    "timezone": datetime.timezone(datetime.timedelta(hours=1)),
    "memoryview": memoryview(b"abc").cast("c"),
    "pickled": decimal.Decimal(1),
}


class TestDepth:
    @pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
    def test_the_deepest_value_that_crosses(self, cross, kind):
        arrived = cross(nested(kind, DEPTH))
        depth = 0
        while arrived is not None:
            arrived = next(iter(arrived.values() if isinstance(arrived, dict) else arrived))
            depth += 1
        assert depth == DEPTH

    @pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
    def test_one_level_more_is_refused(self, kind, through_plugin):
        with pytest.raises(ValueError, match=f"^nested deeper than {DEPTH} levels, or contains itself$"):
            _core.copy(nested(kind, DEPTH + 1))
        with pytest.raises(ArgumentEncodingError, match=f"nested deeper than {DEPTH} levels, or contains itself"):
            through_plugin(nested(kind, DEPTH + 1))

    def test_a_result_that_is_too_deep_is_refused(self, host):
        assert form(host.call("codec.make", f"nest(list, {DEPTH}, 0)")) == form(nested(list, DEPTH, 0))
        with pytest.raises(ResultEncodingError, match=f"nested deeper than {DEPTH} levels"):
            host.call("codec.make", f"nest(list, {DEPTH + 1}, 0)")

    @pytest.mark.parametrize("leaf", LEAVES.values(), ids=LEAVES)
    @pytest.mark.parametrize("depth", [DEPTH - 2, DEPTH - 1, DEPTH])
    def test_what_is_encoded_can_be_decoded(self, depth, leaf):
        try:
            arrived = _core.copy(nested(list, depth, leaf))
        except ValueError as error:
            assert "nested deeper than" in str(error), "it was encoded, and could not be decoded"  # noqa: PT017
        else:
            for _ in range(depth):
                (arrived,) = arrived
            assert form(arrived) == form(leaf)

    def test_what_contains_itself_is_refused(self, host):
        items = []
        items.append(items)
        table = {}
        table["table"] = (table,)
        for value in (items, table):
            with pytest.raises(ArgumentEncodingError, match="contains itself"):
                host.call("codec.identity", value)
        with pytest.raises(ResultEncodingError, match="contains itself"):
            host.call("codec.make", "cycle()")

    def test_many_levels_beside_each_other_are_not_deep(self, cross):
        value = [nested(list, 10) for _ in range(1000)]
        assert cross(value) == value


class Local:
    """A class that no plugin can import."""


def generate():
    yield 1


class TestRefused:
    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (lambda: 0, "PicklingError: Can't pickle"),
            (generate(), "TypeError: cannot pickle 'generator' object"),
            (threading.Lock(), "TypeError: cannot pickle '_thread.lock' object"),
            (math, "TypeError: cannot pickle 'module' object"),
        ],
        ids=["lambda", "generator", "lock", "module"],
    )
    def test_an_argument_that_cannot_cross_is_named(self, host, value, message):
        for where, arguments, keywords in (
            ("argument 1", [value], {}),
            ("argument 3", [1, 2, value], {}),
            ("argument 2", [1, [{"deep": (value,)}]], {}),
            ("argument x", [1], {"x": value}),
            ("argument y", [1], {"x": 1, "y": value, "z": 2}),
        ):
            with pytest.raises(ArgumentEncodingError, match=f"^codec.identity was not called: {where}: ") as caught:
                host.call("codec.identity", *arguments, **keywords)
            assert message in str(caught.value)
            assert isinstance(caught.value.__cause__, (TypeError, pickle.PicklingError))

    def test_a_socket_is_refused(self, host):
        here, there = socket.socketpair()
        with here, there, pytest.raises(ArgumentEncodingError, match="cannot pickle 'socket' object"):
            host.call("codec.identity", here)

    @pytest.mark.parametrize(
        ("expression", "message"),
        [
            ("lambda: 0", "Can't pickle"),
            ("generate()", "TypeError: cannot pickle 'generator' object"),
            ("threading.Lock()", "TypeError: cannot pickle '_thread.lock' object"),
            ("threading", "TypeError: cannot pickle 'module' object"),
            ("Unpicklable()", "ZeroDivisionError: not today"),
            ("[1, {2: Unpicklable()}]", "ZeroDivisionError: not today"),
            ("memoryview(b'').release() or nest(list, 600, 0)", "ValueError: nested deeper"),
        ],
    )
    def test_a_result_that_cannot_cross(self, host, expression, message):
        with pytest.raises(
            ResultEncodingError, match="^the result of codec.make cannot cross to another interpreter: "
        ) as caught:
            host.call("codec.make", expression)
        assert message in str(caught.value)
        assert host.call("codec.identity", 5) == 5

    def test_a_class_that_the_plugin_cannot_import(self, host):
        with pytest.raises(ArgumentEncodingError, match="ModuleNotFoundError: No module named"):
            host.call("codec.identity", Local())

    def test_a_class_that_only_the_plugin_can_import(self, host):
        with pytest.raises(ResultEncodingError, match="ModuleNotFoundError: No module named 'codec'"):
            host.call("codec.make", "Local()")

    def test_a_reduction_that_raises_is_the_cause(self, host):
        class Stubborn:
            def __reduce__(self):
                raise ZeroDivisionError("not today")

        with pytest.raises(ArgumentEncodingError, match="argument 1: ZeroDivisionError: not today") as caught:
            host.call("codec.identity", Stubborn())
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    def test_a_reduction_whose_exception_has_no_text(self, host):
        class Mute(Exception):
            def __str__(self):
                raise KeyError("no text")

        class Stubborn:
            def __reduce__(self):
                raise Mute

        with pytest.raises(ArgumentEncodingError, match="Mute") as caught:
            host.call("codec.identity", Stubborn())
        assert isinstance(caught.value.__cause__, Mute)

    def test_an_interrupt_while_an_argument_is_encoded_is_no_encoding_error(self, host):
        class Interrupted:
            def __reduce__(self):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            host.call("codec.identity", Interrupted())


class TestChangesUnderWay:
    @pytest.mark.parametrize(
        ("make", "change"),
        [
            (lambda item: [item, 1], lambda value: value.append(2)),
            (lambda item: [item, 1, 2], lambda value: value.clear()),
            (lambda item: [1, item], lambda value: value.pop()),
            (lambda item: {0: item, 1: 1}, lambda value: value.update({2: 2})),
            (lambda item: {0: item, 1: 1}, lambda value: value.clear()),
            (lambda item: {0: 0, 1: item}, lambda value: value.pop(0)),
        ],
        ids=["list grows", "list is cleared", "list shrinks", "dict grows", "dict is cleared", "dict shrinks"],
    )
    def test_a_container_that_changes_while_it_is_encoded_is_refused(self, make, change):
        class Changing:
            def __reduce__(self):
                change(container)
                return int, (5,)

        container = make(Changing())
        with pytest.raises(RuntimeError, match="changed size while it was encoded"):
            _core.copy(container)

    def test_a_set_that_changes_while_it_is_encoded_goes_as_it_was(self):
        class Changing:
            def __reduce__(self):
                container.clear()
                return int, (5,)

        container = {Changing()}
        assert _core.copy(container) == {5}

    def test_an_item_that_is_replaced_goes_as_it_is_then(self):
        class Changing:
            def __reduce__(self):
                container[1] = ["new"]
                return int, (5,)

        container = [Changing(), ["old"]]
        assert _core.copy(container) == [5, ["new"]]

    def test_keyword_arguments_that_change_while_they_are_encoded(self, run_program):
        # In a process of its own: what is read here may be memory that was freed.
        outcome = run_program(
            """
            class Changing:
                def __reduce__(self):
                    keywords.clear()
                    [bytearray(200) for _ in range(1000)]
                    return int, (5,)

            host = maker.start(plugin=PLUGIN)
            keywords = {"first": Changing(), "second": ["text" * 10, 7]}
            print(host.function("plugin.keep").call((), keywords) == {"first": 5, "second": ["text" * 10, 7]})
            maker.close()
        """,
            PLUGIN=PLUGIN,
        )
        assert (outcome.code, outcome.output, outcome.errors) == (0, "True\n", "")


def test_errors_of_pyhost_cross_like_other_values(cross):
    for error in (pyhost.ConfigurationError("said"), pyhost.errors.build("FULL", "shop.sell", None)):
        arrived = cross(error)
        assert type(arrived) is type(error)
        assert str(arrived) == str(error)
