"""What all pickers do with weights: each endpoint gets its part of the connections, as RFC 2782 means it."""

from collections import Counter
from random import Random

import pytest

from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import PICKERS, Picker, algorithm
from tests.policy.pickers.weighing import by_weight, shares, weigh, weighted
from tests.support.fleet import fleet
from tests.support.traffic import SHARING, hold, picked, picks

every_picker = pytest.mark.parametrize("name", PICKERS)
sharing = pytest.mark.parametrize("name", SHARING)
quick_to_make = pytest.mark.parametrize("name", [name for name in SHARING if name != "maglev"])


@pytest.mark.parametrize("weights", [(2, 1), (1, 2, 3), (1, 4, 4, 1), (3, 3, 2, 2, 1, 1)])
@sharing
def test_short_connections(name: str, weights: tuple[float, ...]) -> None:
    """Each endpoint gets its part of short connections, give or take a twentieth."""
    endpoints, rng = weighted(*weights), Random(7)
    counts = picks(algorithm(name)(endpoints, rng, None), 60_000, rng)

    assert [counts[each] for each in endpoints] == pytest.approx(shares(endpoints, 60_000), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("count", [10, 100, 1_000])
@sharing
def test_short_connections_to_many(name: str, count: int) -> None:
    """The light third, the middle and the heavy third of a large service get their parts."""
    endpoints, rng = weighted(1, 2, 3, count=count), Random(7)
    counts = picks(algorithm(name)(endpoints, rng, None), 10_000, rng)

    fair = dict(zip(endpoints, shares(endpoints, 10_000), strict=True))
    assert by_weight(endpoints, counts) == pytest.approx(by_weight(endpoints, fair), rel=0.05)
    assert all(counts[each] < 2 * fair[each] + 10 for each in endpoints)


@pytest.mark.parametrize(
    "name,within",
    [("least_connections", 1.0), ("round_robin", 1.0), ("p2c", 5.0), ("peak_ewma", 5.0), ("maglev", 15.0)],
)
@pytest.mark.parametrize("seed", range(20))
def test_three_hundred_on_ten(name: str, within: float, seed: int) -> None:
    """How many connections too many or too few a pod holds, of 300 on 10 pods of weights 1, 2 and 3."""
    endpoints, rng = weighted(1, 2, 3, count=10), Random(seed)
    counts = hold(algorithm(name)(endpoints, rng, None), endpoints, 300, rng)

    assert counts == pytest.approx(shares(endpoints, 300), abs=within)


@sharing
def test_one_to_a_thousand(name: str) -> None:
    """The lightest endpoint is not forgotten, nor taken for one like any."""
    endpoints, rng = weighted(1_000, 1), Random(7)
    counts = picks(algorithm(name)(endpoints, rng, None), 30_000, rng)

    assert 15 < counts[endpoints[1]] < 60


@pytest.mark.slow
@pytest.mark.parametrize("weights", [(1_000, 1, 2, 1), (4, 1, 2, 1), (1, 1, 2, 1)])
@sharing
def test_retries(name: str, weights: tuple[float, ...]) -> None:
    """Sessions that tried one endpoint, light or heavy, share the others by weight."""
    if name == "maglev" and max(weights) == 1_000:
        pytest.skip("the others have some sixteen slots each: those before them decide, not the weights")
    endpoints, rng = weighted(*weights), Random(7)
    tried, left = endpoints[:1], endpoints[1:]
    counts = picks(algorithm(name)(endpoints, rng, None), 20_000, rng, tried)

    # With maglev the slots of the one tried go to their neighbours, whoever these happen to be.
    within = 0.1 if name == "maglev" else 0.05
    assert [counts[each] for each in left] == pytest.approx(shares(left, 20_000), rel=within)


@every_picker
def test_a_session_can_try_them_all(name: str) -> None:
    """One after the other, each endpoint once, then none; and afterwards all are there again."""
    endpoints, rng = weighted(100, 10, 1, count=7), Random(7)
    picker = algorithm(name)(endpoints, rng, None)
    for _ in range(20):
        tried: list[Endpoint] = []
        while endpoint := picked(picker, rng, tried):
            tried.append(endpoint)

        assert len(tried) == 7
        assert set(tried) == set(endpoints)


@sharing
def test_a_change_of_weights(name: str) -> None:
    """New weights hold from the next snapshot on, or a second later; the one in use keeps those it knows."""
    endpoints, rng = weighted(1, 2, 3), Random(7)
    before = algorithm(name)(endpoints, rng, None)
    old = shares(endpoints, 15_000)
    weigh(endpoints, [3, 2, 1])
    new = shares(endpoints, 15_000)

    counts = picks(before, 15_000, rng)
    assert [counts[each] for each in endpoints] == pytest.approx(old, rel=0.05)
    counts = picks(algorithm(name)(endpoints, rng, before), 15_000, rng, now=1.0)
    assert [counts[each] for each in endpoints] == pytest.approx(new, rel=0.05)


# How many connections a pod of weight 3 and one of weight 1 have, and what part of the new ones the light one
# gets: its share where neither is less busy even with one more.
BUSY = [
    ([0, 0], "share"), ([1, 0], "share"), ([2, 0], "share"), ([3, 1], "share"), ([3_001, 1_000], "share"),
    ([3, 0], "most"), ([7, 1], "most"), ([30, 0], "most"), ([3_003, 1_000], "most"),
    ([0, 1], "none"), ([2, 1], "none"), ([3, 2], "none"), ([2_999, 1_000], "none"),
]  # fmt: skip


@pytest.mark.parametrize("load,gets", BUSY)
@pytest.mark.parametrize("name,most", [("p2c", 0.5), ("least_connections", 1.0)])
def test_busy_for_its_weight(name: str, most: float, load: list[int], gets: str) -> None:
    """A pod of three times the weight is as busy with three times as many; one connection proves nothing."""
    endpoints, rng = weighted(3, 1), Random(7)
    for endpoint, in_flight in zip(endpoints, load, strict=True):
        endpoint.in_flight = in_flight
    firsts = Counter(picked(algorithm(name)(endpoints, rng, None), rng) for _ in range(4_000))

    want = {"share": 0.25, "most": most, "none": 0.0}[gets]
    assert firsts[endpoints[1]] / 4_000 == pytest.approx(want, abs=0.02)


@pytest.mark.parametrize("name,heavy", [("p2c", 0.2), ("least_connections", 0.0)])
def test_rounding_makes_nobody_busier(name: str, heavy: float) -> None:
    """Three connections on a pod of weight 1.8 are as many as one on 0.6, though they are fewer as floats."""
    endpoints, rng = weighted(3, 1, 1), Random(7)
    endpoints[0].in_flight = 3
    firsts = Counter(picked(algorithm(name)(endpoints, rng, None), rng) for _ in range(4_000))

    assert 3 / endpoints[0].weight < 1 / endpoints[1].weight
    assert firsts[endpoints[0]] / 4_000 == pytest.approx(heavy, abs=0.02)


@pytest.mark.parametrize("name", ["p2c", "least_connections", "peak_ewma"])
def test_busy_for_the_weight_it_had(name: str) -> None:
    """How busy an endpoint is, too, is judged by the weights of the snapshot."""
    endpoints, rng = weighted(3, 1), Random(7)
    endpoints[0].in_flight, endpoints[1].in_flight = 9, 4
    before = algorithm(name)(endpoints, rng, None)
    weigh(endpoints, [1, 3])
    after = algorithm(name)(endpoints, rng, None)

    assert set(picks(before, 100, rng)) == {endpoints[0]}
    assert picks(after, 1_000, rng)[endpoints[1]] >= 750


@pytest.mark.parametrize("weight", [0.3, 1 / 3, 7.0])
@every_picker
def test_equal_weights_change_nothing(name: str, weight: float) -> None:
    """When all weigh the same, however much, each connection goes where it would without weights."""
    endpoints = fleet(7)

    def some_picks() -> list[Endpoint | None]:
        rng = Random(7)
        picker = algorithm(name)(endpoints, rng, None)
        first = [picked(picker, rng) for _ in range(100)]
        picker = algorithm(name)(endpoints[1:], rng, picker)
        return first + [picked(picker, rng, endpoints[step % 7 :][:2]) for step in range(100)]

    without = some_picks()
    for endpoint in endpoints:
        endpoint.weight = weight

    assert some_picks() == without


@pytest.mark.parametrize("weights", [(3, 1), (1, 2, 1)])
@quick_to_make
def test_first_connections_of_many_sidecars(name: str, weights: tuple[float, ...]) -> None:
    """Sidecars that have one connection each share by weight, too."""
    endpoints = weighted(*weights)
    firsts: Counter[Endpoint] = Counter()
    for seed in range(4_000):
        rng = Random(seed)
        firsts += picks(algorithm(name)(endpoints, rng, None), 1, rng)

    assert [firsts[each] for each in endpoints] == pytest.approx(shares(endpoints, 4_000), rel=0.1)


@pytest.mark.parametrize("weight", [1 / 3, 3])
@quick_to_make
def test_replaced_with_every_pick(name: str, weight: float) -> None:
    """A new endpoint before each connection, a light or a heavy one, is neither flooded nor left out."""
    stable, newcomers, rng = fleet(9), fleet(5_000), Random(7)
    picker: Picker | None = None
    counts: Counter[Endpoint] = Counter()
    for newcomer in newcomers:
        newcomer.weight = weight
        picker = algorithm(name)([newcomer, *stable], rng, picker)
        counts += picks(picker, 1, rng)

    fair = 5_000 / (9 + weight)
    assert fair / 2 < min(counts[each] for each in stable)
    assert max(counts[each] for each in stable) < 2 * fair
    assert fair * weight / 2 < 5_000 - sum(counts[each] for each in stable) < 2 * fair * weight
