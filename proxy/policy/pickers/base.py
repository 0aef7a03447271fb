"""What every picker is: a snapshot of endpoints that answers one question."""

from collections.abc import Collection, Sequence
from typing import Protocol

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint


class Picker(Protocol):
    """A snapshot the data path picks from. Never blocks, never changes which endpoints it knows."""

    def pick(self, tried: Collection[Endpoint], rng: Rng) -> Endpoint | None:
        """The endpoint of the next connection, none of `tried`; None when there is no other."""


def untried(endpoints: Sequence[Endpoint], tried: Collection[Endpoint]) -> Sequence[Endpoint]:
    """`endpoints` without `tried`; the very same object on the usual path, where nothing was tried."""
    return [endpoint for endpoint in endpoints if endpoint not in tried] if tried else endpoints
