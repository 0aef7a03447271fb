"""Decides whether an endpoint has had twice its share of the connections already.

The load alone does not tell. A pod that fails fast, or closes at once, is always the least busy: it gets each
connection, so that the others soon look idle, too (in a simulation: 97 % of the traffic of ten pods).

The generic cell rate algorithm (ITU-T I.371), with a clock that moves on by one with each connection of all.
"""

from collections.abc import Sequence

from proxy.policy.endpoint import Endpoint

MOST = 2.0  # times its share: what p2c gives a pod at most, as it compares two
BURST = 5  # picks in a row when it had fewer before: in simulations least_connections is as even as without


class Ration:
    """`_again`: how long the clock runs until one that is picked all the time may be picked again.

    `_due`: when those picked lately will have earned all their picks.
    """

    __slots__ = ("_again", "_clock", "_due")

    def __init__(self, endpoints: Sequence[Endpoint], previous: "Ration | None") -> None:
        whole = sum(each.effective_weight for each in endpoints)
        self._again = {each: whole / (MOST * each.effective_weight) for each in endpoints}
        self._clock = 0.0
        self._due = {} if previous is None else previous._owed(self._again)

    def allows(self, endpoint: Endpoint) -> bool:
        ahead = self._due.get(endpoint, 0.0) - self._clock
        return ahead <= (BURST - 1) * self._again[endpoint]

    def take(self, endpoint: Endpoint) -> None:
        self._due[endpoint] = max(self._due.get(endpoint, 0.0), self._clock) + self._again[endpoint]
        self._clock += 1.0

    def _owed(self, again: dict[Endpoint, float]) -> dict[Endpoint, float]:
        """When they are due by another clock, which starts at 0: they owe as many picks as before."""
        return {
            each: (due - self._clock) / self._again[each] * again[each]
            for each, due in self._due.items()
            if due > self._clock and each in again
        }
