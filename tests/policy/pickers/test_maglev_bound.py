"""A key stays with its endpoint unless that has too many connections, and is back when it has not."""

from fractions import Fraction
from math import ceil
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import Picker, PickInfo
from proxy.policy.pickers.maglev import BOUND, FREE, Maglev
from tests.policy.pickers.weighing import weighted
from tests.support.fleet import fleet

RNG = Random(7)


def owner(picker: Picker, key: int, *tried: Endpoint) -> Endpoint:
    pick = picker.pick(PickInfo(tried, 0.0, RNG, key))
    assert pick is not None
    return pick.endpoint


@st.composite
def loads(draw: st.DrawFn) -> tuple[list[Endpoint], list[Endpoint], float, int]:
    """Endpoints with weights and loads, those tried, the bound, a key."""
    weights = draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    endpoints = weighted(*weights)
    for endpoint in endpoints:
        endpoint.in_flight = draw(st.integers(0, 3 * FREE))
    tried = [each for each in endpoints if draw(st.integers(0, 3)) == 0]
    return endpoints, tried, draw(st.sampled_from([1.0, 1.25, 1.5, 2.0])), draw(st.integers(0, 2**64 - 1))


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=60)
@given(loads())
def test_nobody_above_the_bound_while_another_is_below(
    given_: tuple[list[Endpoint], list[Endpoint], float, int],
) -> None:
    """With one more it has at most its bound, or FREE; if none has, the key's own one is taken."""
    endpoints, tried, bound, key = given_
    left = [each for each in endpoints if each not in tried]
    pick = Maglev(endpoints, RNG, bound=bound).pick(PickInfo(tried, 0.0, RNG, key))
    total = sum(each.in_flight for each in endpoints) + 1
    whole = sum(Fraction(each.weight).limit_denominator(1000) for each in endpoints)
    roomy = [
        each
        for each in left
        if each.in_flight + 1
        <= max(FREE, ceil(Fraction(bound) * total * Fraction(each.weight).limit_denominator(1000) / whole))
    ]

    assert (pick is None) == (not left)
    if pick is not None:
        own = owner(Maglev(endpoints, RNG, bound=0), key, *tried)
        assert pick.endpoint in roomy if roomy else pick.endpoint is own
        assert pick.endpoint is own or own not in roomy


@pytest.mark.parametrize(
    "own,total,stays",
    [
        (FREE - 1, FREE - 1, True),
        (FREE, FREE, False),
        (FREE, 8 * FREE, True),
        (100, 799, False),
        (100, 800, True),
        (101, 800, False),
    ],
)
def test_at_the_bound(own: int, total: int, stays: bool) -> None:
    """FREE always are. Of 801 connections 101 are, rounded up and with the new one, of 800 only 100."""
    endpoints = fleet(10)
    picker = Maglev(endpoints, RNG)
    first = owner(picker, 7)
    second = owner(picker, 7, first)
    first.in_flight = own
    next(each for each in endpoints if each not in (first, second)).in_flight = total - own

    assert owner(picker, 7) is (first if stays else second)


@pytest.mark.parametrize("keys", [1, 3, 100])
def test_hot_keys(keys: int) -> None:
    """Of a few clients' thousand connections nobody ever has more than a quarter above its share, or FREE."""
    endpoints = fleet(10)
    picker = Maglev(endpoints, RNG)
    for total in range(1, 1_001):
        owner(picker, total % keys).in_flight += 1
        assert max(each.in_flight for each in endpoints) <= max(FREE, ceil(BOUND * total / 10))


@pytest.mark.parametrize("others", [0, 1, 20, 200])
@pytest.mark.parametrize("count", [2, 10, 100])
def test_a_client_with_its_pool_stays(count: int, others: int) -> None:
    """Whoever else was ever seen: twenty connections of a client are at one pod; so are the next twenty."""
    endpoints = fleet(count)
    picker: Picker = Maglev(endpoints, RNG)
    for other in range(others):  # each with one connection that ended
        owner(picker, 1_000 + other)
    for _ in range(2):
        own = {owner(picker, 7) for _ in range(20)}
        assert len(own) == 1
        for _ in range(20):
            owner(picker, 7).in_flight += 1
        assert sorted(each.in_flight for each in endpoints)[-2:] == [0, 20]
        next(iter(own)).in_flight = 0
        picker = Maglev(endpoints, RNG, picker)


@pytest.mark.parametrize("keys", [1, 2, 50])
def test_overload_spills_over_and_comes_back(keys: int) -> None:
    """What a pod has no room for goes to the next; once it has room, the key is at home again."""
    endpoints = fleet(10)
    picker = Maglev(endpoints, RNG)
    homes = {key: owner(picker, key) for key in range(keys)}
    taken = []
    for number in range(1_000):
        taken.append(owner(picker, number % keys))
        taken[-1].in_flight += 1
    assert len(set(taken)) > len(set(homes.values())) or keys == 50
    assert max(each.in_flight for each in endpoints) <= ceil(BOUND * 100)

    for each in taken[: -FREE // 2]:
        each.in_flight -= 1
    assert all(owner(picker, key) is home for key, home in homes.items())


def test_a_quiet_one_keeps_its_clients() -> None:
    """Clients with a connection each stay where they belong while these have no more than others."""
    endpoints = fleet(10)
    picker, free = Maglev(endpoints, RNG), Maglev(endpoints, RNG, bound=0)
    for endpoint in endpoints:
        endpoint.in_flight = 2 * FREE

    assert all(owner(picker, key) is owner(free, key) for key in range(200))


def test_passed_over_the_same_way() -> None:
    """A client that its endpoint has no room for is at the same other one each time; the note says why."""
    endpoints = fleet(10)
    picker = Maglev(endpoints, RNG)
    own = owner(picker, 7)
    own.in_flight = 50
    found = [picker.pick(PickInfo((), 0.0, RNG, 7)) for _ in range(20)]

    assert len({pick and pick.endpoint for pick in found}) == 1
    assert {pick and pick.note for pick in found} == {"slot 7, 1 passed over for their load"}
    assert owner(picker, 7) is owner(picker, 7, own) is not own


def test_the_next_one_may_have_as_many() -> None:
    """What spills over stays together, too: the next one takes it until it has FREE, whatever its share."""
    endpoints = fleet(10)
    picker = Maglev(endpoints, RNG)
    own = owner(picker, 7)
    own.in_flight = FREE
    second = owner(picker, 7)
    second.in_flight = FREE - 1
    assert owner(picker, 7) is second

    second.in_flight = FREE
    assert owner(picker, 7) not in (own, second)


def test_no_bound() -> None:
    """With 0 a key stays, whatever the load."""
    endpoints = fleet(10)
    picker = Maglev(endpoints, RNG, bound=0)
    own = owner(picker, 7)
    own.in_flight = 1_000_000

    assert owner(picker, 7) is own
