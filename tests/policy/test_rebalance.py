"""How many connections are closed for endpoints that came later, where and when."""

import pytest

from proxy.model import Listed
from proxy.policy.endpoint import Endpoint
from proxy.policy.rebalance import LOOK_EVERY_S, NOBODY, Closings, Rule, Stand, joined, look
from tests.support.fleet import fleet

HALF = Rule(0.5)
HOUR_S = 3600.0


def holding(*counts: int) -> list[Endpoint]:
    endpoints = fleet(len(counts))
    for endpoint, count in zip(endpoints, counts, strict=True):
        endpoint.in_flight = count
    return endpoints


def after_one_came(endpoints: list[Endpoint], newcomers: int = 1, luck: float = 0.0) -> Stand:
    """The last ones have come at 0."""
    return joined(NOBODY, dict.fromkeys(endpoints[len(endpoints) - newcomers :], 0.0), luck)


def closed(endpoints: list[Endpoint], closings: Closings) -> list[int]:
    return [closings.counts.get(each, 0) for each in endpoints]


@pytest.mark.parametrize(
    "counts,newcomers,moves",
    [
        ((20, 20, 0, 0), 2, True),
        ((11,) * 10 + (0,), 1, True),
        ((4,) * 10 + (0,) * 10, 10, True),
        ((3, 3, 0), 1, True),
        ((1, 1, 1) + (0,) * 7, 7, False),  # as even as can be
        ((1,) * 10 + (0,) * 10, 10, False),
        ((2, 2, 0), 1, False),  # it lacks one, and a third
        ((3, 3, 1), 1, False),
        ((11, 11, 8), 1, False),  # a fifth less than its share
        ((12, 11, 7), 1, True),
        ((0, 0, 9), 1, False),
        ((0, 0, 0), 1, False),
    ],
)
def test_what_is_worth_it(counts: tuple[int, ...], newcomers: int, moves: bool) -> None:
    """A newcomer without a quarter of its share, and without two connections, is a reason; luck is none."""
    endpoints = holding(*counts)
    stand, closings = look(after_one_came(endpoints, newcomers), endpoints, Rule(1.0), 60.0)

    assert bool(stand.newcomers) is moves
    assert moves or not closings.counts


def test_until_it_is_nearly_even() -> None:
    """Once begun it goes on until only a tenth is lacking; then that is forgotten, whatever follows."""
    endpoints = holding(106, 106, 68)
    stand, _ = look(after_one_came(endpoints), endpoints, HALF, 5.0)
    assert stand.takers == {endpoints[2]}
    endpoints[0].in_flight, endpoints[2].in_flight = 93, 82
    stand, closings = look(stand, endpoints, HALF, 10.0)
    assert stand.takers
    assert closed(endpoints, closings) == [0, 9, 0]

    endpoints[1].in_flight, endpoints[2].in_flight = 101, 86
    stand, closings = look(stand, endpoints, HALF, 15.0)
    assert not (stand.newcomers or closings.counts)


def test_no_more_than_the_share() -> None:
    """Ten minutes at 10 % of 200 that never come to rest: 20 a minute at most, a few in each look."""
    endpoints = holding(100, 100, 0)
    stand, counts = after_one_came(endpoints), []
    for number in range(1, 121):
        stand, closings = look(stand, endpoints, Rule(0.1), number * LOOK_EVERY_S)
        assert closings.before == 0.0
        counts.append(sum(closings.counts.values()))

    assert set(counts) == {1, 2}
    assert max(sum(counts[at : at + 14]) for at in range(106)) < 20
    assert 159 <= sum(counts) <= 160


def test_a_stall_saves_nothing_up() -> None:
    """After a minute without a look no more are closed than in two looks."""
    endpoints = holding(100, 100, 0)
    _, closings = look(after_one_came(endpoints), endpoints, Rule(0.6), 60.0)

    assert sum(closings.counts.values()) == 16


def test_not_all_sidecars_at_once() -> None:
    """Of forty with ten connections each that all saw it come, some close one early, some late."""
    first_at = []
    for number in range(40):
        endpoints = holding(5, 5, 0)
        stand, now = after_one_came(endpoints, luck=number / 40), 0.0
        while True:
            now += LOOK_EVERY_S
            stand, closings = look(stand, endpoints, Rule(0.1), now)
            if closings.counts:
                break
        first_at.append(now)

    assert 75.0 <= min(first_at) <= 80.0
    assert max(first_at) >= 140.0
    assert max(first_at.count(at) for at in first_at) <= 5


def test_the_fullest_first_and_nobody_below_his_share() -> None:
    """What is too many decides, not who is listed first; who has his share keeps it."""
    endpoints = holding(28, 20, 26, 15, 1)
    stand, closings = look(after_one_came(endpoints), endpoints, Rule(1.0), 4.0)
    assert closed(endpoints, closings) == [3, 0, 1, 0, 0]

    _, closings = look(stand, endpoints, Rule(1.0), HOUR_S / 60)
    assert closed(endpoints, closings) == [7, 0, 5, 0, 0]


def test_by_weight() -> None:
    """One of three times the weight may have three times as many."""
    endpoints = holding(30, 20, 0)
    endpoints[0].follow(Listed(weight=3.0))
    _, closings = look(after_one_came(endpoints), endpoints, Rule(1.0), 60.0)

    assert closed(endpoints, closings) == [0, 6, 0]


def test_a_better_priority_comes_back() -> None:
    """Who is there for failover gives all back."""
    endpoints = holding(6, 6, 0)
    for endpoint in endpoints[:2]:
        endpoint.follow(Listed(priority=1))
    _, closings = look(after_one_came(endpoints), endpoints, Rule(1.0), 60.0)

    assert closed(endpoints, closings) == [1, 0, 0]


def test_a_cap_is_all_it_may_have() -> None:
    """A newcomer lacks no more than MAX_CONNECTIONS_PER_ENDPOINT lets it have."""
    endpoints = holding(20, 20, 5)
    endpoints[2].follow(Listed(weight=5.0))
    assert look(after_one_came(endpoints), endpoints, HALF, 5.0)[0].takers
    assert not look(after_one_came(endpoints), endpoints, Rule(0.5, most=5), 5.0)[0].newcomers


def test_not_during_slow_start() -> None:
    """Nobody is closed for one that is still cold, nor where another is; its share is small meanwhile."""
    endpoints = holding(20, 20, 0)
    endpoints[2].warming_since, endpoints[2].ramp = 0.0, 0.5
    stand, closings = look(after_one_came(endpoints), endpoints, HALF, 5.0)
    assert stand.newcomers
    assert not (stand.takers or closings.counts)
    endpoints[2].warming_since, endpoints[2].ramp = None, 1.0
    stand, closings = look(stand, endpoints, HALF, 10.0)

    assert stand.takers
    assert closings.counts


def test_only_those_who_began_before_the_last_one() -> None:
    """Whoever began after the last of the newcomers had them all to choose from."""
    endpoints = holding(30, 0, 0)
    stand = joined(joined(NOBODY, {endpoints[1]: 10.0}, 0.0), {endpoints[2]: 20.0}, 0.0)

    assert look(stand, endpoints, HALF, 30.0)[1].before == 20.0


def test_an_outage() -> None:
    """While those in trouble are used as well nobody is closed, and nobody forgotten: but not for ever."""
    endpoints = holding(20, 20, 0)
    stand, closings = look(after_one_came(endpoints), [], HALF, 5.0)
    assert stand.newcomers
    assert not closings.counts
    stand, closings = look(stand, endpoints, HALF, 10.0)
    assert closings.counts

    assert not look(stand, [], HALF, HOUR_S)[0].newcomers


def test_one_that_is_out_again() -> None:
    """A newcomer that fails is no reason any more; should it return, it comes anew."""
    endpoints = holding(20, 20, 0)
    stand, _ = look(after_one_came(endpoints), endpoints[:2], HALF, 5.0)
    assert not stand.newcomers


def test_clients_that_stay_away() -> None:
    """Shares are those of all connections that there were, not of what closing them has left."""
    endpoints = holding(20, 20, 0, 0)
    stand, now = after_one_came(endpoints, 2), 0.0
    while stand.newcomers:
        now += LOOK_EVERY_S
        stand, closings = look(stand, endpoints, Rule(1.0), now)
        for endpoint, count in closings.counts.items():
            endpoint.in_flight -= count

    assert [each.in_flight for each in endpoints] == [10, 10, 0, 0]
    assert now <= 225
