"""Keeps one snapshot to pick from for each tier of endpoints, the better ones first."""

from collections import Counter
from collections.abc import Collection, Sequence, Set
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from proxy.model import Identity, Rng
from proxy.policy import slow_start
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import Factory, Pick, Picker, PickInfo

DOUBTFUL, LAST_RESORT = 1 << 16, 1 << 17  # after all of SRV's priorities: a doubtful pod beats none
NAMED = 20  # of those who are not used
STANDBY = 1 << 18  # no tier to balance over: the next one in this pod's own order


def tier_of(
    endpoint: Endpoint, held: Set[Identity], panicking: Collection[int], pardoned: Collection[Endpoint] = ()
) -> int:
    """SRV's priority; after those who is unusable, then who is neither in DNS nor proven to live.

    Of the priorities that are `panicking` the unusable ones are used, too, and so are the `pardoned`.
    """
    if endpoint.identity in held and not endpoint.proven:
        return LAST_RESORT
    good = endpoint.usable or endpoint.on_probation or endpoint in pardoned
    return endpoint.priority if good or endpoint.priority in panicking else DOUBTFUL


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


class Chosen(msgspec.Struct, frozen=True):
    tier: int
    pick: Pick


class Tiers:
    """Replaced tier by tier, whole snapshots: nobody changes what the data path picks from.

    `panic_below`: the share of a priority's endpoints that is enough, as Envoy's healthy panic threshold. The
    first priority where anyone is usable serves. All of it do when no priority has enough usable ones: as in
    Envoy, while another one has, be it a later one, nobody is sent to those that are known to be dead.
    """

    def __init__(self, factory: Factory, panic_below: float, rng: Rng) -> None:
        self._factory = factory
        self._panic_below = panic_below
        self._rng = rng
        self.pickers: dict[int, Picker] = {}
        self.field = Field(0)
        self.counted = 0, 0  # the usable ones of those that serve, and all of them
        self._panicking: Collection[int] = ()
        self._first = 0  # the best priority there is

    def publish(
        self, endpoints: Sequence[Endpoint], held: Set[Identity], pardoned: Collection[Endpoint] = ()
    ) -> None:
        """New snapshots of `endpoints`; each algorithm goes on where it stood in its tier.

        `pardoned`: those that failed all together, probably by no fault of theirs. While checks take them out
        one by one, the last one left would get all there is.
        """
        others = [each for each in endpoints if _reason(each, held)]
        named = tuple((each, _reason(each, held), each.why) for each in others[:NAMED])
        panic = self._panic(endpoints, set(others)) or "all_failed" * bool(pardoned)
        self.field = Field(len(endpoints) - len(others), named, panic)
        tiers: dict[int, list[Endpoint]] = {}
        for endpoint in endpoints:
            tier = tier_of(endpoint, held, self._panicking, pardoned)
            tiers.setdefault(tier, []).append(endpoint)
        for alike in tiers.values():
            _keep_fair(alike)
        self.pickers = {
            tier: self._factory(tiers[tier], self._rng, self.pickers.get(tier)) for tier in sorted(tiers)
        }

    def _panic(self, endpoints: Sequence[Endpoint], others: Set[Endpoint]) -> str:
        """Why the unusable ones of the priority that serves are used; where nobody is usable, of all."""
        priorities = Counter(each.priority for each in endpoints)
        usable = Counter(each.priority for each in endpoints if each not in others)
        self._first = min(priorities, default=0)
        if not usable:
            self.counted, self._panicking = (0, len(endpoints)), priorities
            return "none_usable" if endpoints else ""
        serving = min(usable)
        self.counted = usable[serving], priorities[serving]
        panics = all(count < self._panic_below * priorities[each] for each, count in usable.items())
        self._panicking = {serving} if panics else ()
        return "threshold" if panics else ""

    def still_first(self, chosen: Chosen, held: Set[Identity]) -> bool:
        """Whether nobody else would have to be chosen, though states have changed since these snapshots."""
        endpoint = chosen.pick.endpoint
        good = endpoint.usable or endpoint.on_probation
        return good and chosen.tier == self._first == tier_of(endpoint, held, ())

    def pick(self, info: PickInfo, full: Collection[Endpoint] = ()) -> Chosen | None:
        """The endpoint of the next connection, none of those tried, from the first tier that has one.

        None of the `full` ones either. While those of a tier are full the worse tiers are not used: who is
        busy has not failed, and will have room again.
        """
        for tier, picker in self.pickers.items():
            pick = picker.pick(info)
            if pick is None:
                continue
            if full and pick.endpoint in full:
                pick = picker.pick(replace(info, tried={*info.tried, *full}))
            return None if pick is None else Chosen(tier, pick)
        return None


def _keep_fair(endpoints: Sequence[Endpoint]) -> None:
    """Nobody has far more than its share because others are in their slow start."""
    if any(each.ramp < 1.0 for each in endpoints):
        floor = slow_start.floor([(each.ramp, each.weight) for each in endpoints])
        for endpoint in endpoints:
            endpoint.ramp = max(endpoint.ramp, floor)


def _reason(endpoint: Endpoint, held: Set[Identity]) -> str:
    """Why it is not used while others may be; nothing if it is."""
    if not endpoint.usable:
        return endpoint.state.value
    return "not in DNS" if endpoint.identity in held and not endpoint.proven else ""
