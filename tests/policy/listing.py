"""Pods, answers and memberships in one word, for the tests of who is known."""

from collections.abc import Collection, Iterable, Set

from proxy.model import Address, Answer, AnswerKind, Family, Identity, Listed
from proxy.policy.membership import Decision, Membership, Trust, decide

TRUST = Trust(hold_s=30.0, shrink_guard=0.5)
NOBODY: frozenset[Identity] = frozenset()
EMPTY, NXDOMAIN, FAILED = Answer(AnswerKind.EMPTY), Answer(AnswerKind.NXDOMAIN), Answer(AnswerKind.FAILED)


def pod(number: int, name: str = "") -> Identity:
    """The pod at 10.0.0.`number`, by its SRV name when it has one."""
    return Identity(Address(f"10.0.0.{number}", 80), name)


def pods(count: int) -> list[Identity]:
    return [pod(number) for number in range(1, count + 1)]


A, B, C, D = pods(4)
V6 = Identity(Address("fd00::1", 80))


def lists(
    *listed: Identity,
    unheard: Collection[Family] = (),
    unknown: Collection[str] = (),
    partial: bool = False,
    truncated: bool = False,
) -> Answer:
    """An answer with these endpoints, that says nothing of some others."""
    return Answer(
        AnswerKind.ENDPOINTS,
        dict.fromkeys(listed, Listed()),
        unknown_families=frozenset(unheard),
        unknown_names=frozenset(unknown),
        partial=partial,
        truncated=truncated,
    )


def known(
    *members: Identity,
    dropped: Iterable[Identity] = (),
    since: float | None = None,
    decision: Decision = Decision.OBEYED,
) -> Membership:
    return Membership(dict.fromkeys(members, Listed()), frozenset(dropped), since, decision, "as it was")


def told(
    before: Membership, *answers: Answer, failing: Set[Identity] = NOBODY, trust: Trust = TRUST
) -> Membership:
    """The membership after these answers, one each second."""
    for second, answer in enumerate(answers):
        before = decide(before, answer, failing, trust, second)
    return before
