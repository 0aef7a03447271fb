"""One after the other: from a random start, in an order of this sidecar's own, through changes of the set."""

from random import Random

import pytest

from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import make_picker
from proxy.policy.pickers.round_robin import RoundRobin
from tests.support.fleet import fleet


def turn(picker: RoundRobin, count: int, rng: Random) -> list[Endpoint | None]:
    return [picker.pick((), rng) for _ in range(count)]


def test_each_in_its_turn() -> None:
    """In any row of n connections each of n endpoints is there once, in the same order each time."""
    endpoints, rng = fleet(7), Random(7)
    picker = RoundRobin(endpoints, rng)
    first, second = turn(picker, 7, rng), turn(picker, 7, rng)

    assert set(first) == set(endpoints)
    assert first == second


def test_orders_differ() -> None:
    """Twenty sidecars have nearly as many orders: they do not walk over the pods in step."""
    endpoints = fleet(7)
    orders = {tuple(turn(RoundRobin(endpoints, Random(seed)), 7, Random())) for seed in range(20)}

    assert len(orders) >= 19


@pytest.mark.parametrize("after", range(6))
def test_goes_on_where_it_stood(after: int) -> None:
    """A new picture of the same endpoints changes nothing, in whatever order DNS lists them."""
    endpoints, rng = fleet(6), Random(7)
    picker = RoundRobin(endpoints, rng)
    order = turn(picker, 6, rng)
    served = turn(picker, after, rng)
    picker = RoundRobin(list(reversed(endpoints)), rng, picker)

    assert served + turn(picker, 6 - after, rng) == order


def test_newcomers_have_a_turn_like_any() -> None:
    """After one comes and one goes, each is still served once per round."""
    endpoints, rng = fleet(6), Random(7)
    picker = RoundRobin(endpoints[:5], rng)
    turn(picker, 3, rng)
    picker = RoundRobin(endpoints[1:], rng, picker)

    assert set(turn(picker, 5, rng)) == set(endpoints[1:])
    assert set(turn(picker, 5, rng)) == set(endpoints[1:])


def test_the_place_survives_being_empty_of_the_last_served() -> None:
    """When the endpoint just served goes, its neighbour is next: nobody is skipped or served twice."""
    endpoints, rng = fleet(6), Random(7)
    picker = RoundRobin(endpoints, rng)
    order = turn(picker, 6, rng)
    last = turn(picker, 3, rng)[-1]
    picker = RoundRobin([each for each in endpoints if each is not last], rng, picker)

    assert turn(picker, 3, rng) == order[3:]


def test_a_retry_takes_the_next_in_turn() -> None:
    """The endpoint that a session tried is passed over, and the round goes on behind the one it gets."""
    endpoints, rng = fleet(5), Random(7)
    picker = RoundRobin(endpoints, rng)
    order = turn(picker, 5, rng)

    assert picker.pick([endpoint for endpoint in order[:2] if endpoint], rng) is order[2]
    assert turn(picker, 2, rng) == order[3:]


def test_after_another_algorithm() -> None:
    """It starts anywhere when what was there before kept no place."""
    endpoints, rng = fleet(5), Random(7)
    picker = RoundRobin(endpoints, rng, make_picker("random", endpoints, rng, None))

    assert set(turn(picker, 5, rng)) == set(endpoints)
