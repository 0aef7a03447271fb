"""The one invariant, for every picker: no endpoint gets more than twice its fair share."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import Balancer
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import PICKERS, Picker, algorithm
from tests.support.fleet import fleet
from tests.support.traffic import SHARING, Held, hold, picked, picks

every_picker = pytest.mark.parametrize("name", PICKERS)
sharing = pytest.mark.parametrize("name", SHARING)
# All but maglev, whose table takes ten milliseconds; its own tests show what moves when somebody goes.
quick_to_make = pytest.mark.parametrize("name", [name for name in SHARING if name != "maglev"])


def test_every_setting_has_a_picker() -> None:
    """Each value that BALANCER allows can be used."""
    assert set(PICKERS) == {balancer.value for balancer in Balancer}


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 10, 37, 100])
@sharing
def test_short_connections(name: str, count: int) -> None:
    """Of 100,000 connections to equal endpoints each gets its share, give or take a fifth."""
    endpoints, rng = fleet(count), Random(7)
    counts = picks(algorithm(name)(endpoints, rng, None), 100_000, rng)

    fair = 100_000 / count
    assert set(counts) == set(endpoints)
    assert 0.8 * fair < min(counts.values()) <= max(counts.values()) < 1.2 * fair


@pytest.mark.slow
@sharing
def test_short_connections_to_a_thousand(name: str) -> None:
    """However few there are for each endpoint of a large service, nobody gets twice its share or half."""
    endpoints, rng = fleet(1_000), Random(7)
    counts = picks(algorithm(name)(endpoints, rng, None), 50_000, rng)

    assert min(counts[each] for each in endpoints) > 50 / 2
    assert max(counts.values()) < 2 * 50


@pytest.mark.slow
@pytest.mark.parametrize("count,each", [(2, 50), (3, 50), (10, 50), (100, 50), (1_000, 20)])
@sharing
def test_held_connections(name: str, count: int, each: int) -> None:
    """With so many connections open per endpoint at any time, no endpoint ever holds twice its share."""
    endpoints, rng = fleet(count), Random(7)
    picker, held = algorithm(name)(endpoints, rng, None), Held(each * count)
    peak = max(held.connect(picker, rng).in_flight for _ in range(5 * each * count // 4))

    assert peak < 2 * each


@pytest.mark.parametrize(
    "name,within",
    [
        *[("least_connections", 0.06), ("round_robin", 0.06), ("p2c", 0.35), ("peak_ewma", 0.35)],
        *[("maglev", 0.45), ("random", 0.8)],
    ],
)
@pytest.mark.parametrize("seed", range(20))
def test_three_hundred_on_ten(name: str, within: float, seed: int) -> None:
    """How even 300 connections on 10 pods are: the numbers of the README."""
    endpoints, rng = fleet(10), Random(seed)
    counts = hold(algorithm(name)(endpoints, rng, None), endpoints, 300, rng)

    assert sum(counts) == 300
    assert 30 * (1 - within) <= min(counts) <= max(counts) <= 30 * (1 + within)


@pytest.mark.slow
@pytest.mark.parametrize("open_at_once", [0, 200])
@sharing
def test_rolling_restart(name: str, open_at_once: int) -> None:
    """Every pod of a Deployment is replaced, one by one, under load: no new pod gets twice its share."""
    size, per_step = 20, 500
    pods, rng, held = fleet(4 * size), Random(7), Held(open_at_once)
    picker = algorithm(name)(pods[:size], rng, None)
    got: Counter[Endpoint] = Counter()
    for step in range(1, 3 * size + 1):
        picker = algorithm(name)(pods[step : step + size], rng, picker)
        for _ in range(per_step):
            got[held.connect(picker, rng)] += 1

    served_whole_life = [got[each] for each in pods[size : 3 * size]]
    assert max(served_whole_life) < 2 * per_step
    assert min(served_whole_life) > per_step / 2


@quick_to_make
def test_churn_with_every_pick(name: str) -> None:
    """An endpoint comes or goes before each connection: nobody is favoured (grpc-java#4462)."""
    endpoints, rng = fleet(11), Random(7)
    stable, flapping = endpoints[:10], endpoints[10]
    picker: Picker | None = None
    counts: Counter[Endpoint] = Counter()
    for step in range(10_000):
        listed = [*stable, flapping] if step % 2 else list(reversed(stable))
        picker = algorithm(name)(listed, rng, picker)
        counts += picks(picker, 1, rng)

    assert max(counts.values()) < 2 * 1_000
    assert min(counts[each] for each in stable) > 1_000 / 2


@quick_to_make
def test_replaced_with_every_pick(name: str) -> None:
    """A new endpoint before each connection: those that stay get their share, newcomers are not flooded."""
    stable, newcomers, rng = fleet(9), fleet(5_000), Random(7)
    picker: Picker | None = None
    counts: Counter[Endpoint] = Counter()
    for newcomer in newcomers:
        picker = algorithm(name)([newcomer, *stable], rng, picker)
        counts += picks(picker, 1, rng)

    assert max(counts[each] for each in stable) < 2 * 500
    assert min(counts[each] for each in stable) > 500 / 2
    assert 250 < 5_000 - sum(counts[each] for each in stable) < 2 * 500


@pytest.mark.slow
@settings(derandomize=True, deadline=None)
@given(
    st.sampled_from(sorted(PICKERS)),
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=12),
    st.integers(),
)
def test_tried_endpoints_are_left_out(name: str, pods: list[tuple[int, bool]], seed: int) -> None:
    """A session never gets an endpoint that it tried, and gets none only when it tried them all."""
    endpoints, rng = fleet(len(pods)), Random(seed)
    for endpoint, (busy, _) in zip(endpoints, pods, strict=True):
        endpoint.in_flight = busy
    tried = [endpoint for endpoint, (_, was_tried) in zip(endpoints, pods, strict=True) if was_tried]
    left = set(endpoints) - set(tried)
    picker = algorithm(name)(endpoints, rng, None)

    for _ in range(len(pods) + 1):
        found = picked(picker, rng, tried)
        assert found in left if left else found is None


@every_picker
def test_a_session_can_try_them_all(name: str) -> None:
    """One after the other, each endpoint once, then none."""
    endpoints, rng = fleet(7), Random(7)
    picker = algorithm(name)(endpoints, rng, None)
    tried: list[Endpoint] = []
    while found := picked(picker, rng, tried):
        tried.append(found)

    assert len(tried) == 7
    assert set(tried) == set(endpoints)


@sharing
def test_foreign_endpoints_in_tried(name: str) -> None:
    """What a session tried and DNS has removed since does not stand in the way of the rest."""
    endpoints, rng = fleet(2), Random(7)
    gone = fleet(5)

    assert set(picks(algorithm(name)(endpoints, rng, None), 100, rng, gone)) == set(endpoints)


@quick_to_make
def test_many_sidecars_do_not_start_alike(name: str) -> None:
    """The first connections of 1,000 sidecars that start together are spread (grpc-go#8438)."""
    endpoints = fleet(10)
    firsts = Counter[Endpoint]()
    for seed in range(1_000):
        rng = Random(seed)
        firsts += picks(algorithm(name)(endpoints, rng, None), 1, rng)

    assert max(firsts.values()) < 2 * 100
    assert min(firsts.values()) > 100 / 2


@pytest.mark.parametrize("day", range(5))
@every_picker
def test_a_dozen_sidecars(name: str, day: int) -> None:
    """The first connections of twelve, each with a client of its own, land on at least five of ten pods.

    Not with `ordered`: its purpose is that all take the same one.
    """
    endpoints = fleet(10)
    rngs = [Random(100 * day + number) for number in range(12)]
    firsts = {picked(algorithm(name)(endpoints, rng, None), rng) for rng in rngs}

    assert len(firsts) == 1 if name == "ordered" else len(firsts) >= 5


@sharing
def test_snapshot_is_its_own(name: str) -> None:
    """Whoever made the list may change it afterwards: the picker still knows what it was given."""
    endpoints, rng = fleet(3), Random(7)
    given = list(endpoints)
    picker = algorithm(name)(given, rng, None)
    given.clear()

    assert set(picks(picker, 100, rng)) == set(endpoints)
