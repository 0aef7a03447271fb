"""Counts what happened lately, in a fixed number of slots: no list of events, no timer."""


class SlidingCount:
    """Of the last `slots` - 1 whole slots of `width_s` and the one that runs."""

    __slots__ = ("_counts", "_ends", "_place", "_slot", "_width_s")

    def __init__(self, width_s: float, slots: int) -> None:
        self._width_s = width_s
        self._counts = [0] * slots
        self._slot = self._place = 0  # that runs, and where it is among the counts
        self._ends = width_s  # when it does

    def add(self, now: float, count: int = 1) -> None:
        if now >= self._ends:
            self._turn(int(now / self._width_s))
        self._counts[self._place] += count

    def total(self, now: float) -> int:
        self._turn(int(now / self._width_s))
        return sum(self._counts)

    def _turn(self, slot: int) -> None:
        """Forget what is too old by the time of `slot`."""
        for passed in range(min(slot - self._slot, len(self._counts))):
            self._counts[(slot - passed) % len(self._counts)] = 0
        self._slot, self._place = slot, slot % len(self._counts)
        self._ends = (slot + 1) * self._width_s
