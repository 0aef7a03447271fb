"""Makes quantiles, medians and ratios out of measurements. Knows no proxies and no processes."""

from collections.abc import Collection, Iterable, Mapping
from statistics import median
from typing import NamedTuple

import msgspec

Rounds = Mapping[int, float]  # a value for each round, by its number


class Histogram(msgspec.Struct):
    """Durations in ns: pairs of a bucket's upper end and how many it holds, in order."""

    max: int
    counts: list[tuple[int, int]]


class Summary(NamedTuple):
    """What the rounds came to."""

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
    return Summary(median(values), min(values), max(values))


def ratios(ours: Rounds, theirs: Rounds) -> list[float]:
    """Round by round, so that what slowed a whole round down does not count; rounds without a base do not."""
    return [our / theirs[number] for number, our in sorted(ours.items()) if theirs.get(number, 0) > 0]


def best(of: Iterable[Rounds], lower_is_better: bool) -> dict[int, float]:
    """The best of several in each round."""
    found: dict[int, float] = {}
    for rounds in of:
        for number, value in rounds.items():
            known = found.get(number, value)
            found[number] = min(known, value) if lower_is_better else max(known, value)
    return found


def two_digits(value: float) -> float:
    """Rounded so that only two digits are left: 31,415 is 31,000."""
    return float(f"{value:.1e}")
