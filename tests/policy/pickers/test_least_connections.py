"""The endpoint with the fewest connections of all."""

from random import Random

import pytest

from proxy.policy.pickers.least_connections import LeastConnections
from tests.policy.pickers.weighing import shares, weighted
from tests.support.fleet import fleet
from tests.support.traffic import hold, picks


@pytest.mark.parametrize("load", [[3, 0, 5], [7, 6, 8], [1_001, 1_000, 1_002]])
def test_the_least_busy(load: list[int]) -> None:
    """However busy they all are, the least busy one is picked (caddy#7873)."""
    endpoints, rng = fleet(3), Random(7)
    for endpoint, in_flight in zip(endpoints, load, strict=True):
        endpoint.in_flight = in_flight

    assert set(picks(LeastConnections(endpoints, rng), 100, rng)) == {endpoints[1]}


def test_the_least_busy_of_those_not_tried() -> None:
    """A retry goes to the next best."""
    endpoints, rng = fleet(3), Random(7)
    endpoints[0].in_flight = 2
    endpoints[2].in_flight = 1

    assert LeastConnections(endpoints, rng).pick([endpoints[1]], rng) is endpoints[2]


def test_ties_are_broken_at_random() -> None:
    """Quiet endpoints share evenly: not always the first nor the last of them (caddy#5609)."""
    endpoints, rng = fleet(5), Random(7)
    endpoints[2].in_flight = 9
    counts = picks(LeastConnections(endpoints, rng), 20_000, rng)

    quiet = [counts[each] for each in endpoints if each is not endpoints[2]]
    assert quiet == pytest.approx([5_000] * 4, rel=0.05)
    assert counts[endpoints[2]] == 0


@pytest.mark.parametrize("connections", [1, 10, 25, 300])
def test_never_more_than_one_apart(connections: int) -> None:
    """Held connections are spread as evenly as whole numbers can be."""
    endpoints, rng = fleet(10), Random(7)
    counts = hold(LeastConnections(endpoints, rng), endpoints, connections, rng)

    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("load,least", [([3, 2], 0), ([7, 2], 1), ([2_999, 1_000], 0), ([3_001, 1_000], 1)])
def test_the_least_busy_for_its_weight(load: list[int], least: int) -> None:
    """An endpoint of three times the weight is as busy with three times as many connections."""
    endpoints, rng = weighted(3, 1), Random(7)
    for endpoint, in_flight in zip(endpoints, load, strict=True):
        endpoint.in_flight = in_flight

    assert set(picks(LeastConnections(endpoints, rng), 100, rng)) == {endpoints[least]}


def test_ties_are_broken_by_weight() -> None:
    """Those that are equally busy for their weight share by it, though rounding says that they differ."""
    endpoints, rng = weighted(1, 3, 7), Random(7)
    for endpoint, in_flight in zip(endpoints, [1, 3, 7], strict=True):
        endpoint.in_flight = in_flight
    counts = picks(LeastConnections(endpoints, rng), 20_000, rng)

    assert len({endpoint.in_flight / endpoint.weight for endpoint in endpoints}) > 1
    assert [counts[each] for each in endpoints] == pytest.approx(shares(endpoints, 20_000), rel=0.05)


@pytest.mark.parametrize("connections", [1, 10, 100, 1_000, 5_000])
def test_never_one_above_its_share(connections: int) -> None:
    """However unequal the weights, nobody holds a whole connection more than its part."""
    endpoints, rng = weighted(1_000, 1, 10, 1, 100, 30), Random(7)
    counts = hold(LeastConnections(endpoints, rng), endpoints, connections, rng)

    assert sum(counts) == connections
    assert all(count < fair + 1 for count, fair in zip(counts, shares(endpoints, connections), strict=True))
