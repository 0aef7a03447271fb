"""The first one there is."""

from itertools import permutations
from random import Random

import pytest

from proxy.model import Address, Identity, Listed
from proxy.policy.endpoint import Endpoint
from proxy.policy.health import Health, Status
from proxy.policy.pickers.ordered import Ordered
from tests.support.fleet import fleet
from tests.support.traffic import picked


def pod(ip: str, name: str = "", place: int = 0, port: int = 80, other: str = "") -> Endpoint:
    endpoint = Endpoint(Identity(Address(ip, port), name), Health(Status.HEALTHY))
    endpoint.follow(Listed(place=place, other=Address(other, port) if other else None))
    return endpoint


def order(endpoints: list[Endpoint]) -> list[Endpoint]:
    """In which order a session tries them."""
    tried: list[Endpoint] = []
    while endpoint := picked(Ordered(endpoints, Random(7)), Random(7), tried):
        tried.append(endpoint)
    return tried


ORDERS = {
    "ordinals": [pod("10.0.0.9", f"redis-{n}.redis.default.svc.cluster.local") for n in (0, 2, 10)],
    "addresses": [pod("9.0.0.1"), pod("10.0.0.9"), pod("10.0.0.10"), pod("fd00::9"), pod("fd00::10")],
    "ports": [pod("10.0.0.1", port=80), pod("10.0.0.1", port=443), pod("10.0.0.1", port=8080)],
    "places": [pod("10.0.0.9", place=0), pod("10.0.0.1", "redis-0", place=1), pod("10.0.0.0", place=2)],
    "those without an ordinal last": [pod("10.0.0.9", "db-7"), pod("10.0.0.1"), pod("10.0.0.2", "primary")],
    # CoreDNS makes such names for pods that have none.
    "no ordinals": [
        pod("10.0.0.9", "10-0-0-9.db"),
        pod("10.0.1.1", "10-0-1-1.db"),
        pod("10.0.1.2", "a.b-0"),
    ],
    "no ordinals, both families": [
        pod("10.0.0.9", "fd00--9.db", other="fd00::9"),
        pod("10.0.0.10", "fd00--3.db", other="fd00::3"),
    ],
    "no ordinals, nearly": [
        pod("10.0.0.1", "web-x2"),
        pod("10.0.0.2", "web-007"),
        pod("10.0.0.3", "web0"),
    ],
}


@pytest.mark.parametrize("want", ORDERS.values(), ids=ORDERS)
def test_order(want: list[Endpoint]) -> None:
    """As a person wrote them, by ordinal, by address as a number: however DNS lists them."""
    for listed in permutations(want):
        assert order(list(listed)) == want


def test_all_go_to_the_first() -> None:
    """However busy it is, whatever its weight, and during its slow start."""
    endpoints, rng = fleet(5), Random(7)
    endpoints[0].in_flight, endpoints[0].ramp, endpoints[0].weight = 1_000, 0.1, 0.01
    picker = Ordered(endpoints, rng)

    assert {picked(picker, rng) for _ in range(100)} == {endpoints[0]}
    assert {picked(picker, rng, endpoints[:1]) for _ in range(100)} == {endpoints[1]}
