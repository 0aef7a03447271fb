"""How long an endpoint makes its clients wait: one number that jumps up at once and comes down slowly.

Peak EWMA (Finagle, Linkerd): a sample above the estimate replaces it, one below moves it by how long ago the
last one was. An endpoint that nobody uses is forgotten: what was true half a minute ago says nothing now.
"""

from math import exp

DECAY_S = 10.0  # Finagle's and Linkerd's default
FORGOTTEN_AFTER_S = 3 * DECAY_S


class PeakEwma:
    """Seconds, and when they were learned."""

    __slots__ = ("at", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.at = float("-inf")

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
