"""One endpoint after the other, from a random start, in an order of this sidecar's own.

The place survives changes of the set: starting over at the first endpoint with every DNS change gave some
pods three to four times their share during deploys (grpc-java#4462).

An endpoint of twice the weight has a turn twice as often, evenly in between: each is due again 1/weight after
it was, and the earliest is next (Waldspurger, "Stride Scheduling", 1995; Envoy's EDF scheduler). With equal
weights that is a plain round.
"""

from collections.abc import Sequence
from heapq import heappop, heappush, heapreplace
from operator import itemgetter

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import Lots, Pick, Picker, PickInfo

Turn = tuple[float, int, float, Endpoint]  # due, rank among those due at once, time until due again, whose


class RoundRobin:
    """`_turns` is a heap; `_now` is when the last one served was due."""

    def __init__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None) -> None:
        known: dict[Endpoint, float] = previous._waits() if isinstance(previous, RoundRobin) else {}
        waits = {each: known[each] if each in known else rng.random() for each in endpoints}
        if endpoints and known.keys().isdisjoint(endpoints):
            # A start drawn by weight: the first to be due is too often a heavy one, as its wait is short.
            lots = Lots.of(endpoints)
            waits[lots.endpoints[lots.draw(rng)]] = 0.0
        every = {each: 1 / each.effective_weight for each in endpoints}
        dues = sorted(((wait * every[each], each) for each, wait in waits.items()), key=itemgetter(0))
        self._turns: list[Turn] = [(due, rank, every[each], each) for rank, (due, each) in enumerate(dues)]
        self._now = 0.0

    def pick(self, info: PickInfo) -> Pick | None:
        passed: list[Turn] = []
        while self._turns and self._turns[0][3] in info.tried:
            passed.append(heappop(self._turns))
        if not self._turns:
            self._turns = passed
            return None
        self._now, rank, again, endpoint = self._turns[0]
        heapreplace(self._turns, (self._now + again, rank, again, endpoint))
        for due, rank, again, each in passed:  # these turns are over; the later ones are when they were
            over = 1 + (self._now - due) // again
            heappush(self._turns, (due + over * again, rank, again, each))
        return Pick(endpoint)

    def _waits(self) -> dict[Endpoint, float]:
        """How many turns of its own each has still to wait: a new weight changes how long that is."""
        return {endpoint: (due - self._now) / again for due, _, again, endpoint in self._turns}
