"""Chooses the few endpoints that this pod connects to, so that a fleet of many pods uses all of them evenly.

Each pod has an order of its own over the endpoints (rendezvous hashing: Thaler and Ravishankar, 1998; gRPC's
A68) and takes the first ones. An endpoint that comes or goes changes one place of it. While some of those
fail, the next ones in the order stand in, and the failing ones go on being checked.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from proxy.model import Identity
from proxy.policy.endpoint import Endpoint
from proxy.policy.health import Status


def rank(pod: str, identity: Identity) -> int:
    """Where `identity` stands in the order of `pod`; the same in every process."""
    who = identity.name or str(identity.address)
    return int.from_bytes(blake2b(f"{pod}\0{who}".encode(), digest_size=8).digest())


def in_order(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """As this pod takes them into use: those of a better priority first, then by their rank."""
    return sorted(endpoints, key=lambda each: (each.priority, each.rank))


def choose(ordered: Sequence[Endpoint], size: int) -> list[Endpoint]:
    """Those of `ordered` that are used: `size` usable ones, and whoever stands before the last of them.

    Failing ones are among those, so that checks and probation bring them back; newcomers too, but no more
    than `size`, and they push nobody out before they have passed a check.
    """
    chosen: list[Endpoint] = []
    usable = unchecked = 0
    for endpoint in ordered:
        if endpoint.health.status is Status.UNCHECKED:
            unchecked += 1
            if unchecked > size:
                continue
        usable += endpoint.usable
        chosen.append(endpoint)
        if usable == size:
            break
    return chosen
