"""Decides how many idle connections an endpoint should have, how old they may get, and when to dial again.

Envoy preconnects by a ratio of what is open, HAProxy keeps a number. Here it is what was needed: see Demand.
"""

from collections import deque

from proxy.model import Rng
from proxy.policy.jitter import jittered

MOST = 64  # for one endpoint, however many came at once
AGE_JITTER = 0.2  # at most so much sooner: those dialled together are not replaced together
KEEP = 0.75  # of the time after which pods close idle connections: one on its way out would be lost
BELIEVED_S = 600.0  # how long such a time is; it may have been a restart
YOUNG_S = 1.0  # one that ends sooner was not ended for being idle: the pod does not want it
PAUSE_S, PAUSE_MAX_S = 1.0, 60.0  # after a failed dial; doubles
SPREAD_S = 1.0  # over which the first dials to an endpoint are spread: a fleet hears of it at once
CONVINCED = 3  # sessions in a row whose pod spoke first, after one whose client did
OVERDUE_TIMES, OVERDUE_S = 4, 0.1  # a dial that takes so much longer than usual casts doubt on the pod

NEVER = float("-inf")


class Demand:
    """How many connections came to an endpoint within the time that one takes to dial, at most, lately.

    So many have to be there for each to find one. By Little's law that is rate x dial time on average; what
    bursts add to it is measured, not guessed. None are needed where the next burst comes so late that they
    would have aged, nor before a second one came: an idle sidecar dials nobody.
    """

    __slots__ = ("_before", "_began", "_came", "_gap_s", "_last", "_peak", "_since")

    def __init__(self) -> None:
        self._came: deque[float] = deque(maxlen=MOST)  # within the last dial time
        self._last = self._began = NEVER  # the latest, and the first of those that came with it
        self._gap_s = float("inf")  # from one such burst to the next; a dial is the longest
        self._peak = self._before = 0  # since then, and in the time of the same length before
        self._since = NEVER

    def came(self, now: float, dial_s: float, lifetime_s: float) -> None:
        """One more connection."""
        if now - self._began > dial_s:
            self._gap_s, self._began = now - self._began, now
        self._last = now
        self._came.append(now)
        while now - self._came[0] > dial_s:
            self._came.popleft()
        self._turn(now, lifetime_s)
        self._peak = max(self._peak, len(self._came))

    def needed(self, now: float, lifetime_s: float) -> int:
        """How many spares find a use before they are `lifetime_s` old."""
        if max(self._gap_s, now - self._last) > lifetime_s:
            return 0
        self._turn(now, lifetime_s)
        return max(self._peak, self._before)

    def _turn(self, now: float, lifetime_s: float) -> None:
        if (passed_s := now - self._since) >= lifetime_s:
            self._before = self._peak if passed_s < 2 * lifetime_s else 0
            self._peak, self._since = 0, now


class Patience:
    """How long the pods of a service keep an idle connection open, as far as any has shown."""

    __slots__ = ("_seconds", "_until")

    def __init__(self) -> None:
        self._seconds = float("inf")
        self._until = NEVER

    def learn(self, age_s: float, now: float) -> bool:
        """A pod closed a spare at that age and took the next one; whether that is news."""
        before = self._seconds if now < self._until else float("inf")
        self._seconds, self._until = min(before, age_s), now + BELIEVED_S
        return self._seconds < before

    def lifetime_s(self, max_age_s: float, now: float) -> float:
        """How old a spare may get."""
        return min(max_age_s, KEEP * self._seconds) if now < self._until else max_age_s


class Manners:
    """Who speaks first in a service, as its sessions show; `pod_first` is None before there was one.

    A spare whose pod has spoken holds a greeting, or the answer to something that no client has asked.
    """

    __slots__ = ("_in_a_row", "pod_first")

    def __init__(self) -> None:
        self.pod_first: bool | None = None
        self._in_a_row = 0

    def heard(self, unasked: bool) -> None:
        """The pod of a session sent its first byte; whether before its client had said anything."""
        self._in_a_row = self._in_a_row + 1 if unasked else 0
        if not unasked:
            self.pod_first = False  # such a client would have waited
        elif self.pod_first is None or self._in_a_row >= CONVINCED:  # a silent one may have been told off
            self.pod_first = True


def age_s(lifetime_s: float, rng: Rng) -> float:
    """When to replace one that is dialled now."""
    return lifetime_s * (1 - AGE_JITTER * rng.random())


def missing(wanted: int, there: int, in_flight: int, most: int, room: int) -> int:
    """How many to dial. `most`: how many connections the endpoint may have, 0 = no cap; `room`: how many more
    the process may.
    """
    if most:
        wanted = min(wanted, most - in_flight)
    return max(0, min(wanted - there, room))


def pause_s(failures: int, rng: Rng) -> float:
    """How long to leave an endpoint alone after so many failures in a row."""
    return jittered(min(PAUSE_S * 2.0 ** min(failures - 1, 10), PAUSE_MAX_S), rng)


def is_overdue(dialling_s: float, usual_s: float) -> bool:
    """Whether a dial that is under way for so long speaks against the spares that are there."""
    return dialling_s > max(OVERDUE_S, OVERDUE_TIMES * usual_s)
