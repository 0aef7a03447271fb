"""A recovered or new endpoint is never flooded: at most twice its fair share, whatever the picker."""

from collections.abc import Collection
from math import sqrt
from random import Random

import pytest

from proxy.policy import slow_start
from proxy.policy.endpoint import Endpoint
from proxy.policy.load import PeakEwma
from proxy.policy.pickers import Picker, algorithm
from proxy.policy.pickers.ration import BURST
from tests.policy.pickers.weighing import shares
from tests.support.fleet import fleet
from tests.support.traffic import SHARING, Held

sharing = pytest.mark.parametrize("name", SHARING)


def at_most(fair: float) -> float:
    """Twice its share, the few in a row that are not counted, and three standard deviations."""
    return 2 * fair + BURST + 3 * sqrt(2 * fair)


class Service:
    """Ten endpoints that hold thirty connections each; an eleventh is known to answer as fast or faster."""

    def __init__(self, name: str, seed: int, latency_s: float = 0.1) -> None:
        self.name = name
        self.rng = Random(seed)
        self.endpoints = fleet(11)
        self.newcomer = self.endpoints[-1]
        for endpoint in self.endpoints:
            endpoint.latency.observe(latency_s if endpoint is self.newcomer else 0.1, 0.0)
        self.held = Held(300)
        self.picker: Picker | None = None
        self.publish(10)
        for _ in range(900):
            self.connect()

    def publish(self, count: int) -> None:
        self.picker = algorithm(self.name)(self.endpoints[:count], self.rng, self.picker)

    def connect(self, *, ends_at_once: Collection[Endpoint] = ()) -> bool:
        """Whether the newcomer gets the next connection, which stays open unless it is to one of those."""
        assert self.picker is not None
        return self.held.connect(self.picker, self.rng, ends_at_once) is self.newcomer


@pytest.mark.parametrize("stays", [True, False])
@pytest.mark.parametrize("ramp", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("seed", range(3))
@sharing
def test_it_comes(name: str, seed: int, ramp: float, stays: bool) -> None:
    """Of 1,000 connections, that stay or end at once, it gets twice its share at most, and some."""
    service = Service(name, seed, latency_s=0.001)
    service.newcomer.ramp = ramp
    service.publish(11)
    ends_at_once = () if stays else service.endpoints
    got = sum(service.connect(ends_at_once=ends_at_once) for _ in range(1_000))

    fair = shares(service.endpoints, 1_000)[-1]
    assert fair / 4 < got < at_most(fair)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@sharing
def test_it_warms_up(name: str, seed: int) -> None:
    """During the slow start, too, whose every step is a new snapshot; then it has what the others have."""
    service, got, fair = Service(name, seed), 0, 0.0
    for age in range(slow_start.STEPS + 1):
        service.newcomer.ramp = slow_start.ramp(age, slow_start.STEPS)
        service.publish(11)
        got += sum(service.connect() for _ in range(50))
        fair += shares(service.endpoints, 50)[-1]
        assert got < at_most(fair)
    for _ in range(1_000):
        service.connect()
    assert service.newcomer.in_flight == pytest.approx(27, abs=16 if name in ("random", "maglev") else 5)


@pytest.mark.parametrize("seed", range(3))
@sharing
def test_it_fails_fast(name: str, seed: int) -> None:
    """A pod whose connections end at once is always idle, and soon the others nearly are: it gets no more."""
    service = Service(name, seed, latency_s=0.001)
    service.publish(11)
    got = sum(service.connect(ends_at_once=[service.newcomer]) for _ in range(5_000))

    assert 5_000 / 11 / 2 < got < at_most(5_000 / 11)


@pytest.mark.parametrize("latency_s", [0.001, 0.1, None])
@pytest.mark.parametrize("stays", [True, False])
@pytest.mark.parametrize("name", ["p2c", "peak_ewma", "least_connections"])
def test_without_slow_start(name: str, stays: bool, latency_s: float | None) -> None:
    """With SLOW_START=0 it has no connections yet, and all its weight: of the first ones, too, it gets twice
    its share at most, in any run of luck.
    """
    for seed in range(20):
        service = Service(name, seed, latency_s=latency_s or 0.1)
        if latency_s is None:
            service.newcomer.latency = PeakEwma()
        service.publish(11)
        row = [service.connect(ends_at_once=() if stays else [service.newcomer]) for _ in range(110)]
        assert sum(row[:33]) <= 1 + 2 * 33 / 11
        assert sum(row) <= 1 + 2 * 110 / 11
        assert any(row)


@pytest.mark.parametrize("name", ["p2c", "peak_ewma", "least_connections"])
def test_who_comes_back_is_a_newcomer(name: str) -> None:
    """An endpoint that was out and is in again, with none of the connections it had."""
    service = Service(name, 7)
    service.publish(11)
    for _ in range(300):
        service.connect()
    service.publish(10)
    service.newcomer.in_flight = 0
    service.publish(11)

    assert sum(service.connect() for _ in range(33)) <= 1 + 2 * 33 / 11


def test_snapshots_do_not_start_anew() -> None:
    """That DNS changes all the time gives a pod that fails fast no more of least_connections."""
    service, got = Service("least_connections", 7), 0
    for step in range(3_000):
        service.endpoints[step % 10].weight = 1.0 + step % 2 / 100
        service.publish(11)
        got += service.connect(ends_at_once=[service.newcomer])

    assert got < at_most(3_000 / 11)
