"""Decides how many of those in a line have stood there for too long, where only its length can be seen."""

from collections import deque

LOOKS = 4  # within the patience


class Patience:
    """For a line that is first in, first out: nobody waits longer than `seconds`, nor goes before 3/4.

    Whoever was there at a look is still there later, or has been taken: who came first is taken first.
    """

    def __init__(self, seconds: float) -> None:
        self.look_every_s = seconds / LOOKS
        self._give_up_after_s = seconds - self.look_every_s
        self._taken = 0  # since the first look
        self._overdue = 0  # the number, counted from there, of the last one who has waited for too long
        self._seen: deque[tuple[float, int]] = deque()  # when, and the number of the last one in the line

    def look(self, length: int, now: float) -> int:
        """So many stand there now; how many of them, the first ones, have to go."""
        self._seen.append((now, self._taken + length))
        while self._seen[0][0] <= now - self._give_up_after_s:
            self._overdue = self._seen.popleft()[1]
        return min(length, max(0, self._overdue - self._taken))

    def took(self, count: int) -> None:
        """So many have left the line, at its front."""
        self._taken += count
