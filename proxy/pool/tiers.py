"""Keeps one snapshot to pick from for each tier of endpoints, the better ones first."""

from collections.abc import Sequence, Set
from typing import NamedTuple

from proxy.model import Identity, Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import Factory, Pick, Picker, PickInfo

DOUBTFUL, LAST_RESORT = 1 << 16, 1 << 17  # after all of SRV's priorities: a doubtful pod beats none
NAMED = 20  # of those who are not used
STANDBY = 1 << 18  # no tier to balance over: the next one in this pod's own order


def tier_of(endpoint: Endpoint, held: Set[Identity], panicking: bool) -> int:
    """SRV's priority; after those who is unusable, then who is neither in DNS nor proven to live."""
    if endpoint.identity in held and not endpoint.proven:
        return LAST_RESORT
    good = endpoint.usable or endpoint.on_probation
    return endpoint.priority if good or panicking else DOUBTFUL


def name_of(tier: int) -> str:
    """A tier in words."""
    if tier == LAST_RESORT:
        return "last resort: not in DNS, not proven to live"
    if tier == STANDBY:
        return "standby: all of the subset were tried"
    return "doubtful: no better one was left" if tier == DOUBTFUL else f"usable, priority {tier}"


class Field(NamedTuple):
    """Who was there to be picked, as a snapshot saw it. `others`: some of those not used, each with its state
    and what had brought it there. `panic`: why they were used all the same.
    """

    usable: int
    others: tuple[tuple[Endpoint, str, str], ...] = ()
    panic: str = ""


class Chosen(NamedTuple):
    tier: int
    pick: Pick


class Tiers:
    """Replaced tier by tier, whole snapshots: nobody changes what the data path picks from.

    `panic_below`: the share of usable endpoints below which all are used, as Envoy's healthy panic threshold.
    """

    def __init__(self, factory: Factory, panic_below: float, rng: Rng) -> None:
        self._factory = factory
        self._panic_below = panic_below
        self._rng = rng
        self.pickers: dict[int, Picker] = {}
        self.field = Field(0)

    def publish(self, endpoints: Sequence[Endpoint], held: Set[Identity]) -> None:
        """New snapshots of `endpoints`; each algorithm goes on where it stood in its tier."""
        others = [each for each in endpoints if _reason(each, held)]
        usable = len(endpoints) - len(others)
        named = tuple((each, _reason(each, held), each.why) for each in others[:NAMED])
        self.field = Field(usable, named, self._panic(usable, len(endpoints)))
        tiers: dict[int, list[Endpoint]] = {}
        for endpoint in endpoints:
            tiers.setdefault(tier_of(endpoint, held, bool(self.field.panic)), []).append(endpoint)
        self.pickers = {
            tier: self._factory(tiers[tier], self._rng, self.pickers.get(tier)) for tier in sorted(tiers)
        }

    def _panic(self, usable: int, whole: int) -> str:
        if not usable:
            return "none_usable" if whole else ""
        return "threshold" if usable < self._panic_below * whole else ""

    def pick(self, info: PickInfo) -> Chosen | None:
        """The endpoint of the next connection, none of those tried, from the first tier that has one."""
        for tier, picker in self.pickers.items():
            if pick := picker.pick(info):
                return Chosen(tier, pick)
        return None


def _reason(endpoint: Endpoint, held: Set[Identity]) -> str:
    """Why it is not used while others may be; nothing if it is."""
    if not endpoint.usable:
        return endpoint.state.value
    return "not in DNS" if endpoint.identity in held and not endpoint.proven else ""
