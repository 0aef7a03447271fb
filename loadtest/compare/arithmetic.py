"""Makes quantiles, medians and ratios out of measurements. Knows no proxies and no processes."""

from collections.abc import Collection, Mapping
from statistics import quantiles
from typing import NamedTuple

import msgspec

Turns = Mapping[int, float]  # a value for each turn, by its number


class Histogram(msgspec.Struct):
    """Durations in ns: pairs of a bucket's upper end and how many it holds, in order."""

    max: int
    counts: list[tuple[int, int]]


class Summary(NamedTuple):
    """What the turns came to: half of them lie between low and high, the quartiles."""

    median: float
    low: float
    high: float


def quantile(histogram: Histogram, share: float) -> float:
    """The duration that this share of all did not exceed; 0 when there is none."""
    rank = share * sum(count for _, count in histogram.counts)
    seen = 0
    for upper, count in histogram.counts:
        seen += count
        if seen >= rank:
            return min(upper, histogram.max)
    return histogram.max


def summary(values: Collection[float]) -> Summary:
    if len(values) == 1:
        return Summary(*values, *values, *values)
    low, middle, high = quantiles(values, method="inclusive")
    return Summary(middle, low, high)


def ratios(ours: Turns, theirs: Turns) -> list[float]:
    """Turn by turn, so that what slowed a whole turn down does not count; turns without a base do not."""
    return [our / theirs[number] for number, our in sorted(ours.items()) if theirs.get(number, 0) > 0]


def two_digits(value: float) -> float:
    """Rounded so that only two digits are left: 31,415 is 31,000."""
    return float(f"{value:.1e}")
