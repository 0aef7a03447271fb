"""When most endpoints are in their slow start at once, nobody else is flooded for it: whatever the picker."""

from math import sqrt
from random import Random

import pytest

from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import algorithm
from proxy.policy.slow_start import LEAST
from proxy.pool.tiers import Tiers
from tests.support.fleet import fleet
from tests.support.traffic import SHARING, Held, picked

sharing = pytest.mark.parametrize("name", SHARING)


class Cold:
    """Eight endpoints of which so many are warm; the others are at a tenth, as are their pickers."""

    def __init__(self, name: str, warm: int, held: int, seed: int = 7) -> None:
        self.rng = Random(seed)
        self.endpoints = fleet(8)
        for endpoint in self.endpoints:
            endpoint.latency.observe(0.05, 0.0)
        self.tiers = Tiers(algorithm(name), 0.0, self.rng)
        self.held = Held(held)
        self.tiers.publish(self.endpoints, frozenset())
        self.connect(500)
        for endpoint in self.endpoints[warm:]:
            endpoint.ramp = LEAST
        self.tiers.publish(self.endpoints, frozenset())

    def connect(self, count: int) -> list[int]:
        """How many of the next connections each gets."""
        got: dict[Endpoint, int] = dict.fromkeys(self.endpoints, 0)
        for _ in range(count):
            got[self.held.connect(self.tiers.pickers[0], self.rng)] += 1
        return list(got.values())


@pytest.mark.parametrize("held", [0, 80, 240])
@pytest.mark.parametrize("warm", [1, 2, 3])
@sharing
def test_a_survivor_among_many_that_come_back(name: str, warm: int, held: int) -> None:
    """Most were out for a moment: the survivors have twice their share at most, of any connections."""
    got = Cold(name, warm, held).connect(2_000)
    fair = 2_000 / 8

    spread = 3 * sqrt(2 * fair) + (
        50 if name == "maglev" else 0
    )  # a table is no lot: some own a few slots more
    assert max(got) <= 2 * fair + spread
    assert min(got) >= fair / 4


@sharing
def test_an_idle_survivor(name: str) -> None:
    """It has none of the connections that the others hold, and still is not given all."""
    cold = Cold(name, 1, 240)
    cold.endpoints[0].in_flight = 0
    got = cold.connect(1_000)

    assert got[0] <= 2 * 125 + 50 + 3 * sqrt(250)


@sharing
def test_all_of_them(name: str) -> None:
    """Everyone is new: all are alike."""
    got = Cold(name, 0, 0).connect(4_000)

    assert max(got) <= 1.3 * 500
    assert min(got) >= 0.7 * 500


@sharing
def test_few_are_spared_as_ever(name: str) -> None:
    """One of eight is cold: it gets little, as slow start promises."""
    got = Cold(name, 7, 0).connect(4_000)

    assert got[7] <= 0.25 * 500


def test_each_priority_by_itself() -> None:
    """Endpoints that stand by for failover are warm, and no help to those that serve."""
    endpoints, rng = fleet(16), Random(7)
    for number, endpoint in enumerate(endpoints):
        endpoint.priority = number // 8
        endpoint.ramp = LEAST if 0 < number < 8 else 1.0
    tiers = Tiers(algorithm("random"), 0.0, rng)
    tiers.publish(endpoints, frozenset())
    got = [picked(tiers.pickers[0], rng) for _ in range(2_000)]

    assert got.count(endpoints[0]) == pytest.approx(500, rel=0.15)
