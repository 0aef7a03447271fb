"""The first endpoint there is: for a primary with its replicas, of which one serves and the others wait.

First in a list that a person wrote, or by the ordinal of a StatefulSet's pod (redis-0 before redis-1), which
SRV tells. A and AAAA records have neither: then it is the lowest address, which is another pod after each
rollout and says nothing of who is the primary. The pool keeps those that may not be used now in a tier of
their own: that is how the next one takes over. Weights mean nothing here, as nothing is shared; nor does slow
start: the one that comes first has all connections at once, cold as it may be.
"""

import ipaddress
import re
from collections.abc import Sequence

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import Pick, Picker, PickInfo

ORDINAL = re.compile(r"[^.]*-(0|[1-9][0-9]*)")
Rank = tuple[int, float, int, bytes, int]


class Ordered:
    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None) -> None:
        self._endpoints = sorted(endpoints, key=_rank)

    def pick(self, info: PickInfo) -> Pick | None:
        for number, endpoint in enumerate(self._endpoints, 1):
            if endpoint not in info.tried:
                return Pick(endpoint, note=f"number {number} of {len(self._endpoints)}")
        return None


def _rank(endpoint: Endpoint) -> Rank:
    address = endpoint.identity.address
    ip = ipaddress.ip_address(address.ip)
    return endpoint.place, _ordinal(endpoint), ip.version, ip.packed, address.port


def _ordinal(endpoint: Endpoint) -> float:
    """The number of a StatefulSet's pod; endless for others, which come after."""
    label = endpoint.identity.name.partition(".")[0]
    # CoreDNS names a pod without a hostname by its address: 10-0-0-7 is no ordinal.
    unnamed = {re.sub("[.:]", "-", address.ip) for address in endpoint.addresses}
    found = ORDINAL.fullmatch(label)
    return int(found[1]) if found and label not in unnamed else float("inf")
