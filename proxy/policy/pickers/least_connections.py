"""The endpoint with the fewest connections of this sidecar for its weight; ties are broken at random.

Like least_conn of nginx. Those tied are drawn by weight, so that a quiet service shares by weight, too.
"""

from collections.abc import Collection, Sequence

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import TIE, Lots, Picker


class LeastConnections:
    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None) -> None:
        self._lots = Lots.of(endpoints)

    def pick(self, tried: Collection[Endpoint], rng: Rng) -> Endpoint | None:
        lots = self._lots.untried(tried)
        if not lots.endpoints:
            return None
        loads: Sequence[float] = [endpoint.in_flight for endpoint in lots.endpoints]
        fewest: float = min(loads)
        if lots.weights:
            loads = [load / weight for load, weight in zip(loads, lots.weights, strict=True)]
            fewest = min(loads) * TIE
        # Always taking the first of them sends every quiet client to the same pod (caddy#5609).
        least = lots.only([load <= fewest for load in loads])
        return least.endpoints[least.draw(rng)]
