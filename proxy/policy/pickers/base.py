"""What every picker is: a snapshot of endpoints that answers one question."""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate, compress
from typing import Protocol

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint

TIE = 1 + 1e-9  # loads no further apart are equal: rounding hides that 3 on 0.3 are as many as 1 on 0.1


class Picker(Protocol):
    """A snapshot the data path picks from. Never blocks, never changes which endpoints it knows."""

    def pick(self, tried: Collection[Endpoint], rng: Rng) -> Endpoint | None:
        """The endpoint of the next connection, none of `tried`; None when there is no other."""


class Lots:
    """Endpoints that are drawn in proportion to their weights (RFC 2782), as these were when this was made.

    `weights`, and `sums` that runs over them, are empty when all weigh the same, as in Kubernetes: drawing is
    then a matter of whole numbers.
    """

    __slots__ = ("endpoints", "sums", "weights")

    def __init__(self, endpoints: Sequence[Endpoint], weights: Sequence[float]) -> None:
        self.endpoints = endpoints
        self.weights = weights
        self.sums = list(accumulate(weights)) if weights else weights

    @classmethod
    def of(cls, endpoints: Sequence[Endpoint]) -> "Lots":
        weights = [endpoint.weight for endpoint in endpoints]
        return cls(tuple(endpoints), weights if len(set(weights)) > 1 else ())

    def only(self, wanted: Collection[bool]) -> "Lots":
        weights = list(compress(self.weights, wanted)) if self.weights else self.weights
        return Lots(list(compress(self.endpoints, wanted)), weights)

    def untried(self, tried: Collection[Endpoint]) -> "Lots":
        """All but `tried`; the very same object on the usual path, where nothing was tried."""
        return self.only([endpoint not in tried for endpoint in self.endpoints]) if tried else self

    def draw(self, rng: Rng) -> int:
        """The index of one."""
        if not self.sums:
            return rng.randrange(len(self.endpoints))
        last = len(self.sums) - 1  # rounding may take the point to the very end of the line
        return bisect_right(self.sums, rng.random() * self.sums[-1], 0, last)

    def draw_two(self, rng: Rng) -> tuple[int, int]:
        """The indices of two: the second is drawn from what is left of the line when the first is cut out."""
        if not self.sums:
            first, second = rng.randrange(len(self.endpoints)), rng.randrange(len(self.endpoints) - 1)
            return first, second + (second >= first)
        first = self.draw(rng)
        before, past = self.sums[first - 1] if first else 0.0, self.sums[first]
        point = rng.random() * (before + (self.sums[-1] - past))
        if point < before:
            return first, bisect_right(self.sums, point, 0, first)
        return first, bisect_right(self.sums, point - before + past, first + 1, len(self.sums) - 1)
