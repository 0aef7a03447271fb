"""Decides what an answer does to the set of known endpoints. Every decision has a reason people can read.

| the answer                  | what happens                                                                |
|-----------------------------|-----------------------------------------------------------------------------|
| endpoints                   | obeyed: those it lists join, the absent ones leave                          |
| ... that drop more than     | those it lists join; the absent ones are held until the next answer does    |
|     the guard's share       | not list them either                                                        |
| ... of one family or name,  | the absent ones that it says nothing about stay                             |
|     or truncated            |                                                                             |
| ... partial                 | those it lists join; the whole answer, a moment later, says who leaves      |
| nxdomain, empty             | everyone is held for the hold time, then everyone leaves. In Kubernetes "no |
|                             | pod is ready", a typo and a hiccup of DNS all look like this                |
| failed                      | nothing: a dead resolver never shrinks the pool                             |

Whatever the answer: who is held (by the guard, in doubt) and fails leaves at once, and so does who has lost
its name or an address to another endpoint.
"""

from collections.abc import Mapping, Set
from enum import StrEnum

import msgspec

from proxy.model import Address, Answer, AnswerKind, Identity, Listed

ROUNDING = 1e-9  # 29 of 100 are not more than 29 %, whatever floats say


class Decision(StrEnum):
    """What became of an answer, in one word."""

    NONE = "none"  # no answer yet
    OBEYED = "obeyed"
    GUARDED = "guarded"  # a large shrink that the next answer must confirm
    HELD = "held"  # that nobody is there is not believed yet
    KEPT = "kept"  # nothing was learned


class Trust(msgspec.Struct, frozen=True):
    """How far DNS is trusted: DNS_HOLD, and DNS_SHRINK_GUARD as a share of the members."""

    hold_s: float = 30.0
    shrink_guard: float = 0.5


class Membership(msgspec.Struct, frozen=True):
    """Who is known. `dropped`: members that the last good answer did not list, held by the guard.
    `doubt_since`: when DNS began to say that there is nobody.
    """

    members: Mapping[Identity, Listed] = {}
    dropped: frozenset[Identity] = frozenset()
    doubt_since: float | None = None
    decision: Decision = Decision.NONE
    reason: str = "no answer yet"

    @property
    def held(self) -> Set[Identity]:
        """Members that DNS does not list: used only while they prove alive."""
        return self.dropped if self.doubt_since is None else self.members.keys()

    @property
    def unconfirmed(self) -> bool:
        """Whether the next answer is wanted soon."""
        return self.decision is Decision.GUARDED and bool(self.dropped)


def decide(
    before: Membership, answer: Answer, failing: Set[Identity], trust: Trust, now: float
) -> Membership:
    """The membership after `answer`; `failing` are members that checks or connections speak against."""
    match answer.kind:
        case AnswerKind.FAILED:
            known = "kept" if before.members else "no endpoint is known"
            return msgspec.structs.replace(
                before, decision=Decision.KEPT, reason=f"{known}: the query failed"
            )
        case AnswerKind.ENDPOINTS if answer.partial:
            return _join(before, answer)
        case AnswerKind.ENDPOINTS:
            return _follow(before, answer, failing, trust)
        case _:
            return _doubt(before, answer, failing, trust, now)


def without(before: Membership, lost: Identity) -> Membership:
    """After a failure of `lost`: DNS and the facts agree that it is gone, no further answer is awaited."""
    members = {each: listed for each, listed in before.members.items() if each != lost}
    reason = f"{lost} left: DNS does not list it, and it failed"
    return msgspec.structs.replace(before, members=members, dropped=before.dropped - {lost}, reason=reason)


def _join(before: Membership, answer: Answer) -> Membership:
    members = {**before.members, **answer.endpoints}  # addresses without names: they replace nobody
    # Whole answers give the reason: nothing flaps with every poll whose halves come one by one.
    reason = before.reason if members.keys() == before.members.keys() else "obeyed"
    return Membership(members, before.dropped - answer.endpoints.keys(), None, before.decision, reason)


def _follow(before: Membership, answer: Answer, failing: Set[Identity], trust: Trust) -> Membership:
    absent = before.members.keys() - answer.endpoints.keys()
    absent -= _replaced(absent, before, answer)
    unheard = {each for each in absent if _says_nothing_of(answer, each)}
    if answer.truncated:  # and always will be: only facts can tell who is gone
        unheard -= failing
    living = absent - unheard - failing
    fresh = living - before.dropped
    trusted = before.members.keys() - before.dropped - failing
    guarded = len(fresh) > trust.shrink_guard * len(trusted) + ROUNDING
    dropped = frozenset(fresh if guarded else ()) | (before.dropped & unheard)
    stay = dropped | unheard
    members = {**answer.endpoints, **{each: before.members[each] for each in before.members if each in stay}}
    if guarded:
        reason = f"{len(fresh)} of {len(trusted)} endpoints dropped at once: to be confirmed"
        return Membership(members, dropped, None, Decision.GUARDED, reason)
    kept = f"; {len(unheard)} kept: {_why_unheard(answer)}" if unheard else ""
    return Membership(members, dropped, None, Decision.OBEYED, f"obeyed{kept}")


def _replaced(absent: Set[Identity], before: Membership, answer: Answer) -> Set[Identity]:
    """Those whose address is another's now, or whose name says that it is elsewhere."""
    if not any(each.name for each in absent):
        return frozenset()
    new = answer.endpoints.keys() - before.members.keys()
    moved = {each.name for each in new} - {each.name for each in answer.endpoints.keys() - new}
    addresses = {address for each in answer.endpoints for address in _all_of(each, answer.endpoints[each])}
    return {
        each
        for each in absent
        if each.name and (each.name in moved or addresses & _all_of(each, before.members[each]))
    }


def _all_of(each: Identity, listed: Listed) -> set[Address]:
    return {each.address} if listed.other is None else {each.address, listed.other}


def _says_nothing_of(answer: Answer, absent: Identity) -> bool:
    return (
        answer.truncated
        or absent.address.family in answer.unknown_families
        or absent.name in answer.unknown_names
    )


def _why_unheard(answer: Answer) -> str:
    if answer.truncated:
        return "the answer is truncated"
    return "their family's query failed" if answer.unknown_families else "the query for their name failed"


def _doubt(
    before: Membership, answer: Answer, failing: Set[Identity], trust: Trust, now: float
) -> Membership:
    since = now if before.doubt_since is None else before.doubt_since
    alive = {each: listed for each, listed in before.members.items() if each not in failing}
    if alive and now - since < trust.hold_s:
        reason = f"{answer.kind} not believed yet: {len(alive)} endpoints may still be alive"
        return Membership(alive, before.dropped & alive.keys(), since, Decision.HELD, reason)
    why = f"it lasted {now - since:.0f} s" if alive else "no endpoint speaks against it"
    return Membership({}, frozenset(), since, Decision.OBEYED, f"{answer.kind} obeyed: {why}")
