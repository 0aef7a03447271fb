"""Decides when an endpoint whose connections fail is left alone, for how long, and how it comes back."""

from enum import StrEnum

import msgspec

LONGER = 0.2  # at most: a fleet that ejected a pod at once does not come back to it at once
MAX_DOUBLINGS = 64  # any maximum is reached by then; a pod that is dead for days would overflow the float


class Phase(StrEnum):
    SERVING = "serving"
    EJECTED = "ejected"  # gets no connection until its time is over or a check passes
    PROBING = "probing"  # gets one connection; that one decides


class EjectionRule(msgspec.Struct, frozen=True):
    """`after`: failures in a row (0 = never). Times double from `base_s` to `max_s`, as Envoy's multiply.

    `share`: at most this share of the endpoints is out at once, but one always may be and never all:
    Envoy's 10 % cap means "none" in a service of three pods (envoy#3263).
    """

    after: int = 3
    base_s: float = 5.0
    max_s: float = 300.0
    share: float = 0.5


class Ejection(msgspec.Struct, frozen=True):
    """`failures` in a row while serving; `times` ejected lately; `until`: end of the last ejection.

    `checkable`: whether a passed check refutes what ejected it. A pod that accepts and then resets passes
    every TCP check; if that brought it back each time, its ejections would never get longer.
    """

    phase: Phase = Phase.SERVING
    failures: int = 0
    times: int = 0
    until: float = 0.0
    checkable: bool = True


def room_to_eject(rule: EjectionRule, members: int, others_out: int, others_usable: bool) -> bool:
    """Whether one of `members` may be ejected while `others_out` of the others are.

    Not the last usable one: sending everyone to those that their checks call dead would be worse.
    """
    return others_usable and others_out < max(1, int(members * rule.share))


def failed(
    state: Ejection, rule: EjectionRule, now: float, room: bool, checkable: bool = True, luck: float = 0.0
) -> Ejection:
    """After one more failed connection; `room` is room_to_eject()'s answer, `luck` from 0 to 1."""
    if state.phase is Phase.EJECTED:
        return state  # tried as the last resort: that it still fails is no news
    failures = state.failures + 1
    probing = state.phase is Phase.PROBING  # out already, it needs no room
    if not probing and not (room and failures >= rule.after > 0):
        return Ejection(state.phase, failures, state.times, state.until)
    lately = now - state.until <= rule.max_s
    times = state.times + 1 if lately else 1
    longer = 1 + LONGER * luck
    length = min(rule.base_s * 2.0 ** min(times - 1, MAX_DOUBLINGS) * longer, rule.max_s)
    return Ejection(Phase.EJECTED, failures, times, now + length, checkable)


def succeeded(state: Ejection) -> Ejection:
    """After a connection that worked: back to serving, with its record kept for the next time."""
    return Ejection(Phase.SERVING, 0, state.times, state.until)


def may_return(state: Ejection, now: float, checked: bool) -> Ejection:
    """An ejected endpoint may be probed once its time is over, or sooner after a passed check."""
    refuted = checked and state.checkable
    if state.phase is Phase.EJECTED and (refuted or now >= state.until):
        return Ejection(Phase.PROBING, state.failures, state.times, min(now, state.until))
    return state
