"""The less busy of two endpoints drawn at random.

Nearly as even as looking at all of them, without the herd: when many clients see the same "least busy"
endpoint they all run to it (Mitzenmacher, "The Power of Two Choices", 2001). Linkerd's and Finagle's default.
An endpoint of twice the weight is drawn twice as often, and as busy with twice as many connections.

Connections are all it looks at: a pod whose connections end fast is the less busy one, be it that it is quick
or that it fails. As it is drawn no more often it gets twice its share at most, and a ration sees to it that
chance adds hardly more. It does get that until checks or failed connects take it out: peak_ewma knows better.
"""

from collections.abc import Sequence

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import TIE, Lots, Pick, Picker, PickInfo
from proxy.policy.pickers.ration import LUCK, Ration


class P2C:
    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None) -> None:
        self._lots = Lots.of(endpoints)
        before = previous._ration if isinstance(previous, P2C) else None
        self._ration: Ration = Ration(endpoints, before, LUCK)

    def pick(self, info: PickInfo) -> Pick | None:
        lots = self._lots.untried(info.tried)
        if not lots.endpoints:
            return None
        return self._ration.pick(lots, _of_two, info)


def _of_two(lots: Lots, info: PickInfo) -> Pick:
    if len(lots.endpoints) < 2:
        return Pick(lots.endpoints[0])
    first, second = lots.draw_two(info.rng)
    return less_busy(lots, first, second)


def less_busy(lots: Lots, first: int, second: int, note: str = "") -> Pick:
    """The first, which may be any and is each as often as its weight says, unless the other is less busy.

    That is when even with one more it is no busier than the first is now. An idle light endpoint would else
    beat a heavy one with a single connection, and have most of a quiet service's.
    """
    one, other = lots.endpoints[first], lots.endpoints[second]
    load, other_load = one.in_flight, other.in_flight
    if not lots.weights:
        return Pick(one if load <= other_load else other, ((one, load), (other, other_load)), note)
    weight, other_weight = lots.weights[first], lots.weights[second]
    scores = (one, load / weight), (other, other_load / other_weight)
    return Pick(other if (other_load + 1) * weight <= load * other_weight * TIE else one, scores, note)
