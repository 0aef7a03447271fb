"""Decides whether a connection that failed may try another endpoint. A dead service is not hammered.

Finagle's and Linkerd's budget of 20 % and 10 a second. It is for retries in the dark: one at an endpoint that
proved itself when it was last used costs nothing, as it helps.
"""

from collections.abc import Collection

from proxy.errors import ConnectError, Refused
from proxy.policy.sliding import SlidingCount

WINDOW_S = 10
FLOOR_PER_S = 10  # so that a quiet service can retry at all
TRIED_MOST = 20  # by one connection, refusals included: where half are dead, one in a million fails


def is_over(failures: Collection[ConnectError], attempts: int, hopeful: bool) -> bool:
    """Whether a connection has had its `attempts`, after these failures. `hopeful`: whether an endpoint is
    left that it has not tried and that nothing speaks against.

    A refusal comes at once and costs nobody anything. With half of all pods just killed, three attempts would
    fail one connection in eight: while there is hope, refusals are not counted. Who asks for one attempt has
    one all the same.
    """
    if attempts == 1:
        return True
    counted = [each for each in failures if not (hopeful and isinstance(each, Refused))]
    return len(counted) >= attempts or len(failures) >= max(attempts, TRIED_MOST)


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
