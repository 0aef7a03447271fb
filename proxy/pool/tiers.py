"""Keeps one snapshot to pick from for each tier of endpoints, the better ones first."""

from collections.abc import Collection, Iterable, Set

from proxy.model import Identity, Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import Picker, make_picker

DOUBTFUL, LAST_RESORT = 1 << 16, 1 << 17  # after all of SRV's priorities: a doubtful pod beats none


def tier_of(endpoint: Endpoint, held: Set[Identity]) -> int:
    """SRV's priority; after those who is unusable, then who is neither in DNS nor proven to live."""
    if endpoint.identity in held and not endpoint.proven:
        return LAST_RESORT
    return endpoint.priority if endpoint.usable else DOUBTFUL


class Tiers:
    """Replaced tier by tier, whole snapshots: nobody changes what the data path picks from."""

    def __init__(self, algorithm: str, rng: Rng) -> None:
        self._algorithm = algorithm
        self._rng = rng
        self.pickers: dict[int, Picker] = {}

    def publish(self, endpoints: Iterable[Endpoint], held: Set[Identity]) -> None:
        """New snapshots of `endpoints`; each algorithm goes on where it stood in its tier."""
        tiers: dict[int, list[Endpoint]] = {}
        for endpoint in endpoints:
            tiers.setdefault(tier_of(endpoint, held), []).append(endpoint)
        self.pickers = {
            tier: make_picker(self._algorithm, tiers[tier], self._rng, self.pickers.get(tier))
            for tier in sorted(tiers)
        }

    def pick(self, tried: Collection[Endpoint]) -> Endpoint | None:
        """The endpoint of the next connection, none of `tried`, from the first tier that has one."""
        for picker in self.pickers.values():
            if endpoint := picker.pick(tried, self._rng):
                return endpoint
        return None
