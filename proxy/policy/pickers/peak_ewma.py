"""The one of two endpoints drawn at random that will make its client wait less.

The cost is the latency estimate times the connections with the new one: what Finagle calls peak EWMA and
Linkerd's proxy uses for all HTTP. An endpoint of which nothing is known is compared as p2c does, so that a
newcomer is tried, never flooded, and one that was slow is tried again once its estimate is forgotten.

So are two whose latencies are alike: estimates that jump to the longest wait differ by chance alone, and
connections that stay open multiply that (of 300 on ten equal pods one had 1, another 41).

One that has just failed a connection, or ended it without a word, is passed over for any that has not: as its
connections end at once they are few, and would make it the cheapest whatever a failure costs. It is tried
again ten seconds later, so that a pod is not out for a single one; and before, where others fail as well.
"""

from collections.abc import Sequence

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import TIE, Lots, Pick, Picker, PickInfo
from proxy.policy.pickers.p2c import less_busy
from proxy.policy.pickers.ration import LUCK, Ration

ALIKE = 2.0  # times as long is no difference: nor is it between two estimates of the same pod
LEAST_S = 0.005  # what takes less is as if it took so long: below, our own loop makes the difference


class PeakEwma:
    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None) -> None:
        self._lots = Lots.of(endpoints)
        before = previous._ration if isinstance(previous, PeakEwma) else None
        self._ration: Ration = Ration(endpoints, before, LUCK)

    def pick(self, info: PickInfo) -> Pick | None:
        lots = self._lots.untried(info.tried)
        if not lots.endpoints:
            return None
        return self._ration.pick(lots, _cheaper, info)


def _cheaper(lots: Lots, info: PickInfo) -> Pick:
    if len(lots.endpoints) < 2:
        return Pick(lots.endpoints[0])
    first, second = lots.draw_two(info.rng)
    one, other = lots.endpoints[first], lots.endpoints[second]
    latency, other_latency = one.latency.read(info.now), other.latency.read(info.now)
    if latency is None or other_latency is None:
        return less_busy(lots, first, second, "by connections, as a latency is not known")
    failed = one.latency.has_just_failed(info.now)
    if failed is not other.latency.has_just_failed(info.now):
        scores = (one, latency), (other, other_latency)
        return Pick(other if failed else one, scores, "as the other has just failed")
    latency, other_latency = max(latency, LEAST_S), max(other_latency, LEAST_S)
    if latency <= ALIKE * other_latency and other_latency <= ALIKE * latency:
        return less_busy(lots, first, second, "by connections, as the latencies are alike")
    load, other_load = float(one.in_flight), float(other.in_flight)
    if lots.weights:
        load, other_load = load / lots.weights[first], other_load / lots.weights[second]
    cost, other_cost = latency * (load + 1), other_latency * (other_load + 1)
    # A tie goes to the one drawn first: it is each as often as its weight says.
    return Pick(other if other_cost * TIE < cost else one, ((one, cost), (other, other_cost)))
