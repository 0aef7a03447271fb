"""Decides when an endpoint is checked next, and when its connections make a check needless.

Three paces, as HAProxy's inter, fastinter and downinter: a well endpoint's, that of one on its way to another
state, and that of one that is down. Only the first grows with the numbers of endpoints and of sidecars.
"""

import msgspec

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.health import Status
from proxy.policy.jitter import JITTER, jittered

FAST, FAST_LEAST_S = 0.2, 0.2  # of the interval, and not below
SOON = 0.1  # of the interval: when an endpoint is first checked that waits for it
FLEET_RATE = 2.0  # checks a second that one endpoint sees of all sidecars together
GROWN_MOST_S = 300.0
DOWN_MOST_S = 30.0  # how long, with a grown interval, an endpoint that is well again may wait for a check
PROOF_LASTS = 2.0  # intervals; not above GROWN_MOST_S
ALIKE = 0.8  # two intervals no further apart than the jitter makes them anyway

NEVER = float("inf")
BEFORE_ALL = float("-inf")


class ProbeRule(msgspec.Struct, frozen=True):
    """`budget`: checks a second at most (0 = no limit).

    `asks_more`: whether a check asks more than whether connections work. Then those spare every second check
    only: a pod that accepts may still say that it is not well. The first failed check brings the next ones
    soon, so that HEALTH_FALL of 3 takes it out within three intervals, as if no check were spared.
    """

    interval_s: float
    budget: int = 0
    passive_first: bool = False
    asks_more: bool = False


class Crowd(msgspec.Struct, frozen=True):
    """`active` of the `members` are in use; `sidecars` (0 = nobody knows) do the same, each with its own."""

    active: int
    members: int
    sidecars: int = 0


def interval_s(rule: ProbeRule, crowd: Crowd) -> float:
    """The mean time between two checks of a well endpoint."""
    for_budget = crowd.active / rule.budget if rule.budget else 0.0
    checking_one = crowd.sidecars * crowd.active / crowd.members if crowd.members else 0.0
    grown_s = max(for_budget, checking_one / FLEET_RATE)
    return max(rule.interval_s, min(grown_s, GROWN_MOST_S))


def alike(one_s: float, other_s: float) -> bool:
    """Whether a timer set for one interval does for the other."""
    return min(one_s, other_s) >= ALIKE * max(one_s, other_s)


def fast_s(rule: ProbeRule) -> float:
    return min(rule.interval_s, max(FAST * rule.interval_s, FAST_LEAST_S))


def is_suspect(endpoint: Endpoint) -> bool:
    """Whether the next check may change its state, as far as one knows."""
    status = endpoint.health.status
    failed_last = endpoint.alive is False and status is not Status.UNHEALTHY
    return status is Status.UNCHECKED or endpoint.health.streak > 0 or failed_last


def at_usual_pace(endpoint: Endpoint) -> bool:
    return endpoint.health.status is not Status.UNHEALTHY and not is_suspect(endpoint)


def first_s(endpoint: Endpoint, rule: ProbeRule, usual_s: float, rng: Rng) -> float:
    """The time before its first check: spread over all of the interval, or a fleet that restarts checks in
    step for ever (envoy#10498).
    """
    if endpoint.health.status is Status.UNCHECKED:
        return SOON * rule.interval_s * rng.random()
    return pause_s(endpoint, rule, usual_s, rng) * rng.random()


def pause_s(endpoint: Endpoint, rule: ProbeRule, usual_s: float, rng: Rng) -> float:
    """The time to its next check; `usual_s` is what interval_s() said."""
    if is_suspect(endpoint):
        return jittered(fast_s(rule), rng)
    if endpoint.health.status is Status.UNHEALTHY:
        return jittered(max(rule.interval_s, min(usual_s, DOWN_MOST_S)), rng)
    return jittered(usual_s, rng)


def sooner_s(endpoint: Endpoint, rule: ProbeRule, due_in_s: float, rng: Rng) -> float:
    """The time to the check of a new suspect, which was `due_in_s`: less, unless it is soon anyway."""
    soon_s = fast_s(rule)
    if is_suspect(endpoint) and due_in_s > soon_s * (1 + JITTER):
        return soon_s * rng.random()
    return due_in_s


# --- passive first ------------------------------------------------------------------------------


def proof_s(usual_s: float) -> float:
    """How long connections stand for a check that asks more."""
    return max(usual_s, min(PROOF_LASTS * usual_s, GROWN_MOST_S))


def first_proof_until(rule: ProbeRule, usual_s: float, now: float, rng: Rng) -> float:
    """Until when connections may stand for the first check; as if the last one had been at any time."""
    return now + proof_s(usual_s) * rng.random() if rule.asks_more else NEVER


def proof_until(rule: ProbeRule, usual_s: float, now: float, rng: Rng) -> float:
    """Until when connections may stand for a check, after one at `now`."""
    return now + jittered(proof_s(usual_s), rng) if rule.asks_more else NEVER


def spared_s(
    endpoint: Endpoint, rule: ProbeRule, usual_s: float, until: float, now: float, rng: Rng
) -> float:
    """How long its connections make a check needless; 0 when it is due. `until`: what proof_until() said.

    No more than two looks in an interval come of it: each waits for the last success to grow old.
    """
    recent = now - endpoint.succeeded_at < usual_s
    if not (rule.passive_first and recent) or endpoint.failing or is_suspect(endpoint):
        return 0.0
    old_at = endpoint.succeeded_at + usual_s * (1 + JITTER * rng.random())
    return max(0.0, min(old_at, until) - now)


# --- the budget ---------------------------------------------------------------------------------


def turn(endpoint: Endpoint, due_at: float, usual_s: float) -> float:
    """Whose check comes first of those that wait for the budget since `due_at`: the lowest.

    A newcomer's first one before all others, as it serves nobody until then. One that may change what is
    known of an endpoint comes before one that most likely confirms it, unless that waits for an interval.
    """
    if endpoint.health.status is Status.UNCHECKED and not endpoint.health.streak:
        return BEFORE_ALL
    return due_at + usual_s if at_usual_pace(endpoint) else due_at


def slot(free_at: float, now: float, rule: ProbeRule) -> tuple[float, float]:
    """When a check that is due now may begin, and from when on the next one may."""
    begin = max(free_at, now)
    return begin, begin + 1 / rule.budget if rule.budget else now
