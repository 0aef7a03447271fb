"""Whatever DNS says, in whatever order: what no story of answers may do to the set of known endpoints."""

from collections.abc import Sequence, Set
from itertools import combinations, product, starmap
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.model import Answer, AnswerKind, Family, Identity, Listed
from proxy.policy.membership import Membership, Trust, decide
from tests.policy.listing import EMPTY, FAILED, NXDOMAIN, V6, pod, pods

HOLD_S = 30.0
PLAIN = [*pods(3), V6]
NAMED = [pod(1, "x"), pod(1, "y"), pod(2, "x"), V6._replace(name="y")]
BACKUP = Listed(priority=1)


class Step(NamedTuple):
    answer: Answer
    failing: Set[Identity]
    after_s: float


def sets_of(who: Sequence[Identity]) -> list[frozenset[Identity]]:
    return [frozenset(each) for size in range(len(who) + 1) for each in combinations(who, size)]


def answers_about(who: Sequence[Identity]) -> list[Answer]:
    """Every set of endpoints, whole and lacking in each possible way."""
    found = [EMPTY, NXDOMAIN, FAILED] * 5
    for listed in filter(None, sets_of(who)):
        whole = Answer(
            AnswerKind.ENDPOINTS, {each: BACKUP if each is who[0] else Listed() for each in listed}
        )
        found += [whole, whole, replace(whole, endpoints=dict.fromkeys(listed, BACKUP))]
        found += [replace(whole, partial=True), replace(whole, truncated=True)]
        found += [replace(whole, unknown_families=frozenset({family})) for family in Family]
        found += [replace(whole, unknown_names=frozenset({"x"}))]
    return found


def steps_of(who: Sequence[Identity]) -> list[Step]:
    few_failing = [each for each in sets_of(who) if len(each) <= 2]
    return list(starmap(Step, product(answers_about(who), few_failing, (1.0, 20.0))))


# Chosen from lists: Hypothesis takes ten times as long to make up the parts.
STEPS = {"plain": steps_of(PLAIN), "named": steps_of(NAMED)}
any_story = st.one_of([st.lists(st.sampled_from(steps), min_size=1, max_size=8) for steps in STEPS.values()])
any_set = st.sampled_from([listed for who in (PLAIN, NAMED) for listed in sets_of(who) if listed])
guards = st.sampled_from([0.0, 0.3, 0.5, 1.0])
few = settings(derandomize=True, deadline=None, max_examples=60)


def play(story: list[Step], guard: float) -> list[tuple[Membership, Step, Membership, float]]:
    """Each step with the membership before, the one after and the time."""
    now, state, played = 0.0, Membership(), []
    for step in story:
        now += step.after_s
        before, state = state, decide(state, step.answer, step.failing, Trust(HOLD_S, guard), now)
        played.append((before, step, state, now))
    return played


def is_nobody(answer: Answer) -> bool:
    return answer.kind in (AnswerKind.EMPTY, AnswerKind.NXDOMAIN)


def is_replaced(each: Identity, before: Membership, answer: Answer) -> bool:
    new = answer.endpoints.keys() - before.members.keys()
    known = answer.endpoints.keys() - new
    moved = any(o.name == each.name for o in new) and not any(o.name == each.name for o in known)
    return each.name != "" and (moved or any(o.address == each.address for o in answer.endpoints))


def is_unheard(each: Identity, answer: Answer) -> bool:
    return each.address.family in answer.unknown_families or each.name in answer.unknown_names


@few
@given(any_story, guards)
def test_nobody_is_made_up(story: list[Step], guard: float) -> None:
    """Members are those before and those listed, who all join, as the answer describes them."""
    for before, (answer, _, _), after, _ in play(story, guard):
        old = after.members.keys() - answer.endpoints.keys()

        assert after.members.keys() <= before.members.keys() | answer.endpoints.keys()
        assert {**after.members, **answer.endpoints} == after.members
        assert all(after.members[each] == before.members[each] for each in old)
        assert after.held <= after.members.keys()
        assert after.reason != ""


@few
@given(any_story, guards)
def test_a_dead_resolver_changes_nobody(story: list[Step], guard: float) -> None:
    """Neither who is known nor who is trusted; half an answer never costs anyone either."""
    for before, (answer, _, _), after, _ in play(story, guard):
        if answer.kind is AnswerKind.FAILED:
            assert (after.members, after.held) == (before.members, before.held)
            assert (after.dropped, after.doubt_since) == (before.dropped, before.doubt_since)
        if answer.partial:
            assert before.members.keys() <= after.members.keys()


@few
@given(any_story, guards)
def test_how_a_living_endpoint_leaves(story: list[Step], guard: float) -> None:
    """By being replaced, by answers that list others, many only by two in a row, or after the hold time."""
    doubt_since, last_listed = 0.0, frozenset[Identity]()
    doubted = False
    for before, (answer, failing, _), after, now in play(story, guard):
        if is_nobody(answer) and not doubted:
            doubt_since, doubted = now, True
        lost = before.members.keys() - after.members.keys() - failing
        if is_nobody(answer):
            assert not lost or now - doubt_since >= HOLD_S
        elif answer.kind is AnswerKind.ENDPOINTS:
            lost = {each for each in lost if not is_replaced(each, before, answer)}
            surprising = lost & last_listed
            assert not answer.truncated or not lost
            assert not any(is_unheard(each, answer) for each in lost)
            assert len(surprising) <= guard * len(before.members)
            last_listed = frozenset(answer.endpoints) | (last_listed if answer.partial else frozenset())
            doubted = False


@few
@given(any_story, guards)
def test_who_leaves_at_once(story: list[Step], guard: float) -> None:
    """No guard, hold or truncation delays who is replaced, or absent and failing."""
    for before, (answer, failing, _), after, _ in play(story, guard):
        absent = before.members.keys() - answer.endpoints.keys()
        if answer.kind is AnswerKind.ENDPOINTS and not answer.partial:
            replaced = {each for each in absent if is_replaced(each, before, answer)}
            dead = {each for each in absent & failing if answer.truncated or not is_unheard(each, answer)}
            assert not after.members.keys() & (replaced | dead)
        elif is_nobody(answer):
            assert not after.members.keys() & failing


@few
@given(any_story, any_set, guards)
def test_dns_has_its_way(story: list[Step], listed: frozenset[Identity], guard: float) -> None:
    """After two whole answers that agree, the members are those they list, whatever came before."""
    answer = Answer(AnswerKind.ENDPOINTS, dict.fromkeys(listed, Listed()))
    agreeing = [Step(answer, frozenset(), 1.0)] * 2
    *_, (_, _, state, _) = play(story + agreeing, guard)

    assert state.members == answer.endpoints
    assert (state.held, state.unconfirmed) == (frozenset(), False)


@few
@given(any_story, guards)
def test_nobody_is_left_after_the_hold(story: list[Step], guard: float) -> None:
    """DNS that says for the whole hold time that nobody is there is believed in the end."""
    nothing = [Step(NXDOMAIN, frozenset(), after_s) for after_s in (1.0, HOLD_S)]
    *_, (_, _, state, _) = play(story + nothing, guard)

    assert state.members == {}
