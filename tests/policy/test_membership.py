"""What each kind of answer does to the set of known endpoints."""

from collections.abc import Set

import msgspec
import pytest

from proxy.model import Address, Answer, AnswerKind, Family, Identity, Listed
from proxy.policy.membership import Decision, Membership, Trust, decide
from tests.policy.listing import (
    EMPTY,
    FAILED,
    NOBODY,
    NXDOMAIN,
    TRUST,
    V6,
    A,
    B,
    C,
    D,
    known,
    lists,
    pod,
    told,
)

GUARDED, HELD, KEPT = Decision.GUARDED, Decision.HELD, Decision.KEPT
ALONE = known(A, B, C, dropped=[B, C], decision=GUARDED)  # after an answer that lists only A
STILL_C = known(A, B, C, dropped=[C], decision=GUARDED)
DOUBT = known(A, B, since=7, decision=HELD)
FOUR, SIX = [Family.IPV4], [Family.IPV6]
X, Y, Z = (pod(number, name) for number, name in enumerate("xyz", 1))
NEVER = known(decision=Decision.NONE)

Row = tuple[Membership, Answer, Set[Identity], float, Membership, str]

ENDPOINTS_ROWS: list[Row] = [
    # the first answer, one that swaps a pod, one that lists a pod whose checks fail
    (NEVER, lists(A, B), NOBODY, 0, known(A, B), "obeyed"),
    (known(A, B), lists(B, C), NOBODY, 0, known(B, C), "obeyed"),
    (known(A, B), lists(B, C), {A}, 0, known(B, C), "obeyed"),
    (known(A, B), lists(A, B), NOBODY, 0, known(A, B), "obeyed"),
    # more than the guard's share
    (known(A), lists(B), NOBODY, 0, known(A, B, dropped=[A], decision=GUARDED), "1 of 1 endpoints"),
    (known(A, B, C), lists(A), NOBODY, 0, ALONE, "2 of 3 endpoints dropped at once"),
    (ALONE, lists(A), NOBODY, 0, known(A), "obeyed"),
    (ALONE, lists(A, B), NOBODY, 0, known(A, B), "obeyed"),
    (known(A, B, C, dropped=[B, C], decision=KEPT), lists(A), NOBODY, 0, known(A), "obeyed"),
    # who fails leaves at once, and is not among those the guard counts
    (known(A, B, C), lists(A), {B}, 0, known(A), "obeyed"),
    (known(A, B, C), lists(D), {B}, 0, known(A, C, D, dropped=[A, C], decision=GUARDED), "2 of 2"),
    (known(A, B, C), lists(A), {A}, 0, ALONE, "2 of 2 endpoints dropped at once"),
    (known(A, B, C), lists(D), {A, B, C}, 0, known(D), "obeyed"),
    # of one family, of some names
    (known(A, V6), lists(B, unheard=SIX), NOBODY, 0, known(B, V6), "1 kept: their family's query failed"),
    (known(A, B, V6), lists(B, unheard=SIX), {V6}, 0, known(B, V6), "1 kept"),
    (known(A, V6), lists(V6, unheard=FOUR), NOBODY, 0, known(A, V6), "1 kept"),
    (known(A), lists(A, unheard=SIX), NOBODY, 0, known(A), "obeyed"),
    (known(A, B, C, V6), lists(V6, unheard=FOUR), NOBODY, 0, known(A, B, C, V6), "3 kept"),
    (known(X, Y, Z), lists(Z, unknown=["x"]), NOBODY, 0, known(X, Z), "1 kept: the query for their name"),
    (known(X, Y, Z), lists(Z, unknown=["x"]), {X}, 0, known(X, Z), "1 kept"),
    # truncated: nobody leaves who does not fail
    (known(A, B, C), lists(A, truncated=True), NOBODY, 0, known(A, B, C), "2 kept: the answer is truncated"),
    (known(A, B, C), lists(A, D, truncated=True), {B}, 0, known(A, C, D), "1 kept"),
    (known(A, B), lists(A, truncated=True), {A, B}, 0, known(A), "obeyed"),
    # partial: the decision is that of the last whole answer
    (known(A, B), lists(C, partial=True), NOBODY, 0, known(A, B, C), "obeyed"),
    (known(A, B), lists(A, partial=True), {B}, 0, known(A, B), "as it was"),
    (ALONE, lists(B, partial=True), NOBODY, 0, STILL_C, "as it was"),
    # any endpoint at all ends the doubt
    (DOUBT, lists(A), NOBODY, 36, known(A), "obeyed"),
    (DOUBT, lists(A, partial=True), NOBODY, 36, known(A, B, decision=HELD), "as it was"),
]  # fmt: skip

OTHER_ROWS: list[Row] = [
    (NEVER, NXDOMAIN, NOBODY, 7, known(since=7), "nxdomain obeyed: no endpoint speaks against it"),
    (known(A, B), NXDOMAIN, NOBODY, 7, DOUBT, "2 endpoints may still be alive"),
    (known(A, B), EMPTY, NOBODY, 7, DOUBT, "empty not believed yet"),
    (known(A, B), NXDOMAIN, {A}, 7, known(B, since=7, decision=HELD), "1 endpoints may still be alive"),
    (known(A, B), EMPTY, {A, B}, 7, known(since=7), "empty obeyed: no endpoint speaks against it"),
    (known(A, since=7), NXDOMAIN, NOBODY, 36.9, known(A, since=7, decision=HELD), "not believed yet"),
    (known(A, B, since=7), EMPTY, NOBODY, 37, known(since=7), "empty obeyed: it lasted 30 s"),
    (known(since=7), NXDOMAIN, NOBODY, 99, known(since=7), "nxdomain obeyed"),
    # who was dropped stays so
    (known(A, B, dropped=[B]), NXDOMAIN, NOBODY, 7, known(A, B, dropped=[B], since=7, decision=HELD), "2"),
    (known(A, B, dropped=[B], since=7), NXDOMAIN, NOBODY, 37, known(since=7), "it lasted 30 s"),
    (known(A, B, dropped=[B]), NXDOMAIN, {B}, 7, known(A, since=7, decision=HELD), "1 endpoints"),
    (known(A, B), FAILED, {A, B}, 1e9, known(A, B, decision=KEPT), "kept: the query failed"),
    (NEVER, FAILED, NOBODY, 0, known(decision=KEPT), "no endpoint is known: the query failed"),
    (known(A, B, since=7), FAILED, {A}, 99, known(A, B, since=7, decision=KEPT), "kept: the query failed"),
    (known(A, B, dropped=[B]), FAILED, {B}, 9, known(A, B, dropped=[B], decision=KEPT), "kept"),
]  # fmt: skip


@pytest.mark.parametrize("before,heard,failing,now,after,reason", ENDPOINTS_ROWS + OTHER_ROWS)
def test_answers(
    before: Membership, heard: Answer, failing: Set[Identity], now: float, after: Membership, reason: str
) -> None:
    """One row for each way in which an answer meets what is known."""
    decided = decide(before, heard, failing, TRUST, now)

    assert after == msgspec.structs.replace(decided, reason=after.reason)
    assert reason in decided.reason


def test_before_the_first_answer() -> None:
    """Nobody is known, and the page says why."""
    assert (Membership().members, Membership().decision) == ({}, Decision.NONE)
    assert Membership().reason == "no answer yet"


def test_no_hold() -> None:
    """A hold time of 0 believes DNS at once."""
    assert told(known(A), NXDOMAIN, trust=Trust(hold_s=0.0)).members == {}


def test_a_good_answer_ends_the_doubt() -> None:
    """A hiccup now and a hiccup an hour later do not add up to a hold time."""
    before = told(known(A), NXDOMAIN, lists(A))

    assert decide(before, NXDOMAIN, NOBODY, TRUST, 3600).members.keys() == {A}


def test_a_failed_query_keeps_the_doubt() -> None:
    """NXDOMAIN, a lost packet, NXDOMAIN: the hold time goes on where it was."""
    before = decide(told(known(A), NXDOMAIN), FAILED, NOBODY, TRUST, 20)

    assert decide(before, NXDOMAIN, NOBODY, TRUST, 29.9).members.keys() == {A}
    assert decide(before, NXDOMAIN, NOBODY, TRUST, 30).members == {}


def test_nxdomain_and_empty_are_one_doubt() -> None:
    """Name servers that differ in how they say it do not start the hold time anew."""
    before = decide(told(known(A), NXDOMAIN), EMPTY, NOBODY, TRUST, 20)

    assert decide(before, NXDOMAIN, NOBODY, TRUST, 30).members == {}


def test_a_service_at_zero_comes_back() -> None:
    """After the hold time all are gone; the first answer with a pod is obeyed as it is."""
    gone = decide(told(known(A, B), NXDOMAIN), NXDOMAIN, NOBODY, TRUST, 30)
    back = decide(gone, lists(C), NOBODY, TRUST, 40)

    assert back == msgspec.structs.replace(known(C), reason="obeyed")


def test_half_an_answer_only_adds() -> None:
    """What one family brings is used while the other's query is under way; the whole says who leaves."""
    half = told(known(A, V6), lists(B, unheard=SIX, partial=True))
    whole = told(half, lists(B, V6))

    assert half.members.keys() == {A, B, V6}
    assert whole.members.keys() == {B, V6}


def test_half_an_answer_gives_no_reason() -> None:
    """A poll whose halves come one by one leaves the reason as it was: "obeyed", not "kept"."""
    before = told(NEVER, lists(A, V6))
    half = told(before, lists(A, unheard=SIX, partial=True))

    assert half.reason == before.reason == told(half, lists(A, V6)).reason


def test_a_dead_family_comes_back() -> None:
    """Pods of a family that cannot be asked are kept for as long as that lasts, and then follow DNS again."""
    before = told(known(A, V6), *[lists(A, unheard=SIX)] * 100)

    assert before.members.keys() == {A, V6}
    assert told(before, lists(A)).members.keys() == {A}


def test_no_drop_is_counted_that_was_not_heard() -> None:
    """Pods of a family that cannot be asked neither trip the guard nor are held by it."""
    after = told(known(A, B, C, V6), lists(V6, unheard=FOUR))

    assert (after.decision, after.held) == (Decision.OBEYED, frozenset())


def test_truncated_for_good() -> None:
    """A service too large for DNS keeps every pod that works, however often DNS leaves it out."""
    before = told(known(A, B, C), *[lists(A, truncated=True)] * 5)

    assert (set(before.members), before.decision) == ({A, B, C}, Decision.OBEYED)
    assert told(before, lists(A, truncated=True), failing={C}).members.keys() == {A, B}


def test_priorities_and_weights_follow() -> None:
    """What SRV says of a pod is that of the newest answer, and changes neither who it is nor the reason."""
    first, second = Listed(0, 1.0), Listed(10, 0.5, Address("fd00::7", 80))
    before = told(NEVER, Answer(AnswerKind.ENDPOINTS, {X: first, Y: first}))
    after = told(before, Answer(AnswerKind.ENDPOINTS, {X: second, Y: first}))

    assert after.members == {X: second, Y: first}
    assert after.reason == before.reason


def test_what_is_kept_keeps_its_priority() -> None:
    """A pod that an answer says nothing of stays in its tier with its weight."""
    backup = Listed(10, 0.5)
    before = Membership({X: backup, Y: Listed()})

    assert told(before, lists(Y, unknown=["x"])).members == {X: backup, Y: Listed()}
    assert told(before, lists(Z)).members[X] == backup  # held by the guard
    assert told(before, NXDOMAIN).members == before.members
    assert told(before, lists(Z, partial=True)).members == {**before.members, Z: Listed()}


def test_half_an_answer_brings_new_weights() -> None:
    """They need not wait for the whole."""
    backup = Listed(10, 0.5)
    half = Answer(AnswerKind.ENDPOINTS, {X: backup}, partial=True)

    assert told(known(X, Y), half).members == {X: backup, Y: Listed()}
