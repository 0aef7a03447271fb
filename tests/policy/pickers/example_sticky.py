"""A picker of one's own: HEADWAY_BALANCER=example_sticky:Sticky."""

from collections.abc import Sequence

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import Pick, Picker, PickInfo


class Sticky:
    """All connections go to one endpoint for as long as it is there: its caches know this client."""

    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None) -> None:
        self.endpoints = endpoints
        self.favourite = endpoints[rng.randrange(len(endpoints))]
        if isinstance(previous, Sticky) and previous.favourite in endpoints:
            self.favourite = previous.favourite

    def pick(self, info: PickInfo) -> Pick | None:
        if self.favourite not in info.tried:
            return Pick(self.favourite)
        left = [each for each in self.endpoints if each not in info.tried]
        return Pick(left[0], note="the favourite does not answer") if left else None
