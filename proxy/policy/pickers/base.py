"""What every picker is: a snapshot of endpoints that answers one question."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate, compress
from typing import Protocol

import msgspec

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint

TIE = 1 + 1e-9  # loads no further apart are equal: rounding hides that 3 on 0.3 are as many as 1 on 0.1


class PickInfo(msgspec.Struct, frozen=True):
    """What is known of the connection that needs an endpoint.

    `tried`: endpoints that failed it already. `now`: seconds on a monotonic clock. `key`: whatever HASH_KEY
    names, as a number below 2**64 that is the same for the same client, pod or server name; 0 without one.
    """

    tried: Collection[Endpoint]
    now: float
    rng: Rng
    key: int = 0


class Pick(msgspec.Struct, frozen=True):
    """The endpoint, and for those who ask why: `scores` of all that were compared, the lower the better."""

    endpoint: Endpoint
    scores: tuple[tuple[Endpoint, float], ...] = ()
    note: str = ""


class Picker(Protocol):
    """A snapshot the data path picks from. Never blocks, never changes which endpoints it knows."""

    def pick(self, info: PickInfo) -> Pick | None:
        """The endpoint of the next connection, none of `info.tried`; None when there is no other."""


# Makes a snapshot that goes on where the previous one, if it is of the same algorithm, stood.
Factory = Callable[[Sequence[Endpoint], Rng, Picker | None], Picker]


class Lots:
    """Endpoints that are drawn in proportion to their weights (RFC 2782), as these were when this was made.

    `weights`, and `sums` that runs over them, are empty when all weigh the same, as in Kubernetes: drawing is
    then a matter of whole numbers.
    """

    __slots__ = ("_apart", "endpoints", "sums", "weights")

    def __init__(self, endpoints: Sequence[Endpoint], weights: Sequence[float]) -> None:
        self.endpoints = endpoints
        self.weights = weights
        self.sums = list(accumulate(weights)) if weights else weights
        self._apart = min(max(weights), self.sums[-1] / 2) if weights else 0.0

    @classmethod
    def of(cls, endpoints: Sequence[Endpoint]) -> "Lots":
        weights = [endpoint.effective_weight for endpoint in endpoints]
        return cls(tuple(endpoints), weights if len(set(weights)) > 1 else ())

    def only(self, wanted: Collection[bool]) -> "Lots":
        weights = list(compress(self.weights, wanted)) if self.weights else self.weights
        return Lots(list(compress(self.endpoints, wanted)), weights)

    def untried(self, tried: Collection[Endpoint]) -> "Lots":
        """All but `tried`; the very same object on the usual path, where nothing was tried."""
        return self.only([endpoint not in tried for endpoint in self.endpoints]) if tried else self

    def load(self, index: int) -> float:
        """Its connections for its weight."""
        in_flight = self.endpoints[index].in_flight
        return in_flight / self.weights[index] if self.weights else in_flight

    def draw(self, rng: Rng) -> int:
        """The index of one."""
        if not self.sums:
            return int(rng.random() * len(self.endpoints))  # three times as fast as randrange()
        return self._at(rng.random() * self.sums[-1])

    def draw_two(self, rng: Rng) -> tuple[int, int]:
        """The indices of two to compare, another one unless somebody has more than half of all weight.

        Each of the two is drawn by weight, so that no endpoint is drawn for more than twice its share. That
        would be lost by drawing the second one from all but the first: of two pods that weigh 10 and 1 the
        light one would always be there. Instead the second is so far along the line, which is bent to a ring,
        that it leaves the first one's part, however wide that is: at a distance that is drawn anew each time.
        """
        if not self.sums:
            count = len(self.endpoints)
            first, second = int(rng.random() * count), int(rng.random() * (count - 1))
            return first, second + (second >= first)
        whole, point = self.sums[-1], rng.random() * self.sums[-1]
        distance = self._apart + rng.random() * (whole - 2 * self._apart)
        return self._at(point), self._at((point + distance) % whole)

    def _at(self, point: float) -> int:
        """Whose part of the line this point is in."""
        return bisect_right(self.sums, point)
