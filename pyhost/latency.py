"""Latencies from the C half's histograms: ``host/stats.c`` counts, here they become figures."""

from collections.abc import Sequence
from math import inf

from pyhost.status import LatencySummary


def summarize(buckets: Sequence[tuple[float, int]], total: float, maximum: float) -> LatencySummary:
    """Quantiles of a histogram.

    ``buckets`` are (upper bound in seconds, calls in this bucket alone), rising, the last bound infinite; ``total`` and
    ``maximum`` in seconds. A quantile is the upper bound of the bucket that holds it, at most the maximum.
    """
    count = sum(calls for _, calls in buckets)
    if count == 0:
        return LatencySummary(0, total, p50=0.0, p90=0.0, p99=0.0, maximum=maximum, buckets=tuple(buckets))
    cumulative: list[tuple[float, int]] = []
    seen = 0
    for bound, calls in buckets:
        seen += calls
        cumulative.append((bound, seen))

    def quantile(share: float) -> float:
        bound = next((bound for bound, at_most in cumulative if at_most >= share * count), inf)
        return min(bound, maximum)

    return LatencySummary(
        count=count,
        total=total,
        p50=quantile(0.5),
        p90=quantile(0.9),
        p99=quantile(0.99),
        maximum=maximum,
        buckets=tuple(cumulative),
    )
