"""Decides whether a connection that failed may try another endpoint. A dead service is not hammered.

Finagle's and Linkerd's budget of 20 % and 10 a second. It is for retries in the dark: one at an endpoint that
proved itself when it was last used costs nothing, as it helps.
"""

from proxy.policy.sliding import SlidingCount

WINDOW_S = 10
FLOOR_PER_S = 10  # so that a quiet service can retry at all


class RetryBudget:
    """`share`: retries per new connection over the last ten seconds, beside the floor."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._connections = SlidingCount(1.0, WINDOW_S)
        self._retries = SlidingCount(1.0, WINDOW_S)

    def connection(self, now: float) -> None:
        """One new connection came."""
        self._connections.add(now)

    def spend(self, now: float) -> bool:
        """Whether one more retry is within the budget; it is taken from it."""
        allowed = self._share * self._connections.total(now) + FLOOR_PER_S * WINDOW_S
        if self._retries.total(now) >= allowed:
            return False
        self._retries.add(now)
        return True
