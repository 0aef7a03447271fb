"""Who has MAX_CONNECTIONS_PER_ENDPOINT is passed over, and no worse one takes its place."""

import pytest

from proxy.errors import AllFull, NoEndpoint, Refused
from proxy.model import Address, Answer, AnswerKind, Identity, Listed
from proxy.policy.pickers import PICKERS
from proxy.pool import Lease
from tests.support.fleet import Stage, address


def taken(stage: Stage, count: int) -> list[Lease]:
    return [stage.pool.lease([], key) for key in range(count)]


@pytest.mark.parametrize("balancer", PICKERS)
def test_each_is_filled_and_no_more(balancer: str) -> None:
    """Of six connections to three pods that may have two each has two, whoever chooses; a seventh waits."""
    stage = Stage(3, BALANCER=balancer, MAX_CONNECTIONS_PER_ENDPOINT="2")
    leases = taken(stage, 6)
    assert [each.in_flight for each in stage.pool.members] == [2, 2, 2]
    with pytest.raises(AllFull):
        stage.pool.lease([])
    leases[3].release()

    assert stage.pool.lease([]).endpoint is leases[3].endpoint
    with pytest.raises(AllFull):
        stage.pool.lease([])


def test_room_is_told() -> None:
    """Each lease that ends makes room for one more, and is told: those that wait may be many."""
    stage = Stage(1, MAX_CONNECTIONS_PER_ENDPOINT="2")
    told: list[int] = []
    stage.pool.on_room = told.append
    for lease in taken(stage, 2):
        lease.release()

    assert told == [1, 1]


def test_without_a_cap() -> None:
    """As many as there are."""
    stage = Stage(1)
    taken(stage, 5000)

    assert stage.pod(0).in_flight == 5000


def test_a_retry_waits_for_the_one_that_is_full() -> None:
    """Who has tried all others has to wait; when all were tried there is nothing to wait for."""
    stage = Stage(2, MAX_CONNECTIONS_PER_ENDPOINT="1")
    first = stage.lease(0)
    with pytest.raises(AllFull):
        stage.pool.lease([stage.pod(1)])
    with pytest.raises(NoEndpoint):
        stage.pool.lease([stage.pod(0), stage.pod(1)])
    first.release()

    assert stage.pool.lease([stage.pod(1)]).endpoint is stage.pod(0)


def test_no_doubtful_one_instead_of_a_full_one() -> None:
    """A pod that is out does not come in because the others are busy."""
    stage = Stage(2, MAX_CONNECTIONS_PER_ENDPOINT="1", EJECT_AFTER="1")
    stage.fail(1)
    assert stage.states() == ["ready", "ejected"]
    lease = stage.pool.lease([])
    assert lease.endpoint is stage.pod(0)
    with pytest.raises(AllFull):
        stage.pool.lease([])
    with stage.lease(1) as probing:  # a retry, as before, may
        probing.failed(Refused())


def test_no_worse_priority_instead_of_a_full_one() -> None:
    """Replicas for failover (SRV) do not serve because the primaries are busy."""
    stage = Stage(0, MAX_CONNECTIONS_PER_ENDPOINT="1")
    members = {Identity(address(number)): Listed(priority=number) for number in range(2)}
    stage.pool.apply(Answer(AnswerKind.ENDPOINTS, members))
    assert stage.pool.lease([]).endpoint is stage.pod(0)

    with pytest.raises(AllFull):
        stage.pool.lease([])


def test_no_stand_in_for_a_full_subset() -> None:
    """Pods outside the subset stand in for those that fail, not for those that are busy."""
    stage = Stage(5, MAX_CONNECTIONS_PER_ENDPOINT="1", SUBSET_SIZE="2")
    leases = taken(stage, 2)
    with pytest.raises(AllFull):
        stage.pool.lease([])
    outside = stage.pool.lease([lease.endpoint for lease in leases]).endpoint

    assert outside not in stage.pool.active


def test_one_that_left_is_not_waited_for() -> None:
    """A full pod that DNS lists no more will not have room; when it is back, what it has left counts."""
    stage = Stage(1, MAX_CONNECTIONS_PER_ENDPOINT="1")
    lease = stage.pool.lease([])
    stage.answer(1)
    assert stage.pool.lease([]).endpoint is stage.pod(1)
    stage.answer(0)
    with pytest.raises(AllFull):
        stage.pool.lease([])
    lease.release()

    assert stage.pool.lease([]).endpoint.address == Address("10.0.0.0", 80)


def test_waiting_is_not_counted_as_a_connection() -> None:
    """Who is refused for want of room and comes again is one connection to the retry budget, not many."""
    stage = Stage(2, MAX_CONNECTIONS_PER_ENDPOINT="1", RETRY_BUDGET="100%", EJECT_AFTER="0")
    taken(stage, 2)
    for _ in range(1000):
        with pytest.raises(AllFull):
            stage.pool.lease([])

    assert sum(stage.pool.may_retry([]) for _ in range(1000)) <= 102
