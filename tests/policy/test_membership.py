"""What each kind of answer does to the set of known endpoints."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.model import Address, Answer, AnswerKind, Family
from proxy.policy.membership import Membership, decide

A, B, C = (Address(f"10.0.0.{number}", 80) for number in (1, 2, 3))
V6 = Address("fd00::1", 80)
NOBODY: frozenset[Address] = frozenset()
HOLD_S = 30.0
EMPTY, NXDOMAIN, FAILED = Answer(AnswerKind.EMPTY), Answer(AnswerKind.NXDOMAIN), Answer(AnswerKind.FAILED)


def answer(
    *addresses: Address, unknown_families: frozenset[Family] = frozenset(), partial: bool = False
) -> Answer:
    return Answer(AnswerKind.ENDPOINTS, frozenset(addresses), unknown_families, partial=partial)


def known(*addresses: Address, since: float | None = None) -> Membership:
    return Membership(frozenset(addresses), since, "obeyed")


V4_UNHEARD, V6_UNHEARD = frozenset({Family.IPV4}), frozenset({Family.IPV6})


@pytest.mark.parametrize(
    "before,heard,failing,now,after,reason",
    [
        (Membership(), answer(A, B), NOBODY, 0, known(A, B), "obeyed"),
        (known(A, B), answer(B, C), NOBODY, 0, known(B, C), "obeyed"),
        (known(A, B), answer(B, C), {B}, 0, known(B, C), "obeyed"),
        (known(A, V6), answer(B, unknown_families=V6_UNHEARD), {V6}, 0, known(B, V6), "1 kept"),
        (known(A, V6), answer(V6, unknown_families=V4_UNHEARD), NOBODY, 0, known(A, V6), "1 kept"),
        (known(A), answer(A, unknown_families=V6_UNHEARD), NOBODY, 0, known(A), "obeyed"),
        (known(A, B), FAILED, {A, B}, 1e9, known(A, B), "the query failed"),
        (Membership(), FAILED, NOBODY, 0, Membership(), "the query failed"),
        (Membership(), NXDOMAIN, NOBODY, 7, known(since=7), "nxdomain obeyed"),
        (known(A, B), NXDOMAIN, NOBODY, 7, known(A, B, since=7), "2 endpoints still prove alive"),
        (known(A, B), EMPTY, NOBODY, 7, known(A, B, since=7), "empty not believed yet"),
        (known(A, B), NXDOMAIN, {A}, 7, known(B, since=7), "1 endpoints still prove alive"),
        (known(A, B), NXDOMAIN, {A, B}, 7, known(since=7), "no endpoint speaks against it"),
        (known(A, B, since=7), NXDOMAIN, NOBODY, 36.9, known(A, B, since=7), "not believed yet"),
        (known(A, B, since=7), EMPTY, NOBODY, 37, known(since=7), "obeyed: it lasted 30 s"),
        (known(A, B, since=7), FAILED, {A}, 99, known(A, B, since=7), "the query failed"),
        (known(A, B, since=7), answer(A), NOBODY, 36, known(A), "obeyed"),
    ],
)
def test_answers(
    before: Membership, heard: Answer, failing: set[Address], now: float, after: Membership, reason: str
) -> None:
    """One row for each way in which an answer meets what is known."""
    decided = decide(before, heard, failing, HOLD_S, now)

    assert (decided.members, decided.doubt_since) == (after.members, after.doubt_since)
    assert reason in decided.reason


def test_no_hold() -> None:
    """A hold time of 0 believes DNS at once."""
    assert decide(known(A), NXDOMAIN, NOBODY, 0.0, 7).members == NOBODY


def test_a_good_answer_ends_the_doubt() -> None:
    """A hiccup now and a hiccup an hour later do not add up to a hold time."""
    before = decide(known(A), NXDOMAIN, NOBODY, HOLD_S, 0)
    before = decide(before, answer(A), NOBODY, HOLD_S, 1)

    assert decide(before, NXDOMAIN, NOBODY, HOLD_S, 3600).members == {A}


def test_a_failed_query_keeps_the_doubt() -> None:
    """NXDOMAIN, a lost packet, NXDOMAIN: the hold time goes on where it was."""
    before = decide(known(A), NXDOMAIN, NOBODY, HOLD_S, 0)
    before = decide(before, FAILED, NOBODY, HOLD_S, 20)

    assert decide(before, NXDOMAIN, NOBODY, HOLD_S, 30).members == NOBODY


def test_half_an_answer_is_used_at_once() -> None:
    """What one family brings counts while the other's query is under way, whose endpoints stay."""
    so_far = decide(known(A, V6), answer(B, unknown_families=V6_UNHEARD, partial=True), NOBODY, HOLD_S, 0)

    assert so_far.members == {B, V6}


def test_half_an_answer_gives_no_reason() -> None:
    """A poll whose halves come one by one leaves the reason as it was: "obeyed", not "kept"."""
    before = decide(Membership(), answer(A, V6), NOBODY, HOLD_S, 0)
    half = decide(before, answer(A, unknown_families=V6_UNHEARD, partial=True), NOBODY, HOLD_S, 5)

    assert half.reason == before.reason == decide(half, answer(A, V6), NOBODY, HOLD_S, 5).reason


addresses = st.sampled_from([A, B, C, V6])
sets = st.frozensets(addresses)
heard = st.builds(Answer, st.just(AnswerKind.ENDPOINTS), st.frozensets(addresses, min_size=1), st.frozensets(
    st.sampled_from(Family), max_size=1
))  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=50)
@given(sets, st.lists(st.tuples(st.sampled_from([EMPTY, NXDOMAIN, FAILED]) | heard, sets), max_size=12))
def test_no_answer_costs_a_living_endpoint(
    first: frozenset[Address], story: list[tuple[Answer, frozenset[Address]]]
) -> None:
    """Within the hold time a living endpoint leaves only by a good answer; nobody is made up."""
    state = Membership(first)
    for second, (what, failing) in enumerate(story):
        before, state = state, decide(state, what, failing, HOLD_S, second)

        assert state.members <= before.members | what.addresses
        if what.kind is AnswerKind.ENDPOINTS:
            assert what.addresses <= state.members
        else:
            assert before.members - failing <= state.members
        if what.kind is AnswerKind.FAILED:
            assert state.members == before.members
