"""Events at the limits of memory: which, when, and what they say."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyhost.monitor import LimitEvent, LimitState, NearLimit, OverLimit, Replaced, limit_events
from pyhost.status import InterpreterStatus, MemoryAccount, PluginStatus

LIMIT = 1000


def plugin(accounts: dict[int, MemoryAccount | None], replaced: int = 0, name: str = "shop") -> PluginStatus:
    interpreters = tuple(InterpreterStatus(identity, "running", 0, 0, 0, item) for identity, item in accounts.items())
    return PluginStatus(name, "1", "running", "", "", "shop.py", "", interpreters, replaced=replaced)


def account(
    current: int, *, peak: int = 0, limit: int | None = LIMIT, refused: int = 0, raised: int = 0
) -> MemoryAccount:
    return MemoryAccount(current, peak or current, limit, 1, refused, raised)


def events_of(*statuses: list[PluginStatus]) -> list[list[LimitEvent]]:
    """The events at each of several times."""
    state, found = LimitState(), []
    for plugins in statuses:
        state, events = limit_events(state, plugins)
        found.append(events)
    return found


def test_far_from_the_limit_nothing_happens():
    assert events_of([plugin({1: account(799)})], [plugin({1: account(0)})]) == [[], []]


def test_without_an_account_or_a_limit_nothing_happens():
    quiet = [plugin({1: None, 2: account(10**12, limit=None, raised=0)})]
    assert events_of(quiet, quiet) == [[], []]


def test_near_is_said_once_until_it_is_well_below_again():
    levels = [799, 800, 900, 800, 700, 799, 800, 699, 799, 800]
    found = events_of(*([plugin({1: account(level)})] for level in levels))
    near = NearLimit("shop", 1, 800, LIMIT)
    assert found == [[], [near], [], [], [], [], [], [], [], [near]]


def test_each_interpreter_is_near_by_itself():
    found = events_of(
        [plugin({1: account(800), 2: account(10)}), plugin({3: account(900)}, name="other")],
        [plugin({1: account(800), 2: account(999)}), plugin({3: account(900)}, name="other")],
    )
    assert found == [
        [NearLimit("shop", 1, 800, LIMIT), NearLimit("other", 3, 900, LIMIT)],
        [NearLimit("shop", 2, 999, LIMIT)],
    ]


def test_over_is_said_whenever_more_was_raised():
    found = events_of(
        [plugin({1: account(10, raised=0)})],
        [plugin({1: account(10, peak=1010, raised=2)})],
        [plugin({1: account(10, peak=1010, raised=2)})],
        [plugin({1: account(10, peak=1020, raised=3), 2: account(5, peak=1005, raised=1)})],
    )
    assert found == [
        [],
        [OverLimit("shop", 1, 1010, LIMIT, times=2)],
        [],
        [OverLimit("shop", 1, 1020, LIMIT, times=1), OverLimit("shop", 2, 1005, LIMIT, times=1)],
    ]


def test_refused_allocations_count_as_much():
    found = events_of([plugin({1: account(10, refused=1, raised=1)})], [plugin({1: account(10, refused=3, raised=2)})])
    assert [event.times for events in found for event in events] == [2, 3]


def test_a_replacement_names_the_interpreters_that_went():
    found = events_of(
        [plugin({1: account(10), 2: account(700, peak=990), 3: account(5)})],
        [plugin({1: account(10), 4: account(5), 5: account(5)}, replaced=2)],
        [plugin({1: account(10), 4: account(5), 5: account(5)}, replaced=2)],
    )
    assert found == [[], [Replaced("shop", 2, (2, 3), 990, LIMIT)], []]


def test_a_replacement_of_an_interpreter_that_no_sample_saw():
    assert events_of([plugin({2: account(10)}, replaced=1)]) == [[Replaced("shop", 1, (), 0, None)]]


def test_a_reloaded_plugin_starts_anew():
    found = events_of(
        [plugin({1: account(900, raised=5)}, replaced=3)],
        [plugin({7: account(10, raised=0)}, replaced=0)],
        [plugin({7: account(900, raised=0)}, replaced=0)],
    )
    assert found[1:] == [[], [NearLimit("shop", 7, 900, LIMIT)]]


@given(st.lists(st.integers(0, 1200), max_size=30))
def test_between_two_warnings_the_memory_was_well_below(levels):
    found = events_of(*([plugin({1: account(level)})] for level in levels))
    warned = [index for index, events in enumerate(found) if events]
    assert all(levels[index] >= 800 for index in warned)
    for earlier, later in itertools.pairwise(warned):
        assert min(levels[earlier:later]) < 700
    assert bool(warned) == (max(levels, default=0) >= 800)


MIB = 1 << 20


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            NearLimit("shop", 7, 53 * MIB, 64 * MIB),
            "plugin shop: interpreter 7 holds 53 MiB, 83 % of its memory limit of 64 MiB; at the limit its calls get MemoryError",
        ),
        (
            OverLimit("shop", 7, 65 * MIB, 64 * MIB, 3),
            "plugin shop: interpreter 7 wanted more than its memory limit of 64 MiB (it held up to 65 MiB); its code got MemoryError (3 ×)",
        ),
        (
            Replaced("shop", 2, (7, 9), 79 * MIB, 64 * MIB),
            "plugin shop: interpreters replaced past the hard memory limit: 2 (last seen: 7, 9, with up to 79 MiB; limit 64 MiB)",
        ),
        (Replaced("shop", 1, (), 0, None), "plugin shop: interpreters replaced past the hard memory limit: 1"),
    ],
)
def test_an_event_says_who_and_how_much(event, text):
    assert str(event) == text
