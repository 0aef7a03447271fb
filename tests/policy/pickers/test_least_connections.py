"""The endpoint with the fewest connections of all."""

from random import Random

import pytest

from proxy.policy.pickers import PickInfo
from proxy.policy.pickers.least_connections import LeastConnections
from tests.policy.pickers.weighing import shares, weighted
from tests.support.fleet import fleet
from tests.support.traffic import hold, picked, picks


@pytest.mark.parametrize("load", [[3, 0, 5], [7, 6, 8], [1_001, 1_000, 1_002]])
def test_the_least_busy(load: list[int]) -> None:
    """However busy they all are, the least busy one is picked (caddy#7873)."""
    endpoints, rng = fleet(3), Random(7)
    for endpoint, in_flight in zip(endpoints, load, strict=True):
        endpoint.in_flight = in_flight

    assert {picked(LeastConnections(endpoints, rng), rng) for _ in range(100)} == {endpoints[1]}


def test_the_least_busy_of_those_not_tried() -> None:
    """A retry goes to the next best."""
    endpoints, rng = fleet(3), Random(7)
    endpoints[0].in_flight = 2
    endpoints[2].in_flight = 1

    assert picked(LeastConnections(endpoints, rng), rng, [endpoints[1]]) is endpoints[2]


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


def test_ties_are_broken_by_weight() -> None:
    """Those that are equally busy for their weight share by it, though rounding says that they differ."""
    endpoints, rng = weighted(1, 3, 7), Random(7)
    for endpoint, in_flight in zip(endpoints, [1, 3, 7], strict=True):
        endpoint.in_flight = in_flight
    counts = picks(LeastConnections(endpoints, rng), 20_000, rng)

    assert len({endpoint.in_flight / endpoint.weight for endpoint in endpoints}) > 1
    assert [counts[each] for each in endpoints] == pytest.approx(shares(endpoints, 20_000), rel=0.05)


@pytest.mark.parametrize("connections", [1, 10, 100, 1_000, 5_000])
@pytest.mark.parametrize("weights", [(1_000, 1, 10, 1, 100, 30), (3, 1), (1, 2, 3, 4, 5), (1,) * 6])
def test_hardly_above_its_share(connections: int, weights: tuple[float, ...]) -> None:
    """However unequal the weights, nobody is taken that has one for its weight more than each of the others.

    Summed up over all others that is so little above its share.
    """
    endpoints, rng = weighted(*weights), Random(7)
    counts = hold(LeastConnections(endpoints, rng), endpoints, connections, rng)

    assert sum(counts) == connections
    for count, share in zip(counts, shares(endpoints), strict=True):
        assert count < share * (connections + len(weights) - 2) + 1


def test_scores() -> None:
    """Those who ask why see the least busy ones and the one that was drawn, not all of a large service."""
    endpoints, rng = fleet(100), Random(7)
    for endpoint in endpoints:
        endpoint.in_flight = 3
    endpoints[40].in_flight = endpoints[50].in_flight = 2
    pick = LeastConnections(endpoints, rng).pick(PickInfo((), 0.0, rng))

    assert pick is not None
    assert pick.endpoint in (endpoints[40], endpoints[50])
    assert {(endpoints[40], 2), (endpoints[50], 2)} < set(pick.scores)
    assert len(pick.scores) == 3


@pytest.mark.parametrize("weights", [(1,) * 100, (1, 2, 3, 4)])
def test_few_scores(weights: tuple[float, ...]) -> None:
    """However many are equally good, five are shown."""
    endpoints, rng = weighted(*weights), Random(7)
    for endpoint, weight in zip(endpoints, weights, strict=True):
        endpoint.in_flight = int(5 * weight)
    endpoints[0].in_flight = 500
    picker = LeastConnections(endpoints, rng)

    for _ in range(200):
        pick = picker.pick(PickInfo((), 0.0, rng))
        assert pick is not None
        assert pick.endpoint in dict(pick.scores)
        assert len(dict(pick.scores)) == len(pick.scores) <= 5


def test_the_note_says_who_had_enough() -> None:
    """That a busier one is taken is explained."""
    endpoints, rng = fleet(10), Random(7)
    for endpoint in endpoints[1:]:
        endpoint.in_flight = 30
    picker = LeastConnections(endpoints, rng)
    found = [picker.pick(PickInfo((), 0.0, rng)) for _ in range(10)]

    notes = {pick.note for pick in found if pick is not None and pick.endpoint is not endpoints[0]}
    assert notes == {"10.0.0.0:80 was preferred, but had twice its share"}
