"""Any endpoint, each as likely as the next."""

from collections.abc import Collection, Sequence

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import Picker, untried


class Random:
    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None) -> None:
        self._endpoints = tuple(endpoints)

    def pick(self, tried: Collection[Endpoint], rng: Rng) -> Endpoint | None:
        candidates = untried(self._endpoints, tried)
        return candidates[rng.randrange(len(candidates))] if candidates else None
