"""Decides from its checks whether an endpoint is well. Knows rise and fall, no sockets and no clock."""

from enum import StrEnum

import msgspec


class Status(StrEnum):
    ASSUMED = "assumed"  # came with the first answer: used until a check says otherwise
    UNCHECKED = "unchecked"  # came later: waits for one passed check
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


USABLE = frozenset({Status.ASSUMED, Status.HEALTHY})


class HealthRule(msgspec.Struct, frozen=True):
    """`rise` and `fall`: checks in a row that flip the status (HAProxy's defaults are 2 and 3)."""

    rise: int = 2
    fall: int = 3


class Health(msgspec.Struct, frozen=True):
    """`streak`: results in a row that speak against `status`."""

    status: Status
    streak: int = 0

    @property
    def usable(self) -> bool:
        return self.status in USABLE


# (status, passed): (next status, how many in a row it takes). What is not listed confirms the status.
_MOVES: dict[tuple[Status, bool], tuple[Status, str]] = {
    (Status.ASSUMED, True): (Status.HEALTHY, "one"),
    (Status.ASSUMED, False): (Status.UNHEALTHY, "fall"),
    (Status.UNCHECKED, True): (Status.HEALTHY, "one"),
    (Status.UNCHECKED, False): (Status.UNHEALTHY, "fall"),
    (Status.HEALTHY, False): (Status.UNHEALTHY, "fall"),
    (Status.UNHEALTHY, True): (Status.HEALTHY, "rise"),
}


def cleared(health: Health) -> Health:
    """After a connection that showed what a check would have: the failed ones before it count no more."""
    return Health(health.status) if health.streak and health.usable else health


def observe(health: Health, passed: bool, rule: HealthRule) -> Health:
    """The health after one more check."""
    move = _MOVES.get((health.status, passed))
    if move is None:
        return Health(health.status)
    following, takes = move
    needed = {"one": 1, "rise": rule.rise, "fall": rule.fall}[takes]
    streak = health.streak + 1
    return Health(following) if streak >= needed else Health(health.status, streak)
