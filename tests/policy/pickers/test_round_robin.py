"""One after the other: from a random start, in an order of this sidecar's own, through changes of the set."""

from random import Random

import pytest

from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.random import Random as AnyOne
from proxy.policy.pickers.round_robin import RoundRobin
from tests.policy.pickers.weighing import weigh, weighted
from tests.support.fleet import fleet
from tests.support.traffic import picked


def turn(picker: RoundRobin, count: int, rng: Random) -> list[Endpoint | None]:
    return [picked(picker, rng) for _ in range(count)]


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

    assert picked(picker, rng, [endpoint for endpoint in order[:2] if endpoint]) is order[2]
    assert turn(picker, 2, rng) == order[3:]


def test_after_another_algorithm() -> None:
    """It starts anywhere when what was there before kept no place."""
    endpoints, rng = fleet(5), Random(7)
    picker = RoundRobin(endpoints, rng, AnyOne(endpoints, rng))

    assert set(turn(picker, 5, rng)) == set(endpoints)


def test_turns_by_weight() -> None:
    """In any row of 100 connections each has its turns, one more or less, and never in a cluster."""
    endpoints, rng = weighted(50, 20, 20, 5, 5), Random(7)
    picker = RoundRobin(endpoints, rng)
    row = turn(picker, 1_000, rng)

    for start in range(900):
        counts = [row[start : start + 100].count(each) for each in endpoints]
        assert counts == pytest.approx([50, 20, 20, 5, 5], abs=1.5)
    for start in range(990):
        assert 3 <= row[start : start + 10].count(endpoints[0]) <= 7


@pytest.mark.parametrize("after", range(0, 30, 3))
def test_weighted_turns_survive_changes_of_the_set(after: int) -> None:
    """Whoever comes and goes, with whatever weight: those that stay are served as if nothing had happened."""
    stay, others = fleet(4), fleet(4)
    weights = [4, 3, 2, 1]
    weigh(stay, weights)
    expected = turn(RoundRobin(stay, Random(7)), 30, Random())

    rng = Random(7)
    picker = RoundRobin(stay, rng)
    row = turn(picker, after, rng)
    for count in (2, 4, 1):
        weigh([*stay, *others[:count]], [*weights, *[7, 1, 0.5, 9][:count]])
        picker = RoundRobin([*others[:count], *stay], rng, picker)
        row += turn(picker, 5, rng)
    weigh(stay, weights)
    row += turn(RoundRobin(stay, rng, picker), 30, rng)

    assert [each for each in row if each in stay][:30] == expected


@pytest.mark.parametrize("after", range(20))
def test_a_retry_leaves_the_turns_as_they_are(after: int) -> None:
    """An endpoint that a session tried is passed over; behind the one it gets all goes on as it was."""
    endpoints = weighted(4, 3, 2, 1)
    row = turn(RoundRobin(endpoints, Random(7)), 50, Random())
    tried = row[after : after + 1]
    served = next(index for index in range(after, 50) if row[index] not in tried)

    picker = RoundRobin(endpoints, Random(7))
    turn(picker, after, Random())
    assert picked(picker, Random(), [each for each in tried if each]) is row[served]
    assert turn(picker, 50 - served - 1, Random()) == row[served + 1 :]


@pytest.mark.parametrize("number", [2, 5, 8])
def test_a_new_weight_keeps_the_place(number: int) -> None:
    """With three times the weight the next turn comes in a third of the time; the others keep theirs."""
    endpoints, rng = fleet(10), Random(7)
    picker = RoundRobin(endpoints, rng)
    turn(picker, 3, rng)
    order = turn(picker, 10, rng)
    changed = order.pop(number)
    weigh(endpoints, [3 if each is changed else 1 for each in endpoints])
    row = turn(RoundRobin(endpoints, rng, picker), 12, rng)

    assert row.index(changed) == pytest.approx(number / 3, abs=1.5)
    assert row.count(changed) == 3
    assert [each for each in row if each is not changed] == order


def test_retries_leave_no_debt() -> None:
    """After a thousand retries the endpoints that took them have their turns like before."""
    endpoints, rng = weighted(100, 1, 1), Random(7)
    picker = RoundRobin(endpoints, rng)
    for _ in range(1_000):
        picked(picker, rng, endpoints[:1])
    row = turn(picker, 1_020, rng)

    assert [row.count(each) for each in endpoints] == pytest.approx([1_000, 10, 10], abs=1.5)
