"""Which endpoints this pod uses, in an order of its own."""

from collections.abc import Iterable

import pytest

from proxy.model import Address, Identity
from proxy.policy.ejection import Ejection, Phase
from proxy.policy.endpoint import Endpoint
from proxy.policy.health import Health, Status
from proxy.policy.subset import choose, in_order, rank
from tests.support.fleet import fleet

KINDS = {
    "a": (Status.ASSUMED, Phase.SERVING),
    "h": (Status.HEALTHY, Phase.SERVING),
    "n": (Status.UNCHECKED, Phase.SERVING),  # a newcomer
    "u": (Status.UNHEALTHY, Phase.SERVING),
    "e": (Status.HEALTHY, Phase.EJECTED),
}


def these(kinds: str) -> list[Endpoint]:
    endpoints = fleet(len(kinds))
    for endpoint, kind in zip(endpoints, kinds, strict=True):
        status, phase = KINDS[kind]
        endpoint.health, endpoint.ejection = Health(status), Ejection(phase)
    return endpoints


@pytest.mark.parametrize(
    "kinds,size,want",
    [
        ("hhhhh", 2, "01"),
        ("hah", 2, "01"),
        ("hh", 5, "01"),
        ("", 5, ""),
        ("uhhh", 2, "012"),  # who fails stays, to be checked, and somebody stands in
        ("euhhh", 2, "0123"),
        ("huhh", 2, "012"),
        ("hhue", 2, "01"),  # who fails behind them is none of ours
        ("uuuu", 2, "0123"),  # nobody is left out while there are too few
        ("nhhh", 2, "012"),  # a newcomer pushes nobody out
        ("nnnhhh", 2, "0134"),  # no more than two of them
        ("nnnn", 2, "01"),
    ],
)
def test_choose(kinds: str, size: int, want: str) -> None:
    """The first usable ones, so many, and whoever stands before the last of them."""
    endpoints = these(kinds)
    assert "".join(str(endpoints.index(each)) for each in choose(endpoints, size)) == want


def by_rank(endpoints: Iterable[Endpoint]) -> list[int]:
    return [each.rank for each in in_order(endpoints)]


def test_order() -> None:
    """By rank; those of a better priority first, whatever their rank: the others are for failover."""
    endpoints = fleet(4)
    for endpoint, (priority, number) in zip(endpoints, [(0, 9), (1, 1), (0, 5), (1, 3)], strict=True):
        endpoint.priority, endpoint.rank = priority, number

    assert by_rank(endpoints) == by_rank(reversed(endpoints)) == [5, 9, 1, 3]


def test_rank() -> None:
    """Another one for each pod and each endpoint; a named endpoint has its own wherever it runs."""
    here, there = Address("10.0.0.1", 80), Address("10.0.0.2", 80)
    ranks = {rank(pod, Identity(address)) for pod in ("web-1", "web-2") for address in (here, there)}

    assert len(ranks) == 4
    assert rank("web-1", Identity(here, "orders-1")) == rank("web-1", Identity(there, "orders-1"))
    assert rank("web-1", Identity(here, "orders-1")) != rank("web-1", Identity(here, "orders-2"))
    assert rank("web-1", Identity(here)) == rank("web-1", Identity(Address("10.0.0.1", 80)))
