"""The one of two at random that costs its client less: latency times connections."""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

import pytest

from proxy.policy.endpoint import Endpoint
from proxy.policy.load import FORGOTTEN_AFTER_S
from proxy.policy.pickers import PickInfo
from proxy.policy.pickers.peak_ewma import PeakEwma
from tests.policy.pickers.weighing import shares, weighted
from tests.support.fleet import fleet
from tests.support.traffic import picks, some_info


def measured(*latencies: float | None) -> list[Endpoint]:
    """Endpoints that took so long when they were last seen, at time 0."""
    endpoints = fleet(len(latencies))
    for endpoint, latency in zip(endpoints, latencies, strict=True):
        if latency is not None:
            endpoint.latency.observe(latency, 0.0)
    return endpoints


@pytest.mark.parametrize(
    "latencies,load,cheaper",
    [
        ((0.1, 0.21), [0, 0], 0),
        ((0.3, 0.1), [0, 0], 1),
        ((0.1, 0.1), [3, 2], 1),
        ((0.01, 0.1), [8, 0], 0),
        ((0.01, 0.1), [10, 0], 1),
        ((0.01, 0.1), [500, 51], 0),
    ],
)
def test_the_cheaper_of_two(latencies: tuple[float, float], load: list[int], cheaper: int) -> None:
    """A pod ten times as fast is worth ten times the queue."""
    endpoints, rng = measured(*latencies), Random(7)
    for endpoint, in_flight in zip(endpoints, load, strict=True):
        endpoint.in_flight = in_flight

    assert set(picks(PeakEwma(endpoints, rng), 200, rng)) == {endpoints[cheaper]}


@pytest.mark.parametrize("latencies", [(None, 0.001), (5.0, None), (None, None)])
@pytest.mark.parametrize("load", [[2, 1], [1, 2]])
def test_without_a_latency(latencies: tuple[float | None, float | None], load: list[int]) -> None:
    """When one of the two is not known the fewer connections decide, and the note says so."""
    endpoints, rng = measured(*latencies), Random(7)
    for endpoint, in_flight in zip(endpoints, load, strict=True):
        endpoint.in_flight = in_flight
    found = [PeakEwma(endpoints, rng).pick(some_info(rng)) for _ in range(200)]

    assert {pick and pick.endpoint for pick in found} == {endpoints[load.index(1)]}
    assert {pick and pick.note for pick in found} == {"by connections, as a latency is not known"}


@pytest.mark.parametrize("now,cheaper", [(0.0, 0), (FORGOTTEN_AFTER_S - 0.1, 0), (FORGOTTEN_AFTER_S, 1)])
def test_an_old_latency_is_forgotten(now: float, cheaper: int) -> None:
    """An endpoint that was slow half a minute ago is tried again."""
    endpoints, rng = measured(0.1, 9.0), Random(7)
    endpoints[0].in_flight = 1
    picker = PeakEwma(endpoints, rng)
    found = {pick and pick.endpoint for pick in (picker.pick(some_info(rng, now=now)) for _ in range(100))}

    assert found == {endpoints[cheaper]}


def test_a_slow_pod_sheds_load() -> None:
    """One pod of ten that is three times slower gets nothing while all are idle, and holds a third later."""
    endpoints, rng = measured(0.3, *[0.1] * 9), Random(7)
    picker = PeakEwma(endpoints, rng)
    idle = picks(picker, 1_000, rng)
    for _ in range(280):
        pick = picker.pick(some_info(rng))
        assert pick is not None
        pick.endpoint.in_flight += 1

    assert idle[endpoints[0]] == 0
    assert endpoints[0].in_flight == pytest.approx(10, abs=2)


@pytest.mark.parametrize("weights", [(3, 1), (1, 2, 3), (1,) * 5])
@pytest.mark.parametrize("noisy", [True, False])
def test_equally_fast(weights: tuple[float, ...], noisy: bool) -> None:
    """Endpoints that take equally long, give or take chance, share by weight."""
    endpoints, rng = weighted(*weights), Random(7)
    picker, counts = PeakEwma(endpoints, rng), dict.fromkeys(endpoints, 0)
    for now in range(20_000):
        for endpoint in endpoints:
            endpoint.latency.at = float("-inf")
            endpoint.latency.observe(rng.uniform(0.01, 0.1) if noisy else 0.1, now)
        pick = picker.pick(some_info(rng, now=now))
        assert pick is not None
        counts[pick.endpoint] += 1

    assert list(counts.values()) == pytest.approx(shares(endpoints, 20_000), rel=0.05)


def test_for_its_weight() -> None:
    """A pod of three times the weight costs as much with three times the connections, despite rounding."""
    endpoints, rng = weighted(1, 3, 7), Random(7)
    for endpoint, in_flight in zip(endpoints, [1, 3, 7], strict=True):
        endpoint.in_flight = in_flight
        endpoint.latency.observe(0.1, 0.0)
    counts = picks(PeakEwma(endpoints, rng), 20_000, rng)

    assert [counts[each] for each in endpoints] == pytest.approx(shares(endpoints, 20_000), rel=0.05)


@pytest.mark.parametrize("latencies", [(0.1, 0.2), (0.2, 0.1), (0.0001, 0.009), (0.01, 0.004), (0.005, 0.0)])
def test_alike(latencies: tuple[float, float]) -> None:
    """Twice as long is chance, and so is what takes a few milliseconds at most: connections decide."""
    endpoints, rng = measured(*latencies), Random(7)
    endpoints[0].in_flight, endpoints[1].in_flight = 2, 3
    found = [PeakEwma(endpoints, rng).pick(some_info(rng)) for _ in range(50)]

    assert {pick and pick.endpoint for pick in found} == {endpoints[0]}
    assert {pick and pick.note for pick in found} == {"by connections, as the latencies are alike"}


def loopback(rng: Random) -> float:
    """Half a millisecond; now and then somebody's loop was busy."""
    stall = rng.uniform(0.0, 0.005) if rng.random() < 0.05 else 0.0
    return rng.lognormvariate(-7.6, 0.4) + stall


@pytest.mark.parametrize("draw,most", [(loopback, 38), (lambda rng: rng.expovariate(20), 40)])
@pytest.mark.parametrize("seed", range(10))
def test_connections_that_stay(draw: Callable[[Random], float], most: int, seed: int) -> None:
    """300 on ten equal pods, whose latencies differ by chance: they are about as even as with p2c."""
    endpoints, rng = fleet(10), Random(seed)
    picker = PeakEwma(endpoints, rng)
    under_way: list[tuple[float, float, int]] = []
    for number in range(300):
        now = number * 0.03
        while under_way and under_way[0][0] <= now:
            at, latency_s, place = heappop(under_way)
            endpoints[place].latency.observe(latency_s, at)
        pick = picker.pick(some_info(rng, now=now))
        assert pick is not None
        pick.endpoint.in_flight += 1
        latency_s = draw(rng)
        heappush(under_way, (now + latency_s, latency_s, endpoints.index(pick.endpoint)))

    assert max(each.in_flight for each in endpoints) <= most
    assert min(each.in_flight for each in endpoints) >= 15


@pytest.mark.parametrize("now,chosen", [(0.0, 1), (9.9, 1), (10.1, 0)])
def test_who_has_just_failed(now: float, chosen: int) -> None:
    """Nothing is slow enough, nor busy enough, to be worse for some seconds; then it is tried again."""
    endpoints, rng = measured(None, 3.0), Random(7)
    endpoints[0].latency.penalise(1.0, 0.0)
    endpoints[1].in_flight = 40
    picker = PeakEwma(endpoints, rng)
    found = {pick and pick.endpoint for pick in (picker.pick(some_info(rng, now=now)) for _ in range(50))}

    assert found == {endpoints[chosen]}


def test_all_have_just_failed() -> None:
    """Then they are compared as ever: one-way protocols, or a service that is down."""
    endpoints, rng = measured(0.1, 0.1, 0.1), Random(7)
    for endpoint in endpoints:
        endpoint.latency.penalise(1.0, 0.0)
    endpoints[0].in_flight = 5

    assert set(picks(PeakEwma(endpoints, rng), 100, rng)) == {*endpoints[1:]}


def test_scores() -> None:
    """Those who ask why see what the two cost."""
    endpoints, rng = measured(0.1, 0.3), Random(7)
    endpoints[0].in_flight = 4
    pick = PeakEwma(endpoints, rng).pick(PickInfo((), 0.0, rng))

    assert pick is not None
    assert pick.endpoint is endpoints[1]
    assert dict(pick.scores) == pytest.approx({endpoints[0]: 0.5, endpoints[1]: 0.3})


def test_one_endpoint() -> None:
    """There is nothing to compare."""
    endpoints, rng = measured(0.1), Random(7)

    assert set(picks(PeakEwma(endpoints, rng), 3, rng)) == {endpoints[0]}
