"""Samples, rates and sums: what the monitor makes of the host's figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyhost.history import LENGTH, History, PluginSample, ProcessSample, Rates, Sample, plugin_sample, rates, total
from pyhost.status import (
    FunctionDescription,
    FunctionStatus,
    InterpreterStatus,
    LatencySummary,
    MemoryAccount,
    PluginStatus,
)

NO_CALLS = LatencySummary(0, 0.0, 0.0, 0.0, 0.0, 0.0, ())


def sample(time: float, process_cpu: float = 0.0, **plugins: PluginSample) -> Sample:
    return Sample(time, ProcessSample(0, process_cpu, 1, 3), plugins)


def counted(cpu: float, calls: int, errors: int = 0) -> PluginSample:
    return PluginSample(None, cpu, calls, errors)


def test_rates_are_increases_per_second():
    before, after = sample(10.0, shop=counted(1.0, 100, 2)), sample(12.0, shop=counted(4.0, 150, 3))
    assert rates(before, after, "shop") == Rates(cpu_percent=150.0, calls_per_second=25.0, errors_per_second=0.5)


def test_counters_that_have_fallen_started_again():
    before, after = sample(10.0, shop=counted(100.0, 5000, 9)), sample(12.0, shop=counted(0.5, 10, 10))
    assert rates(before, after, "shop") == Rates(cpu_percent=0.0, calls_per_second=0.0, errors_per_second=0.5)


def test_a_plugin_that_one_sample_does_not_have_has_no_rates():
    without, having = sample(10.0), sample(11.0, shop=counted(1.0, 1))
    assert rates(without, having, "shop") is None
    assert rates(having, without, "shop") is None


COUNTED = st.builds(counted, st.floats(0, 1e9), st.integers(0, 10**12), st.integers(0, 10**12))


@given(COUNTED, COUNTED, st.floats(0, 1e6), st.floats(0, 1e6))
def test_rates_are_never_negative(first, last, start, seconds):
    found = rates(sample(start, shop=first), sample(start + seconds, shop=last), "shop")
    assert found is not None
    assert min(found.cpu_percent, found.calls_per_second, found.errors_per_second) >= 0


def test_a_history_is_bounded_and_has_the_rates_of_its_end():
    history = History()
    assert (history.rates("shop"), history.cpu_percent()) == (None, None)
    for second in range(LENGTH + 5):
        before = history
        history = history.with_sample(sample(float(second), second * second / 4, shop=counted(0.0, second * second)))
        assert before.samples[-1:] != history.samples[-1:]
    assert [item.time for item in history.samples] == [float(second) for second in range(5, LENGTH + 5)]
    last = LENGTH + 4
    assert history.rates("shop") == Rates(0.0, float(2 * last - 1), 0.0)
    assert history.cpu_percent() == pytest.approx(100 * (2 * last - 1) / 4)


def test_one_sample_is_no_rate():
    history = History().with_sample(sample(1.0, 5.0, shop=counted(1.0, 1)))
    assert (history.rates("shop"), history.cpu_percent()) == (None, None)


def test_the_history_of_a_plugin_has_the_samples_that_have_it():
    early, late = counted(0.0, 10), counted(0.0, 30)
    history = History(
        (sample(0.0), sample(1.0, shop=early), sample(2.0, shop=late), sample(3.0), sample(4.0, shop=early))
    )
    assert history.of_plugin("shop") == [
        (1.0, early, None),
        (2.0, late, Rates(0.0, 20.0, 0.0)),
        (4.0, early, None),
    ]
    assert history.of_plugin("unknown") == []


def plugin(*memory: MemoryAccount | None) -> PluginStatus:
    functions = tuple(
        FunctionStatus(FunctionDescription(name, "", False, False, (), "", {}), 10, 2, 5, 7, NO_CALLS)
        for name in ("first", "second")
    )
    interpreters = tuple(InterpreterStatus(index, "running", 0, 0, 0, item) for index, item in enumerate(memory))
    return PluginStatus("shop", "1", "running", "", "", "shop.py", "", interpreters, 4.5, 0, functions)


LIMITED = MemoryAccount(10, 20, 100, 3, 4, 5)


def test_the_sum_is_over_the_interpreters_that_are_counted():
    assert total(plugin()) is None
    assert total(plugin(None)) is None
    assert total(plugin(LIMITED, None, LIMITED)) == MemoryAccount(20, 40, 200, 6, 8, 10)
    assert total(plugin(LIMITED, MemoryAccount(1, 2, None, 3, 0, 0))) == MemoryAccount(11, 22, None, 6, 4, 5)


def test_a_sample_of_a_plugin_has_its_sums():
    assert plugin_sample(plugin(LIMITED)) == PluginSample(LIMITED, 4.5, 20, 4)
