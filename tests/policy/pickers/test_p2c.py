"""Two endpoints drawn at random, and the less busy of them."""

from random import Random

import pytest

from proxy.policy.pickers.p2c import P2C
from tests.policy.pickers.weighing import shares, weighted
from tests.support.fleet import fleet
from tests.support.traffic import picks

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

    assert set(picks(P2C(endpoints, rng), 200, rng, tried=[endpoints[0]])) == {endpoints[2]}


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

    assert P2C(endpoints, rng).pick((), rng) is endpoints[0]


@pytest.mark.parametrize("load,less", [([3, 2], 0), ([7, 2], 1), ([2_999, 1_000], 0), ([3_001, 1_000], 1)])
def test_the_less_busy_for_its_weight(load: list[int], less: int) -> None:
    """An endpoint of three times the weight is as busy with three times as many connections."""
    endpoints, rng = weighted(3, 1), Random(7)
    for endpoint, in_flight in zip(endpoints, load, strict=True):
        endpoint.in_flight = in_flight

    assert set(picks(P2C(endpoints, rng), 500, rng)) == {endpoints[less]}


@pytest.mark.parametrize("weights", [(1, 2, 3, 4), (4, 3, 2, 1), (100, 1, 100, 1)])
@pytest.mark.parametrize("load", [[0, 1, 1_000, 1_000_000], [1_000_000, 1_000, 1, 0]])
def test_heavy_ones_are_drawn_more_often(weights: tuple[float, ...], load: list[int]) -> None:
    """Both are drawn by weight: the second one from all but the first, wherever that stands in the list."""
    endpoints, rng = weighted(*weights), Random(7)
    for endpoint, in_flight in zip(endpoints, load, strict=True):
        endpoint.in_flight = in_flight
    counts = picks(P2C(endpoints, rng), 20_000, rng)

    part = dict(zip(endpoints, shares(endpoints), strict=True))
    for each in endpoints:  # it is picked when it is drawn, in either order, with a busier one
        busier = [part[other] for other in endpoints if other.in_flight > each.in_flight]
        want = sum(
            part[each] * other / (1 - part[each]) + other * part[each] / (1 - other) for other in busier
        )
        assert counts[each] / 20_000 == pytest.approx(want, abs=0.01)


def test_ties_are_broken_by_weight() -> None:
    """Those that are equally busy for their weight share by it, though rounding says that they differ."""
    endpoints, rng = weighted(1, 3, 7), Random(7)
    for endpoint, in_flight in zip(endpoints, [1, 3, 7], strict=True):
        endpoint.in_flight = in_flight
    counts = picks(P2C(endpoints, rng), 20_000, rng)

    assert len({endpoint.in_flight / endpoint.weight for endpoint in endpoints}) > 1
    assert [counts[each] for each in endpoints] == pytest.approx(shares(endpoints, 20_000), rel=0.05)


def test_a_heavy_newcomer_gets_at_most_twice_its_share() -> None:
    """An idle endpoint of five times the weight of the busy others: it is drawn for no more than that."""
    endpoints, rng = weighted(5, *[1] * 45), Random(7)
    for endpoint in endpoints[1:]:
        endpoint.in_flight = 30
    counts = picks(P2C(endpoints, rng), 20_000, rng)

    assert 1.8 * 2_000 < counts[endpoints[0]] < 2 * 2_000
