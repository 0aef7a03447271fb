"""Lets through so many log lines in a row, and then so many a second; says how many it kept back."""

from proxy.model import Clock

IN_A_ROW = 100
A_SECOND = 5.0


class Sparing:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = float(IN_A_ROW)
        self._at = clock.now()
        self._unsaid = 0

    def may_say(self) -> str | None:
        """None to be silent now; else what to add about those that were kept back."""
        now = self._clock.now()
        self._left = min(IN_A_ROW, self._left + (now - self._at) * A_SECOND)
        self._at = now
        if self._left < 1:
            self._unsaid += 1
            return None
        self._left -= 1
        unsaid, self._unsaid = self._unsaid, 0
        return f" ({unsaid} more since the last line)" if unsaid else ""
