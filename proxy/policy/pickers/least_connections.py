"""The endpoint with the fewest connections of this sidecar; ties are broken at random."""

from collections.abc import Collection, Sequence

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import Picker, untried


class LeastConnections:
    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None) -> None:
        self._endpoints = tuple(endpoints)

    def pick(self, tried: Collection[Endpoint], rng: Rng) -> Endpoint | None:
        candidates = untried(self._endpoints, tried)
        if not candidates:
            return None
        fewest = min(endpoint.in_flight for endpoint in candidates)
        # Always taking the first of them sends every quiet client to the same pod (caddy#5609).
        least = [endpoint for endpoint in candidates if endpoint.in_flight == fewest]
        return least[rng.randrange(len(least))]
