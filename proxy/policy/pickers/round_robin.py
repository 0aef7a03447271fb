"""One endpoint after the other, from a random start, in an order of this sidecar's own.

The place survives changes of the set: starting over at the first endpoint with every DNS change gave some
pods three to four times their share during deploys (grpc-java#4462).
"""

from bisect import bisect_right
from collections.abc import Collection, Sequence

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import Picker


class RoundRobin:
    """Each endpoint stands at a random place on a circle; `_hand` points at the last one served."""

    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None) -> None:
        earlier = previous if isinstance(previous, RoundRobin) else None
        known = earlier._place_of if earlier else {}
        self._place_of: dict[Endpoint, float] = {
            each: known[each] if each in known else rng.random() for each in endpoints
        }
        self._endpoints = sorted(endpoints, key=self._place_of.__getitem__)
        self._places = [self._place_of[each] for each in self._endpoints]
        self._hand: float = earlier._hand if earlier else rng.random()

    def pick(self, tried: Collection[Endpoint], rng: Rng) -> Endpoint | None:
        count = len(self._endpoints)
        start = bisect_right(self._places, self._hand)
        for step in range(count):
            endpoint = self._endpoints[(start + step) % count]
            if endpoint not in tried:
                self._hand = self._place_of[endpoint]
                return endpoint
        return None
