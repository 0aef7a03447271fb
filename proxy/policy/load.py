"""How long an endpoint makes its clients wait: one number that jumps up at once and comes down slowly.

Peak EWMA (Finagle, Linkerd): a sample above the estimate replaces it, one below moves it by how long ago the
last one was. An endpoint that nobody uses is forgotten: what was true half a minute ago says nothing now.

A failure costs as much as the longest wait there is, so that a pod which fails fast is not the quickest of
all (Linkerd's penalty for failures).

A pod that speaks first is measured from when it took the connection: that is the wait for a greeting. If it
is silent until it has news to push, this is no wait, but nothing tells the two apart; pods are alike in it.
"""

from math import exp

DECAY_S = 10.0  # Finagle's and Linkerd's default
FORGOTTEN_AFTER_S = 3 * DECAY_S


def is_unanswered(to_pod: int, from_pod: int, pod_first: bool) -> bool:
    """Whether a connection that ended so was a failure: the pod took its client's bytes, and ended it without
    one of its own. That proves nothing, as in some protocols (syslog) only clients speak; but then all pods
    are alike, and mostly it is the client who ends it.
    """
    return pod_first and to_pod > 0 and from_pod == 0


class PeakEwma:
    """Seconds, and when they were learned; `failed_at`: when some were a penalty for the last time."""

    __slots__ = ("at", "failed_at", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.at = self.failed_at = float("-inf")

    def observe(self, seconds: float, now: float) -> None:
        if self.seconds < seconds or now - self.at >= FORGOTTEN_AFTER_S:
            self.seconds = seconds
        else:
            self.seconds = seconds + (self.seconds - seconds) * exp((self.at - now) / DECAY_S)
        self.at = now

    def read(self, now: float) -> float | None:
        """The estimate, on its way down since the last sample; None when nothing is known (any more)."""
        age = now - self.at
        return None if age >= FORGOTTEN_AFTER_S else self.seconds * exp(-age / DECAY_S)

    def penalise(self, seconds: float, now: float) -> None:
        """A connection failed: as if it had taken so long."""
        self.observe(seconds, now)
        self.failed_at = now

    def has_just_failed(self, now: float) -> bool:
        """Whether it is so fresh that no wait compares: a service may be slower than the penalty."""
        return now - self.failed_at < DECAY_S

    def is_penalty(self, now: float) -> bool:
        """Whether more of the estimate comes from failures than from waiting."""
        return now - self.failed_at < FORGOTTEN_AFTER_S
