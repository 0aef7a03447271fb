"""The less busy of two endpoints drawn at random.

Nearly as even as looking at all of them, without the herd: when many clients see the same "least busy"
endpoint they all run to it (Mitzenmacher, "The Power of Two Choices", 2001). Linkerd's and Finagle's default.
"""

from collections.abc import Collection, Sequence

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import Picker, untried


class P2C:
    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None) -> None:
        self._endpoints = tuple(endpoints)

    def pick(self, tried: Collection[Endpoint], rng: Rng) -> Endpoint | None:
        candidates = untried(self._endpoints, tried)
        count = len(candidates)
        if count < 2:
            return candidates[0] if candidates else None
        first = rng.randrange(count)
        second = rng.randrange(count - 1)
        second += second >= first  # skips `first`: the two are distinct, every pair as likely as the next
        one, other = candidates[first], candidates[second]
        # The draw's order is random, so a tie goes to either with the same chance.
        return one if one.in_flight <= other.in_flight else other
