"""Decides what an answer does to the set of known endpoints. Every decision has a reason people can read.

| answer    | what happens                                                                    |
|-----------|---------------------------------------------------------------------------------|
| endpoints | obeyed; endpoints of a family whose query failed stay                           |
| failed    | nothing: a dead resolver never shrinks the pool                                 |
| nxdomain  | not believed for the hold time, except for endpoints that fail; then obeyed.    |
| empty     | In Kubernetes "no pod is ready", a typo and a hiccup of DNS all look like this. |
"""

from collections.abc import Set

import msgspec

from proxy.model import Address, Answer, AnswerKind


class Membership(msgspec.Struct, frozen=True):
    """Who is known; `doubt_since`: when DNS began to say that there is nobody."""

    members: frozenset[Address] = frozenset()
    doubt_since: float | None = None
    reason: str = "no answer yet"


def decide(
    before: Membership, answer: Answer, failing: Set[Address], hold_s: float, now: float
) -> Membership:
    """The membership after `answer`; `failing` are members that checks or connections speak against."""
    match answer.kind:
        case AnswerKind.FAILED:
            kept = "kept" if before.members else "no endpoint is known"
            return Membership(before.members, before.doubt_since, f"{kept}: the query failed")
        case AnswerKind.ENDPOINTS:
            return _obey(before, answer)
        case _:
            return _doubt(before, answer, failing, hold_s, now)


def _obey(before: Membership, answer: Answer) -> Membership:
    stay = {address for address in before.members if address.family in answer.unknown_families}
    members = answer.addresses | stay
    if answer.partial:  # the whole answer, a moment later, gives the reason: nothing flaps with every poll
        return Membership(members, None, before.reason if members == before.members else "obeyed")
    kept = f"; {len(stay)} kept: their family's query failed" if stay - answer.addresses else ""
    return Membership(members, None, f"obeyed{kept}")


def _doubt(
    before: Membership, answer: Answer, failing: Set[Address], hold_s: float, now: float
) -> Membership:
    since = now if before.doubt_since is None else before.doubt_since
    alive = before.members - failing
    if not alive:
        return Membership(frozenset(), since, f"{answer.kind} obeyed: no endpoint speaks against it")
    if now - since >= hold_s:
        return Membership(frozenset(), since, f"{answer.kind} obeyed: it lasted {now - since:.0f} s")
    return Membership(
        alive, since, f"{answer.kind} not believed yet: {len(alive)} endpoints still prove alive"
    )
