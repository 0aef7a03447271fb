"""Endpoints with names: who is the same pod, who is another one, and what becomes of its connections."""

import pytest

from proxy.errors import OutOfDescriptors, Refused
from proxy.model import Address, Answer, AnswerKind, Identity, Listed
from proxy.policy.endpoint import Endpoint
from tests.support.fleet import Stage

FIRST, SECOND = Address("10.0.0.1", 80), Address("10.0.0.2", 80)
V6 = Address("fd00::1", 80)
ALIKE = Listed()


class Named(Stage):
    """A pool whose answers list names with their addresses."""

    def __init__(self, **variables: str) -> None:
        super().__init__(0, 7, **variables)
        self.replaced: list[Endpoint] = []
        self.pool.roster.on_replaced = self.replaced.append

    def lists(self, listed: Listed = ALIKE, /, **pods: Address) -> None:
        names = {Identity(address, name): listed for name, address in pods.items()}
        self.pool.apply(Answer(AnswerKind.ENDPOINTS, names))

    def named(self, name: str) -> Endpoint:
        return next(each for each in self.pool.members if each.identity.name == name)


def test_another_name_at_the_same_address_is_another_pod() -> None:
    """It starts cold, the old one's connections are ended, and the new one's picks are its own."""
    stage = Named()
    stage.lists(web0=FIRST, web1=SECOND)
    old = stage.named("web1")
    with stage.pool.lease([stage.named("web0")]) as lease:
        assert lease.endpoint is old
        stage.lists(web0=FIRST, web7=SECOND)

        assert stage.replaced == [old]
        assert stage.named("web7").state == "unchecked"
        assert (stage.named("web7").in_flight, stage.named("web7").picks) == (0, 0)

    assert stage.served_by() == {1}
    assert old not in stage.pool.endpoints


def test_a_draining_predecessor_is_replaced_too() -> None:
    """The pod left DNS long ago and still has a connection when another one gets its address: it is ended."""
    stage = Named()
    stage.lists(web0=FIRST, web1=SECOND)
    old = stage.named("web1")
    with stage.pool.lease([stage.named("web0")]):
        stage.lists(web0=FIRST)
        stage.clock.advance(600)
        stage.lists(web0=FIRST, web7=SECOND)

        assert stage.replaced == [old]


def test_a_name_that_comes_back_is_not_its_replaced_self() -> None:
    """web-1 is replaced by web-7 and then web-1 again: the old connections end once, the pod is usable."""
    stage = Named(HEALTH_CHECK="off")
    stage.lists(web1=SECOND)
    with stage.pool.lease([]) as lease:
        old = lease.endpoint
        stage.lists(web7=SECOND)
        stage.lists(web1=SECOND)

        assert stage.named("web1") is not old
        assert not stage.named("web1").replaced
        assert stage.replaced.count(old) == 1

    assert (old.in_flight, stage.named("web1").in_flight) == (0, 0)


def test_a_name_at_another_address_starts_anew() -> None:
    """A StatefulSet's pod that was ejected comes back on another node: it is not ejected there."""
    stage = Named(EJECT_MAX="10m", EJECT_BASE="10m", HEALTH_CHECK="off")
    stage.lists(web0=FIRST, web1=SECOND)
    stage.fail(2, times=3)
    assert stage.named("web1").state == "ejected"
    stage.lists(web0=FIRST, web1=Address("10.0.0.3", 80))

    assert stage.named("web1").state == "ready"
    assert stage.replaced == []


def test_the_same_name_and_address_is_the_same_pod() -> None:
    """Answers that change nothing change nothing, whatever order they come in."""
    stage = Named()
    stage.lists(web0=FIRST, web1=SECOND)
    before = set(stage.pool.members)
    stage.lists(web1=SECOND, web0=FIRST)

    assert set(stage.pool.members) == before


def test_plain_addresses_are_never_replaced() -> None:
    """Without names nobody can tell: an address that stays is the pod that it was."""
    stage = Named()
    stage.pool.apply(Answer.of([FIRST, SECOND]))
    stage.pool.apply(Answer.of([FIRST]))
    stage.pool.apply(Answer.of([FIRST, SECOND]))

    assert stage.replaced == []


def test_rank_follows_each_answer() -> None:
    """Priority and weight may change at any time; the pod stays the same, with its connections."""
    stage = Named(HEALTH_CHECK="off")
    stage.lists(web0=FIRST, web1=SECOND)
    pod = stage.named("web1")
    stage.pool.apply(
        Answer(
            AnswerKind.ENDPOINTS,
            {Identity(FIRST, "web0"): Listed(priority=5), Identity(SECOND, "web1"): Listed(priority=1)},
        )
    )

    assert stage.named("web1") is pod
    assert stage.served_by() == {2}


def test_the_other_address_takes_over() -> None:
    """A pod with an address of each family is tried at the other one after a failure, and back again."""
    stage = Named()
    stage.lists(Listed(other=V6), web0=FIRST)
    pod = stage.named("web0")

    for used, then in ((FIRST, V6), (V6, FIRST)):
        with stage.pool.lease([]) as lease:
            assert lease.address == pod.address == used
            lease.failed(Refused())
        assert pod.address == then

    with stage.pool.lease([]) as lease:
        lease.succeeded()
    assert pod.address == FIRST


def test_two_failures_at_once_turn_once() -> None:
    """Connections that began together and fail at the same address say one thing: that address is bad."""
    stage = Named(EJECT_AFTER="10")
    stage.lists(Listed(other=V6), web0=FIRST)
    pod = stage.named("web0")
    with stage.pool.lease([]) as one, stage.pool.lease([]) as other:
        one.failed(Refused())
        other.failed(Refused())
        assert (one.address, other.address, pod.address) == (FIRST, FIRST, V6)

        with stage.pool.lease([]) as third:
            assert third.address == V6


def test_our_own_fault_does_not_turn() -> None:
    """Without a file descriptor left nothing was learned about the address."""
    stage = Named()
    stage.lists(Listed(other=V6), web0=FIRST)
    with stage.pool.lease([]) as lease:
        lease.failed(OutOfDescriptors())

    assert stage.named("web0").address == FIRST


OLD = Listed(other=V6)


@pytest.mark.parametrize(
    "newcomer,listed",
    [(SECOND, Listed(other=V6)), (V6, ALIKE), (FIRST, ALIKE), (FIRST, Listed(other=Address("fd00::2", 80)))],
)
@pytest.mark.parametrize("draining", [False, True])
def test_either_address_taken_over(newcomer: Address, listed: Listed, draining: bool) -> None:
    """A pod whose first or second address is another's now has its connections ended, draining or not."""
    stage = Named()
    third = Address("10.0.0.3", 80)
    stage.pool.apply(
        Answer(AnswerKind.ENDPOINTS, {Identity(FIRST, "web0"): OLD, Identity(third, "web1"): ALIKE})
    )
    old = stage.named("web0")
    with stage.pool.lease([stage.named("web1")]) as lease:
        assert lease.endpoint is old
        if draining:
            stage.lists(web1=third)
            assert (old.state, stage.replaced) == ("draining", [])
        pods = {Identity(third, "web1"): ALIKE, Identity(newcomer, "web7"): listed}
        for _ in range(2):
            stage.pool.apply(Answer(AnswerKind.ENDPOINTS, pods))

        assert stage.replaced == [old]
    assert old not in stage.pool.endpoints


def test_a_known_pod_gets_the_address_of_one_that_drains() -> None:
    """A member that learns its second address only now has taken it over all the same."""
    stage = Named()
    stage.pool.apply(
        Answer(AnswerKind.ENDPOINTS, {Identity(FIRST, "web0"): OLD, Identity(SECOND, "web1"): ALIKE})
    )
    old = stage.named("web0")
    with stage.pool.lease([stage.named("web1")]):
        stage.lists(web1=SECOND)
        assert stage.replaced == []
        stage.lists(Listed(other=V6), web1=SECOND)

        assert stage.replaced == [old]


def test_a_member_is_not_replaced_by_itself() -> None:
    """A pod whose second address comes, goes and comes again keeps its connections."""
    stage = Named()
    with_both, with_one = Listed(other=V6), ALIKE
    stage.lists(with_one, web0=FIRST)
    pod = stage.named("web0")
    with stage.pool.lease([]):
        for listed in (with_both, with_one, with_both):
            stage.lists(listed, web0=FIRST)

    assert (stage.replaced, stage.named("web0")) == ([], pod)


def test_a_name_that_loses_its_first_address_drains() -> None:
    """An answer with half of its addresses does not make it another pod: no connection is ended."""
    stage = Named()
    stage.lists(Listed(other=V6), web0=FIRST)
    with stage.pool.lease([]):
        stage.lists(web0=V6)

        assert stage.replaced == []
