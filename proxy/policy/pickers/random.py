"""Any endpoint, each as likely as its weight says."""

from collections.abc import Sequence

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import Lots, Pick, Picker, PickInfo


class Random:
    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None) -> None:
        self._lots = Lots.of(endpoints)

    def pick(self, info: PickInfo) -> Pick | None:
        lots = self._lots.untried(info.tried)
        return Pick(lots.endpoints[lots.draw(info.rng)]) if lots.endpoints else None
