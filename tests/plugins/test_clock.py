import asyncio
from datetime import datetime, timedelta

import pytest


@pytest.fixture
def clock(load_plugin):
    return load_plugin("clock")


@pytest.mark.parametrize(("zone", "hours"), [("UTC", 0), ("Etc/GMT+5", -5), ("Asia/Tokyo", 9)])
def test_now_is_the_time_in_that_zone(clock, zone, hours):
    before = datetime.now().astimezone()
    told = datetime.fromisoformat(asyncio.run(clock.now(zone)))
    after = datetime.now().astimezone()
    assert before <= told <= after
    assert told.utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize("zone", ["Middle/Earth", "Europe", "", "../etc/passwd", "/etc/passwd", "UTC\0"])
def test_now_refuses_a_zone_that_is_not_there(clock, zone):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is compared below)
        asyncio.run(clock.now(zone))
    assert str(caught.value) == f"there is no time zone {zone!r}; allowed: IANA names such as Europe/Paris"


def test_sleep_tells_how_long_it_took(clock):
    async def watched():
        loop = asyncio.get_running_loop()
        start = loop.time()
        took = await clock.sleep(0.01)
        return took, loop.time() - start

    took, watched_time = asyncio.run(watched())
    assert 0 < took <= watched_time


def test_ticks_tells_when_each_came(clock):
    times = asyncio.run(clock.ticks(5, 0.001))
    assert len(times) == 5
    assert times == sorted(times)
    assert times[0] > 0


def test_in_flight_counts_the_calls_that_wait_until_they_end_or_are_cancelled(clock):
    async def scenario():
        counts = [await clock.in_flight()]
        quick = [asyncio.create_task(clock.ticks(2, 0.0)) for _ in range(10)]
        slow = [asyncio.create_task(clock.sleep(3600)) for _ in range(100)]
        await asyncio.sleep(0)  # each task runs until it waits
        counts.append(await clock.in_flight())
        await asyncio.gather(*quick)
        counts.append(await clock.in_flight())
        for task in slow:
            task.cancel()
        outcomes = await asyncio.gather(*slow, return_exceptions=True)
        counts.append(await clock.in_flight())
        return counts, {type(outcome) for outcome in outcomes}

    assert asyncio.run(scenario()) == ([0, 110, 100, 0], {asyncio.CancelledError})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda clock: clock.sleep(-1), "seconds is -1; allowed: 0.0 to 3600.0"),
        (lambda clock: clock.sleep(float("nan")), "seconds is nan; allowed: 0.0 to 3600.0"),
        (lambda clock: clock.ticks(0), "count is 0; allowed: 1 to 10000"),
        (lambda clock: clock.ticks(2, 4000), "interval is 4000; allowed: 0.0 to 3600.0"),
    ],
)
def test_arguments_out_of_range_are_refused(clock, call, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is compared below)
        asyncio.run(call(clock))
    assert str(caught.value) == message
