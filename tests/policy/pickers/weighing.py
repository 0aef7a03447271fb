"""Endpoints of unequal weight, and what share of the connections is theirs by right."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import cycle, islice

from proxy.policy.endpoint import Endpoint
from tests.support.fleet import fleet


def weigh(endpoints: Sequence[Endpoint], weights: Sequence[float]) -> None:
    """Give each its weight: 1.0 on average, whatever `weights` add up to."""
    for endpoint, weight in zip(endpoints, weights, strict=True):
        endpoint.weight = weight * len(weights) / sum(weights)


def weighted(*weights: float, count: int | None = None) -> list[Endpoint]:
    """One endpoint for each of `weights`, or `count` that have these in turn."""
    endpoints = fleet(count or len(weights))
    weigh(endpoints, list(islice(cycle(weights), len(endpoints))))
    return endpoints


def shares(endpoints: Sequence[Endpoint], total: float = 1.0) -> list[float]:
    """What each of `endpoints` should have of `total`."""
    whole = sum(endpoint.effective_weight for endpoint in endpoints)
    return [total * endpoint.effective_weight / whole for endpoint in endpoints]


def by_weight(endpoints: Sequence[Endpoint], values: Mapping[Endpoint, float]) -> dict[float, float]:
    """The `values` of endpoints of the same weight together: enough of them to be judged."""
    sums: defaultdict[float, float] = defaultdict(float)
    for endpoint in endpoints:
        sums[endpoint.weight] += values[endpoint]
    return dict(sums)
