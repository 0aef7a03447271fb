"""The endpoint with the fewest connections of this sidecar for its weight; ties are broken at random.

Like least_conn of nginx. As in p2c, one that is drawn by weight is taken unless another is less busy, so that
a quiet service shares by weight, too. None gets more than twice its share for being the least busy: neither a
newcomer, nor one that is idle because it fails fast. That is all that connections can tell of such a pod.
"""

from collections.abc import Sequence
from operator import truediv

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import TIE, Lots, Pick, Picker, PickInfo
from proxy.policy.pickers.ration import Ration

SHOWN = 5  # of those that were compared


class LeastConnections:
    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None) -> None:
        self._lots = Lots.of(endpoints)
        before = previous._ration if isinstance(previous, LeastConnections) else None
        self._ration: Ration = Ration(endpoints, before)

    def pick(self, info: PickInfo) -> Pick | None:
        lots = self._lots.untried(info.tried)
        if not lots.endpoints:
            return None
        return self._ration.pick(lots, _least_busy, info)


def _least_busy(lots: Lots, info: PickInfo) -> Pick:
    """One drawn by weight, unless another is no busier even with one more: then the least busy of all."""
    first = lots.draw(info.rng)
    limit = lots.load(first)
    if not limit:
        return Pick(lots.endpoints[first], ((lots.endpoints[first], limit),))
    with_one: list[float] = [each.in_flight + 1 for each in lots.endpoints]
    if lots.weights:
        with_one = list(map(truediv, with_one, lots.weights))
    fewest = min(with_one)
    if fewest > limit * TIE:
        return Pick(lots.endpoints[first], ((lots.endpoints[first], limit),))
    level = fewest * TIE if lots.weights else fewest
    # Always taking the first of them sends every quiet client to the same pod (caddy#5609).
    best = [index for index, load in enumerate(with_one) if load <= level]
    taken = best[int(info.rng.random() * len(best))]
    shown = {taken, first, *best[: SHOWN - 2]}
    return Pick(lots.endpoints[taken], tuple([(lots.endpoints[each], lots.load(each)) for each in shown]))
