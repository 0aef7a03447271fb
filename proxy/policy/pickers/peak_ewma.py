"""The one of two endpoints drawn at random that will make its client wait less.

The cost is the latency estimate times the connections with the new one: what Finagle calls peak EWMA and
Linkerd's proxy uses for all HTTP. An endpoint of which nothing is known is compared as p2c does, so that a
newcomer is tried, never flooded, and one that was slow is tried again once its estimate is forgotten.
"""

from collections.abc import Sequence

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import TIE, Lots, Pick, Picker, PickInfo
from proxy.policy.pickers.p2c import less_busy


class PeakEwma:
    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None) -> None:
        self._lots = Lots.of(endpoints)

    def pick(self, info: PickInfo) -> Pick | None:
        lots = self._lots.untried(info.tried)
        if len(lots.endpoints) < 2:
            return Pick(lots.endpoints[0]) if lots.endpoints else None
        first, second = lots.draw_two(info.rng)
        one, other = lots.endpoints[first], lots.endpoints[second]
        latency, other_latency = one.latency.read(info.now), other.latency.read(info.now)
        if latency is None or other_latency is None:
            return less_busy(lots, first, second, "by connections, as a latency is not known")
        load, other_load = float(one.in_flight), float(other.in_flight)
        if lots.weights:
            load, other_load = load / lots.weights[first], other_load / lots.weights[second]
        cost, other_cost = latency * (load + 1), other_latency * (other_load + 1)
        # A tie goes to the one drawn first: it is each as often as its weight says.
        return Pick(other if other_cost * TIE < cost else one, ((one, cost), (other, other_cost)))
