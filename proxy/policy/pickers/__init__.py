"""The balancing algorithms, one file each, and the one registry that knows them all."""

from collections.abc import Callable, Sequence

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import Picker
from proxy.policy.pickers.least_connections import LeastConnections
from proxy.policy.pickers.p2c import P2C
from proxy.policy.pickers.random import Random
from proxy.policy.pickers.round_robin import RoundRobin

__all__ = ["PICKERS", "Picker", "make_picker"]

PICKERS: dict[str, Callable[[Sequence[Endpoint], Rng, Picker | None], Picker]] = {
    "p2c": P2C,
    "least_connections": LeastConnections,
    "round_robin": RoundRobin,
    "random": Random,
}


def make_picker(name: str, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None) -> Picker:
    """A new snapshot over `endpoints` that goes on where `previous`, of the same algorithm, stood."""
    return PICKERS[name](endpoints, rng, previous)
