"""The less busy of two endpoints drawn at random.

Nearly as even as looking at all of them, without the herd: when many clients see the same "least busy"
endpoint they all run to it (Mitzenmacher, "The Power of Two Choices", 2001). Linkerd's and Finagle's default.
An endpoint of twice the weight is drawn twice as often, and as busy with twice as many connections.
"""

from collections.abc import Collection, Sequence

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import TIE, Lots, Picker


class P2C:
    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None) -> None:
        self._lots = Lots.of(endpoints)

    def pick(self, tried: Collection[Endpoint], rng: Rng) -> Endpoint | None:
        lots = self._lots.untried(tried)
        if len(lots.endpoints) < 2:
            return lots.endpoints[0] if lots.endpoints else None
        first, second = lots.draw_two(rng)
        one, other = lots.endpoints[first], lots.endpoints[second]
        # A tie goes to the one drawn first: it may be any, and is each as often as its weight says.
        if not lots.weights:
            return one if one.in_flight <= other.in_flight else other
        load, other_load = one.in_flight / lots.weights[first], other.in_flight / lots.weights[second]
        return one if load <= other_load * TIE else other
