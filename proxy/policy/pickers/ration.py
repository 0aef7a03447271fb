"""Decides whether an endpoint has had twice its share of the connections already.

The load alone does not tell. A pod that fails fast, or closes at once, is always the least busy: it gets each
connection, so that the others soon look idle, too (in a simulation: 97 % of the traffic of ten pods). Neither
does it tell of a newcomer, which has no connections yet, that it must not be given all the next ones.

The generic cell rate algorithm (ITU-T I.371), with a clock that moves on by one with each connection of all.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import Lots, Pick, PickInfo

MOST = 2.0  # times its share: what drawing two gives a pod on average at most
BURST = 5  # picks in a row when it had fewer before: in simulations least_connections is as even as without
LUCK = 50  # the same where two are drawn: who is never drawn too often needs no limit but as a newcomer


class Ration:
    """`burst`: so many picks in a row has who had fewer before. `_again`: how long the clock runs until one
    that is picked all the time may be picked again. `_due`: when those picked lately will have earned their
    picks.

    Who comes to others, or comes back to them, has no such row to his credit: he had fewer for a reason.
    """

    __slots__ = ("_again", "_clock", "_due", "_row")

    def __init__(self, endpoints: Sequence[Endpoint], previous: "Ration | None", burst: int = BURST) -> None:
        whole = sum(each.weight for each in endpoints)
        ramped = sum(each.effective_weight for each in endpoints)  # that others are cold adds nothing to MOST
        self._again = {
            each: max(whole / each.weight, ramped / each.effective_weight) / MOST for each in endpoints
        }
        self._clock = 0.0
        self._row = burst - 1
        self._due = {} if previous is None else previous._owed(self._again)
        if previous is not None and previous._again:
            come = self._again.keys() - previous._again.keys()
            self._due.update({each: self._row * self._again[each] for each in come})

    def allows(self, endpoint: Endpoint) -> bool:
        ahead = self._due.get(endpoint, 0.0) - self._clock
        return ahead <= self._row * self._again[endpoint]

    def take(self, endpoint: Endpoint) -> None:
        self._due[endpoint] = max(self._due.get(endpoint, 0.0), self._clock) + self._again[endpoint]
        self._clock += 1.0

    def pick(self, lots: Lots, choose: Callable[[Lots, PickInfo], Pick], info: PickInfo) -> Pick:
        """The one of `lots` that `choose` takes, or one of the others if it had twice its share."""
        pick = choose(lots, info)
        if not self.allows(pick.endpoint):
            others = lots.only([self.allows(each) for each in lots.endpoints])
            if others.endpoints:
                note = f"{pick.endpoint.label} was preferred, but had twice its share"
                pick = replace(choose(others, info), note=note)
        self.take(pick.endpoint)
        return pick

    def _owed(self, again: dict[Endpoint, float]) -> dict[Endpoint, float]:
        """When they are due by another clock, which starts at 0: they owe as many picks as before."""
        return {
            each: (due - self._clock) / self._again[each] * again[each]
            for each, due in self._due.items()
            if due > self._clock and each in again
        }
