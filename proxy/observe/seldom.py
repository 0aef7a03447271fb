"""Keeps what happens all the time from filling the log: each kind of thing is said once in a while."""

from collections import Counter

from proxy.model import Clock

EVERY_S = 60.0


class Seldom:
    def __init__(self, clock: Clock, every_s: float = EVERY_S) -> None:
        self._clock = clock
        self._every_s = every_s
        self._silent_until: dict[str, float] = {}
        self._unsaid: Counter[str] = Counter()

    def may_say(self, kind: str) -> str | None:
        """None to be silent about it now; else what to add on those that were not mentioned."""
        now = self._clock.now()
        if now < self._silent_until.get(kind, now):
            self._unsaid[kind] += 1
            return None
        self._silent_until[kind] = now + self._every_s
        unsaid = self._unsaid.pop(kind, 0)
        return f" ({unsaid} more since the last line)" if unsaid else ""
