"""Two endpoints drawn at random, and the less busy of them."""

from random import Random

import pytest

from proxy.policy.pickers import PickInfo
from proxy.policy.pickers.p2c import P2C
from tests.policy.pickers.weighing import shares, weighted
from tests.support.fleet import fleet
from tests.support.traffic import picked, picks

SHARES = [3 / 6, 2 / 6, 1 / 6, 0.0]  # of the pairs of four, those in which it is the less busy one


@pytest.mark.parametrize("load", [[0, 1, 2, 3], [5, 10, 1_000, 100_000], [100, 101, 102, 103]])
def test_every_pair_is_as_likely_as_the_next(load: list[int]) -> None:
    """Two different endpoints are compared each time, so the busiest of all is never picked."""
    endpoints, rng = fleet(4), Random(7)
    for endpoint, in_flight in zip(endpoints, load, strict=True):
        endpoint.in_flight = in_flight
    counts = picks(P2C(endpoints, rng), 12_000, rng)

    assert [counts[each] / 12_000 for each in endpoints] == pytest.approx(SHARES, abs=0.02)
    assert counts[endpoints[3]] == 0


@pytest.mark.parametrize("busy,busier", [(0, 1), (99, 100), (1_000, 2_000)])
def test_the_less_busy_of_two_busy_ones(busy: int, busier: int) -> None:
    """That every sampled endpoint is busy is no reason to pick blindly (caddy#7873)."""
    endpoints, rng = fleet(2), Random(7)
    endpoints[0].in_flight, endpoints[1].in_flight = busier, busy

    assert set(picks(P2C(endpoints, rng), 500, rng)) == {endpoints[1]}


def test_of_those_not_tried() -> None:
    """A retry still goes to the less busy of two."""
    endpoints, rng = fleet(3), Random(7)
    endpoints[1].in_flight = 1

    assert set(picks(P2C(endpoints, rng), 40, rng, tried=[endpoints[0]])) == {endpoints[2]}


def test_ties_are_broken_at_random() -> None:
    """Quiet endpoints share evenly, wherever they stand in the list."""
    endpoints, rng = fleet(5), Random(7)
    endpoints[2].in_flight = 9
    counts = picks(P2C(endpoints, rng), 20_000, rng)

    quiet = [counts[each] for each in endpoints if each is not endpoints[2]]
    assert quiet == pytest.approx([5_000] * 4, rel=0.05)


def test_a_newcomer_gets_at_most_twice_its_share() -> None:
    """An idle endpoint among busy ones gets every connection for which it is drawn: two in n."""
    endpoints, rng = fleet(20), Random(7)
    for endpoint in endpoints[1:]:
        endpoint.in_flight = 30
    counts = picks(P2C(endpoints, rng), 20_000, rng)

    assert counts[endpoints[0]] == pytest.approx(2 * 1_000, rel=0.05)


def test_one_endpoint() -> None:
    """There is nothing to compare, and nothing to draw."""
    endpoints, rng = fleet(1), Random(7)

    assert picked(P2C(endpoints, rng), rng) is endpoints[0]


@pytest.mark.parametrize("weights", [(1, 2, 3, 4), (100, 1, 100, 1), (1, 100, 100), (10, 1), (1,) * 5])
@pytest.mark.parametrize("number", [0, 1, -1])
def test_an_idle_one_gets_twice_its_share(weights: tuple[float, ...], number: int) -> None:
    """However busy the others, whatever they weigh: it is one of the two for twice its share, or always."""
    endpoints, rng = weighted(*weights), Random(7)
    idle = endpoints[number]
    for endpoint in endpoints:
        endpoint.in_flight = 0 if endpoint is idle else 1_000_000
    counts = picks(P2C(endpoints, rng), 20_000, rng)

    share = shares(endpoints)[number]
    assert counts[idle] / 20_000 == pytest.approx(min(2 * share, 1.0), abs=0.01)


def test_ties_are_broken_by_weight() -> None:
    """Those that are equally busy for their weight share by it, though rounding says that they differ."""
    endpoints, rng = weighted(1, 3, 7), Random(7)
    for endpoint, in_flight in zip(endpoints, [1, 3, 7], strict=True):
        endpoint.in_flight = in_flight
    counts = picks(P2C(endpoints, rng), 20_000, rng)

    assert len({endpoint.in_flight / endpoint.weight for endpoint in endpoints}) > 1
    assert [counts[each] for each in endpoints] == pytest.approx(shares(endpoints, 20_000), rel=0.05)


def test_scores() -> None:
    """Those who ask why see the two that were compared, with their connections for their weight."""
    endpoints, rng = weighted(3, 1), Random(7)
    endpoints[0].in_flight, endpoints[1].in_flight = 30, 2
    pick = P2C(endpoints, rng).pick(PickInfo((), 0.0, rng))
    for endpoint in endpoints:
        endpoint.weight = 1.0
    equal = P2C(endpoints, rng).pick(PickInfo((), 0.0, rng))

    assert pick is not None and equal is not None
    assert set(pick.scores) <= {(endpoints[0], 20.0), (endpoints[1], 4.0)}
    assert set(equal.scores) == {(endpoints[0], 30), (endpoints[1], 2)}
    assert equal.endpoint is endpoints[1]
