"""Any endpoint, each as likely as its weight says."""

from collections.abc import Collection, Sequence

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import Lots, Picker


class Random:
    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None) -> None:
        self._lots = Lots.of(endpoints)

    def pick(self, tried: Collection[Endpoint], rng: Rng) -> Endpoint | None:
        lots = self._lots.untried(tried)
        return lots.endpoints[lots.draw(rng)] if lots.endpoints else None
