"""How the members of a pool follow DNS, and how far they do not."""

import pytest
from msgspec import structs

from proxy.errors import NoEndpoint
from proxy.model import Address, Answer, Family
from proxy.pool import FORGET_AFTER_S
from tests.support.fleet import EMPTY, FAILED, NXDOMAIN, Stage, address


def test_first_answer_is_used_at_once() -> None:
    """Nobody waits for a check when nobody has passed one."""
    stage = Stage(3)

    assert stage.states() == ["ready"] * 3
    assert stage.served_by() == {0, 1, 2}


def test_removed_endpoints_drain() -> None:
    """DNS stops listing a pod: no new connection, the open one lives on, then it is gone."""
    stage = Stage(2)
    with stage.lease(0):
        stage.answer(1)
        assert stage.state(0) == "draining"
        assert stage.served_by() == {1}

    assert stage.numbers(stage.pool.endpoints) == {1}


def test_counts_survive_churn() -> None:
    """A pod that leaves DNS and comes back is the same pod, with the connections it still has."""
    stage = Stage(2)
    with stage.lease(0):
        before = stage.pod(0)
        for _ in range(3):
            stage.answer(1)
            stage.clock.advance(FORGET_AFTER_S + 1)
            stage.answer(1)
            stage.answer(0, 1)

        assert stage.pod(0) is before
        assert (before.in_flight, before.picks) == (1, 1)

    assert before.in_flight == 0


@pytest.mark.parametrize("away_s,state", [(10.0, "ejected"), (FORGET_AFTER_S + 1, "unchecked")])
def test_history_survives_churn(away_s: float, state: str) -> None:
    """An ejected pod cannot cleanse itself by leaving DNS for a moment; after a minute it is a new one."""
    stage = Stage(3, EJECT_BASE="10m", EJECT_MAX="10m")
    stage.fail(0, times=3)
    stage.answer(1, 2)
    stage.clock.advance(away_s)
    stage.answer(1, 2)
    stage.answer(0, 1, 2)

    assert stage.state(0) == state


def test_an_address_that_comes_back_is_checked_anew() -> None:
    """Addresses are used again: what listens there now may be another pod."""
    stage = Stage(2)
    stage.check(0, True)
    stage.answer(1)
    stage.answer(0, 1)

    assert stage.state(0) == "unchecked"
    assert stage.served_by() == {1}


@pytest.mark.parametrize("checks", ["tcp", "off"])
def test_who_left_and_came_back_has_proved_nothing(checks: str) -> None:
    """What it showed before it left is forgotten: during a hold it is not preferred to anyone."""
    stage = Stage(3, HEALTH_CHECK=checks)
    for number in range(3):
        stage.check(number, True)
    stage.answer(1, 2)
    stage.answer(0, 1, 2)
    assert not stage.pod(0).proven
    assert stage.pod(1).proven

    stage.pool.apply(NXDOMAIN)
    assert stage.served_by() == {1, 2}

    stage.check(0, True)
    assert stage.pod(0).proven


def test_changes_do_not_disturb_the_round() -> None:
    """DNS adds and removes a pod between any two connections: each of the others is still served in turn."""
    stage = Stage(5, BALANCER="round_robin", HEALTH_CHECK="off")
    served = []
    for _ in range(5):
        stage.answer(0, 1, 2, 3, 4, 5)
        assert stage.states() == ["ready"] * 6
        stage.answer(0, 1, 2, 3, 4)
        served.append(stage.next_one())

    assert stage.numbers(served) == {0, 1, 2, 3, 4}


def test_newcomers_wait_for_a_check() -> None:
    """A pod that joins gets no connection before it passed one check, while others are usable."""
    stage = Stage(2)
    stage.answer(0, 1, 2)
    assert stage.states() == ["ready", "ready", "unchecked"]
    assert stage.served_by() == {0, 1}

    stage.check(2, True)

    assert stage.served_by() == {0, 1, 2}


def test_newcomers_without_checks() -> None:
    """With HEALTH_CHECK=off there is nothing to wait for."""
    stage = Stage(2, HEALTH_CHECK="off")
    stage.answer(0, 1, 2)

    assert stage.served_by() == {0, 1, 2}


def test_all_pods_replaced() -> None:
    """When no pod of the former answer is left, the new ones serve before any check."""
    stage = Stage(2)
    stage.answer(2, 3)

    assert stage.served_by() == {2, 3}


def test_a_dead_resolver_never_shrinks_the_pool() -> None:
    """Hours of SERVFAIL, with failing pods too: every pod stays known."""
    stage = Stage(3)
    stage.fail(0, times=3)
    for _ in range(1_000):
        stage.pool.apply(FAILED)
        stage.clock.advance(10)

    assert stage.numbers(stage.pool.members) == {0, 1, 2}


@pytest.mark.parametrize("denial", [NXDOMAIN, EMPTY])
def test_hold(denial: Answer) -> None:
    """ "Nobody there" is not believed for 30 s of pods that work, at once of pods that fail."""
    stage = Stage(3)
    stage.check(0, True)
    stage.check(1, True, False, False, False)
    stage.pool.apply(denial)
    assert stage.numbers(stage.pool.members) == {0, 2}
    stage.clock.advance(29.9)
    stage.pool.apply(denial)
    assert stage.served_by() == {0}  # the one that has proved to be alive

    stage.clock.advance(0.1)
    stage.pool.apply(denial)

    assert stage.pool.members == ()
    with pytest.raises(NoEndpoint):
        stage.pool.lease([])


def test_back_after_nobody() -> None:
    """Scaled to zero and up again: the first pods serve at once, as at the start."""
    stage = Stage(2, DNS_HOLD="0")
    stage.pool.apply(NXDOMAIN)
    stage.answer(5, 6)

    assert stage.served_by() == {5, 6}


def test_one_family_fails() -> None:
    """The AAAA query times out: IPv6 pods stay, IPv4 pods follow the answer."""
    stage = Stage()
    v6 = Address("fd00::1", 80)
    stage.pool.apply(Answer.of([address(0), v6]))
    stage.pool.apply(structs.replace(Answer.of([address(1)]), unknown_families=frozenset({Family.IPV6})))

    assert {each.address for each in stage.pool.members} == {address(1), v6}


def test_what_was_learned_and_when() -> None:
    """Ready and the age of the answer rest on answers, never on failed queries."""
    stage = Stage()
    stage.pool.apply(FAILED)
    assert (stage.pool.resolved, stage.pool.roster.last_good_at) == (False, None)
    stage.pool.apply(NXDOMAIN)
    assert (stage.pool.resolved, stage.pool.roster.last_good_at) == (True, 1000.0)
    stage.clock.advance(5)
    stage.pool.apply(FAILED)

    assert (stage.pool.resolved, stage.pool.roster.last_good_at) == (True, 1000.0)


def test_followers_hear_of_changes_only() -> None:
    """The prober is called when the members change, not with every poll."""
    stage = Stage()
    heard: list[set[int]] = []
    stage.pool.on_members_changed = lambda: heard.append(stage.numbers(stage.pool.members))
    for numbers in ((0, 1), (0, 1), (1,), (1, 2)):
        stage.answer(*numbers)
    stage.pool.apply(NXDOMAIN)
    stage.pool.apply(FAILED)

    assert heard == [{0, 1}, {1}, {1, 2}]
