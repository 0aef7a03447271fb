"""Decides how many connections are closed, and where, so that they come back to endpoints that came later.

Only a newcomer is a reason, and only connections older than it are closed: one that began later went where
the balancer wanted it, with the newcomer to choose from. So a connection is closed once for a scale-up at
most: neither the luck of few connections nor a slow pod that peak_ewma spares nor clients that stay away make
this an endless churn, and while nobody comes there is nothing to look at.

What a newcomer lacks has to be more than whole numbers explain: three connections to ten pods are as even as
they can be. Nobody is closed for it during its slow start, when most would come back elsewhere, and nobody at
all during an outage.

Who has too many keeps his share: of the most connections that there were since the newcomer came, as shares
of what is left would close down to the last one where clients do not come back.
"""

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heapreplace

import msgspec

from proxy.policy.endpoint import Endpoint

LOOK_EVERY_S = 5.0
EARNED_IN_S = 75.0  # what may be closed a minute: as looks may be late, and rests, no 60 s see more of them
BEGINS, ENDS = 0.25, 0.1  # the part of its share that a newcomer must lack; so much is left to chance
BEGINS_LEAST, ENDS_LEAST = 2.0, 1.0  # and as many connections: with fewer, nothing would be gained by a close
PATIENCE = 3.0  # times as long as closing every connection once takes: those that never rest are given up


class Newcomer(msgspec.Struct, frozen=True):
    """`takes`: whether it has lacked so many that others are closed for it."""

    endpoint: Endpoint
    came_at: float
    takes: bool = False


class Rule(msgspec.Struct, frozen=True):
    """`share`: of all connections, to be closed a minute. `most`: connections of one endpoint; 0 = no cap."""

    share: float
    slow_start_s: float = 0.0
    most: int = 0


class Stand(msgspec.Struct, frozen=True):
    """Whom to look after. `crowd`: the most connections there were meanwhile. `saved`: part of a close."""

    newcomers: tuple[Newcomer, ...] = ()
    crowd: int = 0
    saved: float = 0.0
    looked_at: float = 0.0

    @property
    def takers(self) -> set[Endpoint]:
        return {each.endpoint for each in self.newcomers if each.takes}


class Closings(msgspec.Struct, frozen=True):
    """How many to close at whom, of those that began before then."""

    before: float = 0.0
    counts: Mapping[Endpoint, int] = {}


NOBODY = Stand()


def joined(stand: Stand, came: Mapping[Endpoint, float], luck: float) -> Stand:
    """These came, and when. `luck`, from 0 to 1, keeps sidecars apart that all see them come."""
    if came and not stand.newcomers:
        stand = Stand(saved=-luck, looked_at=min(came.values()))
    others = (each for each in stand.newcomers if each.endpoint not in came)
    return msgspec.structs.replace(stand, newcomers=(*others, *(Newcomer(*each) for each in came.items())))


def look(stand: Stand, serving: Sequence[Endpoint], rule: Rule, now: float) -> tuple[Stand, Closings]:
    """Whom to look after from now on, and what to close now. `serving`: those in use; in an outage none."""
    crowd = max(stand.crowd, sum(each.in_flight for each in serving))
    shares = _shares(serving, crowd, rule.most)
    patient = [each for each in stand.newcomers if now < each.came_at + _patience_s(rule)]
    newcomers = (
        tuple(filter(None, (_followed(each, shares) for each in patient))) if serving else tuple(patient)
    )
    saved = stand.saved + rule.share * crowd * min(now - stand.looked_at, 2 * LOOK_EVERY_S) / EARNED_IN_S
    allowed = max(0, int(saved))  # what is not used is lost, but for the part
    after = Stand(newcomers, crowd, saved - allowed, now)
    if not serving or not after.takers:
        return after, Closings()
    lacking = sum(int(shares[each] - each.in_flight) for each in after.takers)
    before = max(each.came_at for each in newcomers if each.takes)
    return after, Closings(before, _from_the_fullest(shares, min(allowed, lacking)))


def _shares(serving: Sequence[Endpoint], crowd: int, most: int) -> dict[Endpoint, float]:
    """What each would have if all were even: by weight, and none where a better priority serves."""
    best = min((each.priority for each in serving), default=0)
    weights = {each: each.effective_weight * (each.priority == best) for each in serving}
    whole = sum(weights.values()) or 1.0
    shares = {each: crowd * weight / whole for each, weight in weights.items()}
    return {each: min(share, most) for each, share in shares.items()} if most else shares


def _followed(newcomer: Newcomer, shares: Mapping[Endpoint, float]) -> Newcomer | None:
    """It, as it stands now; None when it lacks nobody (any more), or is out."""
    endpoint = newcomer.endpoint
    if endpoint not in shares:
        return None
    if _is_cold(endpoint):
        return newcomer
    share = shares[endpoint]
    bound = max(ENDS_LEAST, ENDS * share) if newcomer.takes else max(BEGINS_LEAST, BEGINS * share)
    lacks = share - endpoint.in_flight
    return msgspec.structs.replace(newcomer, takes=True) if lacks >= bound else None


def _is_cold(endpoint: Endpoint) -> bool:
    return endpoint.warming_since is not None


def _patience_s(rule: Rule) -> float:
    return rule.slow_start_s + PATIENCE * EARNED_IN_S / rule.share


def _from_the_fullest(shares: Mapping[Endpoint, float], allowed: int) -> dict[Endpoint, int]:
    """One by one from whoever has the most too many then, down to the whole ones of his share.

    A taker lacks one whole connection at least, so that each of these makes the counts more even.
    """
    counts: dict[Endpoint, int] = {}
    full = [each for each, share in shares.items() if each.in_flight > int(share) and not _is_cold(each)]
    heap = [(shares[each] - each.in_flight, number) for number, each in enumerate(full)]
    heapify(heap)
    while heap and allowed:
        above, number = heap[0]
        endpoint, allowed = full[number], allowed - 1
        counts[endpoint] = counts.get(endpoint, 0) + 1
        if endpoint.in_flight - counts[endpoint] > int(shares[endpoint]):
            heapreplace(heap, (above + 1, number))
        else:
            heappop(heap)
    return counts
