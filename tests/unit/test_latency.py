"""Quantiles of histograms, and the histogram that the C half keeps."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyhost import _core
from pyhost.latency import summarize

seconds = st.floats(min_value=1e-7, max_value=100, allow_nan=False)
bounds = st.lists(seconds, unique=True).map(lambda values: [*sorted(values), inf])


def histogram(bounds, latencies):
    """(bound, how many latencies are in this bucket alone), as the C half counts them."""
    lower = [-inf, *bounds[:-1]]
    return [
        (upper, sum(low < latency <= upper for latency in latencies)) for low, upper in zip(lower, bounds, strict=True)
    ]


def summary_of(bounds, latencies):
    return summarize(histogram(bounds, latencies), sum(latencies), max(latencies, default=0.0))


@given(bounds=bounds, latencies=st.lists(seconds, min_size=1))
def test_a_quantile_is_at_least_the_true_one_and_at_most_its_buckets_end(bounds, latencies):
    summary = summary_of(bounds, latencies)
    ordered = sorted(latencies)
    for share, quantile in ((0.5, summary.p50), (0.9, summary.p90), (0.99, summary.p99)):
        true = ordered[ceil(share * len(ordered)) - 1]
        assert true <= quantile
        assert quantile <= min(next(bound for bound in bounds if true <= bound), max(latencies))


@given(bounds=bounds, latencies=st.lists(seconds))
def test_quantiles_rise_to_the_maximum(bounds, latencies):
    summary = summary_of(bounds, latencies)
    assert 0.0 <= summary.p50 <= summary.p90 <= summary.p99 <= summary.maximum


@given(bounds=bounds, latencies=st.lists(seconds))
def test_buckets_are_cumulative(bounds, latencies):
    summary = summary_of(bounds, latencies)
    assert [bound for bound, _ in summary.buckets] == bounds
    assert [count for _, count in summary.buckets] == [
        sum(latency <= bound for latency in latencies) for bound in bounds
    ]
    assert summary.count == len(latencies)
    assert summary.total == sum(latencies)


@pytest.mark.parametrize("buckets", [(), ((inf, 0),), ((0.001, 0), (inf, 0))])
def test_before_the_first_call_all_is_zero(buckets):
    summary = summarize(buckets, 0.0, 0.0)
    assert (summary.count, summary.total, summary.p50, summary.p90, summary.p99, summary.maximum) == (0, 0, 0, 0, 0, 0)


def test_a_call_beyond_the_last_bound_has_the_maximum_as_its_quantile():
    assert summarize(((67.0, 0), (inf, 3)), 300.0, 120.0).p50 == 120.0


def test_the_histogram_of_the_c_half_rises_by_a_quarter_at_most():
    router = _core.Router()
    router.publish("plugin", (), (("function", False, 1.0),))
    ((name, calls, errors, timeouts, rejected, total, maximum, cpu, buckets),) = router.statistics("plugin")
    assert (name, calls, errors, timeouts, rejected, total, maximum, cpu) == ("function", 0, 0, 0, 0, 0.0, 0.0, 0.0)
    ends = [bound for bound, _ in buckets]
    assert ends[0] == pytest.approx(1e-6)
    assert ends[-1] == inf
    assert all(1 < upper / lower <= 1.2500001 for lower, upper in pairwise(ends[:-1]))
    assert ends[-2] > 30, "what a call takes within the default deadline is known"
