"""What becomes of an answer that drops many at once, and who never waits for the next one."""

from collections.abc import Set

import pytest

from proxy.model import Address, Answer, AnswerKind, Family, Identity, Listed
from proxy.policy.membership import Decision, Membership, Trust, decide, without
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
    pods,
    told,
)

TEN = pods(10)
SIX = V6.address
TWO, EIGHT = TEN[:2], TEN[2:]
GUARDED = told(known(*TEN), lists(*TWO))  # after an answer that drops 8 of 10


def test_a_hiccup_changes_nothing() -> None:
    """An answer that drops 8 of 10 once and restores them leaves everyone where they were, trusted again."""
    restored = told(GUARDED, lists(*TEN))

    assert GUARDED.members.keys() == set(TEN)
    assert restored.members == known(*TEN).members
    assert (restored.decision, restored.held) == (Decision.OBEYED, frozenset())


def test_a_drop_that_repeats_is_obeyed() -> None:
    """The second answer that lacks them is believed."""
    assert told(GUARDED, lists(*TWO)).members.keys() == set(TWO)


def test_the_second_answer_counts_pod_by_pod() -> None:
    """Those it lists again stay, the others of the eight leave; who is new joins at both."""
    first = told(known(*TEN), lists(*TWO, pod(11)))
    second = told(first, lists(*TWO, *EIGHT[:3], pod(12)))

    assert first.members.keys() == {*TEN, pod(11)}
    assert second.members.keys() == {*TWO, *EIGHT[:3], pod(12)}


def test_another_drop_needs_its_own_confirmation() -> None:
    """An answer that confirms one drop and makes another one holds only the newly dropped."""
    first = told(known(*TEN), lists(*TEN[:4]))
    second = told(first, lists(pod(11)), trust=Trust(shrink_guard=0.3))

    assert first.held == set(TEN[4:])
    assert (second.held, second.decision) == (set(TEN[:4]), Decision.GUARDED)
    assert second.members.keys() == {pod(11), *TEN[:4]}


def test_a_failed_query_in_between() -> None:
    """It neither confirms nor forgets: the next good answer decides."""
    between = told(GUARDED, FAILED, FAILED)

    assert (between.members, between.held) == (GUARDED.members, GUARDED.held)
    assert told(between, lists(*TWO)).members.keys() == set(TWO)
    assert told(between, lists(*TEN)).members.keys() == set(TEN)


@pytest.mark.parametrize("nobody", [NXDOMAIN, EMPTY])
def test_nobody_in_between(nobody: Answer) -> None:
    """NXDOMAIN is no confirmation by itself; the next list of endpoints is."""
    between = told(GUARDED, nobody)

    assert between.members.keys() == set(TEN)
    assert told(between, lists(*TWO)).members.keys() == set(TWO)
    assert told(between, lists(*TEN)).members.keys() == set(TEN)


def test_a_list_after_nobody_is_guarded() -> None:
    """NXDOMAIN, then a single pod of ten: DNS contradicts itself, and must say so twice."""
    after = told(known(*TEN), NXDOMAIN, lists(A))

    assert (after.decision, set(after.members)) == (Decision.GUARDED, set(TEN))
    assert told(after, lists(A)).members.keys() == {A}


@pytest.mark.parametrize(
    "members,share,at_once",
    [(1, 0.5, 0), (2, 0.5, 1), (3, 0.5, 1), (10, 0.5, 5), (10, 0.3, 3), (1, 0.0, 0), (10, 0.0, 0),
     (1, 1.0, 1), (2, 1.0, 2), (3, 1.0, 3), (10, 1.0, 10)],
)  # fmt: skip
def test_share(members: int, share: float, at_once: int) -> None:
    """So many may leave by one answer; one more, and all of them are held. 0 % guards any, 100 % none."""
    trust, before = Trust(shrink_guard=share), pods(members)
    for leaving in range(members + 1):
        after = told(known(*before), lists(*before[leaving:], pod(99)), trust=trust)

        want = leaving if leaving > at_once else 0
        assert len(after.held) == want
        assert len(after.members) == members - leaving + want + 1


def test_the_held_are_not_counted_as_trusted() -> None:
    """Six of ten are held when three of the other four vanish: most of those DNS still lists."""
    after = told(known(*TEN), lists(*TEN[:4]), lists(A))

    assert (after.decision, after.held) == (Decision.GUARDED, set(TEN[1:4]))
    assert "3 of 4 endpoints dropped at once" in after.reason
    assert after.members.keys() == set(TEN[:4])


def test_failing_ones_leave_at_once() -> None:
    """Of ten, six fail and eight are dropped: the guard holds nobody for whom the facts agree with DNS."""
    after = told(known(*TEN), lists(*TWO), failing=set(TEN[2:8]))

    assert after.members.keys() == set(TWO)
    assert after.decision is Decision.OBEYED


def test_failing_ones_leave_while_others_are_held() -> None:
    """The guard keeps those that live; who fails is gone by the same answer."""
    after = told(known(*TEN), lists(*TWO), failing={TEN[9], TEN[0]})

    assert after.held == frozenset(EIGHT[:-1])
    assert after.members.keys() == set(TEN[:-1])
    assert "7 of 8" in after.reason


def test_a_family_that_fails_in_between() -> None:
    """While the dropped ones' family cannot be asked, they stay."""
    before = told(known(A, B, C, V6), lists(V6))
    between = told(before, lists(V6, unheard=[Family.IPV4]))

    assert between.members.keys() == {A, B, C, V6}


def test_a_family_that_fails_confirms_and_forgets_nothing() -> None:
    """Dropped pods whose family's next query fails stay doubtful, as after a poll that failed as a whole."""
    before = told(known(A, B, C, V6), lists(V6))
    between = told(before, lists(V6, unheard=[Family.IPV4]))

    assert between.held == before.held
    assert told(between, lists(V6)).members.keys() == {V6}


# --- who is replaced ----------------------------------------------------------------------------


@pytest.mark.parametrize("trust", [Trust(shrink_guard=0.0), Trust(shrink_guard=0.5), Trust(hold_s=0.0)])
def test_a_name_at_another_address(trust: Trust) -> None:
    """A StatefulSet's pods that all came back elsewhere replace the old ones at once, guard or not."""
    old, new = ([pod(number + by, f"web-{number}") for number in (1, 2, 3)] for by in (0, 10))

    assert told(known(*old), lists(*new), trust=trust).members.keys() == set(new)


def test_another_name_at_the_same_address() -> None:
    """Addresses are used again: the old pod is gone however well "it" answers."""
    old, new = ([pod(number, f"{name}-{number}") for number in (1, 2, 3)] for name in ("web", "db"))

    assert told(known(*old), lists(*new)).members.keys() == set(new)


def test_replaced_while_held() -> None:
    """Neither a guard nor a doubt keeps a pod whose address is another's now."""
    old = [pod(number, f"web-{number}") for number in (1, 2, 3)]
    guarded, doubted = told(known(*old), lists(pod(9, "web-9"))), told(known(*old), NXDOMAIN)

    for before in (guarded, doubted):
        after = told(before, lists(pod(1, "db-1"), pod(12, "web-2")), trust=Trust(shrink_guard=0.0))

        assert before.members.keys() >= set(old)
        assert after.members.keys() & set(old) == ({old[2]} if before is doubted else set())


def test_replaced_though_unheard() -> None:
    """An answer that knows too little about a name, or is cut off, still says who has its address now."""
    old = pod(1, "web-1")

    assert told(known(old), lists(pod(1, "db-1"), unknown=["web-1"])).members.keys() == {pod(1, "db-1")}
    assert told(known(old), lists(pod(2, "web-1"), truncated=True)).members.keys() == {pod(2, "web-1")}
    assert told(known(old, pod(3, "web-3")), lists(pod(2, "web-1"), truncated=True)).members.keys() == {
        pod(2, "web-1"),
        pod(3, "web-3"),
    }


def test_nobody_is_replaced_without_a_name() -> None:
    """Plain addresses have no name in common: the guard counts them."""
    assert told(known(A, B), lists(C, D)).decision is Decision.GUARDED


def test_a_name_with_many_addresses_is_guarded_too() -> None:
    """One SRV target with ten addresses, eight of them missing once: nobody has moved anywhere."""
    ten = [pod(number, "web") for number in range(1, 11)]

    assert told(known(*ten), lists(*ten[:2])).members.keys() == set(ten)


@pytest.mark.parametrize("listed", [[1, 11], [1, 2, 11, 12], [11, 12, 1]])
def test_a_name_that_keeps_an_address_has_not_moved(listed: list[int]) -> None:
    """One SRV target with ten addresses, of which DNS lists one old and a new one: the rest are held."""
    ten = [pod(number, "web") for number in range(1, 11)]
    after = told(known(*ten), lists(*[pod(number, "web") for number in listed]))

    assert after.decision is Decision.GUARDED
    assert after.members.keys() >= set(ten)


def test_a_name_with_many_addresses_moves_as_a_whole() -> None:
    """None of its addresses is listed any more, others are: no guard keeps the old ones."""
    old, new = ([pod(number + by, "web") for number in range(1, 11)] for by in (0, 100))

    assert told(known(*old), lists(*new)).members.keys() == set(new)


@pytest.mark.parametrize(
    "old,new",
    [
        ((pod(1, "x"), SIX), (pod(2, "y"), SIX)),  # the second address of both
        ((pod(1, "x"), SIX), (V6._replace(name="y"), None)),  # the second one is the newcomer's first
        ((V6._replace(name="x"), None), (pod(2, "y"), SIX)),  # the first one is the newcomer's second
        ((pod(1, "x"), SIX), (pod(1, "y"), None)),
    ],
)
@pytest.mark.parametrize("known_before", [False, True])
def test_either_address_taken_over(
    old: tuple[Identity, Address | None], new: tuple[Identity, Address | None], known_before: bool
) -> None:
    """Whose address of either family is another's now is gone, also when that other was known without it."""
    (lost, lost_other), (newcomer, other) = old, new
    members = {lost: Listed(other=lost_other)} | ({newcomer: Listed()} if known_before else {})
    answer = Answer(AnswerKind.ENDPOINTS, {newcomer: Listed(other=other)})

    assert told(Membership(members), answer, trust=Trust(shrink_guard=0.0)).members == answer.endpoints


def test_own_addresses_are_not_taken_over() -> None:
    """A pod beside others with two addresses each, none of them its own, is held by the guard."""
    members = {
        pod(number, name): Listed(other=Address(f"fd00::{number}", 80))
        for number, name in ((1, "x"), (2, "y"))
    }
    answer = Answer(AnswerKind.ENDPOINTS, {each: members[each] for each in members if each.name == "y"})

    assert told(Membership(members), answer, trust=Trust(shrink_guard=0.0)).members == members


def test_half_an_answer_replaces_nobody() -> None:
    """Only whole answers cost anyone, whoever has the address by then."""
    old, new = pod(1, "x"), pod(1, "y")

    assert told(known(old), lists(new, partial=True)).members.keys() == {old, new}


# --- who is held --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "membership,held",
    [
        (Membership(), NOBODY),
        (known(A, B), NOBODY),
        (told(known(A, B, C), lists(A)), {B, C}),
        (told(known(A, B, C), lists(A), FAILED), {B, C}),
        (told(known(A, B, C), lists(A), lists(A)), NOBODY),
        (told(known(A, B, C), lists(A), lists(B, partial=True)), {C}),
        (told(known(A, B), NXDOMAIN), {A, B}),
        (told(known(A, B, C), lists(A), EMPTY), {A, B, C}),
        (told(known(A, B, C), lists(A), NXDOMAIN, lists(A, partial=True)), {B, C}),
        (told(known(A, B), NXDOMAIN, lists(A, B)), NOBODY),
        (told(known(A, B), FAILED), NOBODY),
        (told(known(A, B), lists(A, truncated=True)), NOBODY),
    ],
)
def test_held(membership: Membership, held: Set[Identity]) -> None:
    """Who is used only while it proves alive: members that DNS, as far as it was heard, does not list."""
    assert membership.held == held


@pytest.mark.parametrize(
    "membership,soon",
    [
        (Membership(), False),
        (known(A, B), False),
        (told(known(A, B, C), lists(A)), True),
        (told(known(A, B, C), lists(A), lists(A)), False),
        (told(known(A, B), NXDOMAIN), False),
        (told(known(A, B), FAILED), False),
    ],
)
def test_unconfirmed(membership: Membership, soon: bool) -> None:
    """Only a drop that awaits its confirmation has the next answer asked for soon."""
    assert membership.unconfirmed is soon


def test_a_dead_name_server_is_not_hurried() -> None:
    """When the confirming query fails, the next one comes at its usual time."""
    assert not told(known(A, B, C), lists(A), FAILED).unconfirmed


# --- who fails while it is held -----------------------------------------------------------------


def test_without() -> None:
    """A held pod that fails is gone, the reason says why; the others are still to be confirmed."""
    before = told(known(A, B, C), lists(A))
    after = without(before, B)

    assert (set(after.members), set(after.held)) == ({A, C}, {C})
    assert after.reason == "10.0.0.2:80 left: DNS does not list it, and it failed"
    assert after.unconfirmed
    assert told(after, lists(A)).members.keys() == {A}


def test_without_during_a_doubt() -> None:
    """The hold time of the others goes on where it was."""
    after = without(told(known(A, B), NXDOMAIN), A)

    assert (set(after.members), after.doubt_since) == ({B}, 0)
    assert decide(after, NXDOMAIN, NOBODY, TRUST, 30).members == {}


def test_without_the_last_one() -> None:
    """Nobody is left, and a pod that comes later is obeyed as usual."""
    after = without(told(known(A), NXDOMAIN), A)

    assert after.members == {}
    assert told(after, lists(B)).members.keys() == {B}


def test_without_the_last_dropped_one() -> None:
    """When facts have confirmed the whole drop, no answer is awaited for it."""
    assert not without(without(told(known(A, B, C), lists(A)), B), C).unconfirmed
