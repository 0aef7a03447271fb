"""What a pool does with members that DNS does not list: held, used only while they prove alive."""

import pytest

from proxy.errors import Refused
from proxy.model import AnswerKind
from tests.support.fleet import FAILED, NXDOMAIN, Stage


def guarded(pods: int = 10, listed: int = 2, **settings: str) -> Stage:
    """All but `listed` pods have just vanished from DNS; every pod has passed a check before."""
    stage = Stage(pods, 7, **{"DNS_SHRINK_GUARD": "50%"} | settings)
    for number in range(pods):
        stage.check(number, True)
    stage.answer(*range(listed))
    return stage


def test_a_large_shrink_changes_nothing_at_first() -> None:
    """8 of 10 pods vanish: all ten go on serving, and a confirming answer is wanted."""
    stage = guarded()

    assert stage.served_by(400) == set(range(10))
    assert stage.pool.membership.unconfirmed


def test_a_confirmed_shrink_is_obeyed() -> None:
    """The next answer says the same: the eight are gone."""
    stage = guarded()
    stage.answer(0, 1)

    assert stage.served_by() == {0, 1}
    assert not stage.pool.membership.unconfirmed


def test_an_unconfirmed_shrink_is_forgotten() -> None:
    """The next answer lists them all again: as if nothing had been, none is checked anew."""
    stage = guarded()
    stage.answer(*range(10))

    assert stage.states() == ["ready"] * 10
    assert stage.pool.membership.held == set()


@pytest.mark.parametrize("evidence", ["check", "connection"])
def test_who_fails_while_held_is_gone_at_once(evidence: str) -> None:
    """One failed check or connection of a pod that DNS does not list: no second answer is waited for."""
    stage = guarded()
    if evidence == "check":
        stage.check(5, False)
    else:
        stage.fail(5)

    assert stage.numbers(stage.pool.members) == set(range(10)) - {5}
    assert "failed" in stage.pool.membership.reason


def test_who_is_listed_may_fail_once() -> None:
    """The same failure of a pod that DNS lists costs it nothing yet."""
    stage = guarded()
    stage.check(0, False)

    assert stage.state(0) == "ready"


def test_only_the_proven_are_picked_during_a_hold() -> None:
    """NXDOMAIN: of the pods known, those that passed a check are used, not those that nobody has tried."""
    stage = Stage(4)
    stage.check(0, True)
    stage.check(1, True)
    stage.pool.apply(NXDOMAIN)

    assert stage.numbers(stage.pool.members) == {0, 1, 2, 3}
    assert stage.served_by() == {0, 1}


@pytest.mark.parametrize("evidence", ["check", "connection"])
def test_who_proves_alive_during_a_hold_is_preferred_at_once(evidence: str) -> None:
    """The next pick after the proof already knows, though the pod was in the same state before."""
    stage = Stage(4)
    stage.pool.apply(NXDOMAIN)
    for number, proven in ((1, {1}), (2, {1, 2})):
        before = stage.state(number)
        stage.served_by()
        if evidence == "check":
            stage.check(number, True)
        else:
            stage.succeed(number)

        assert stage.state(number) == before
        assert stage.served_by() == proven


def test_without_any_proof_all_are_tried() -> None:
    """NXDOMAIN right after the start: nobody has proved anything, and a doubtful pod beats none."""
    stage = Stage(3)
    stage.pool.apply(NXDOMAIN)

    assert stage.served_by() == {0, 1, 2}


def test_a_connection_is_a_proof() -> None:
    """With checks off, a pod whose last connection worked is used during a hold before one never tried."""
    stage = Stage(3, HEALTH_CHECK="off")
    stage.succeed(1)
    stage.pool.apply(NXDOMAIN)
    assert stage.served_by() == {1}

    with stage.pool.lease([]) as lease:
        lease.failed(Refused())

    assert stage.served_by() == {0, 2}


def test_a_failed_query_confirms_nothing() -> None:
    """SERVFAIL after the shrink: still held, still used, until an answer comes."""
    stage = guarded()
    stage.pool.apply(FAILED)
    assert stage.served_by(400) == set(range(10))

    stage.answer(0, 1)

    assert stage.served_by() == {0, 1}


def test_history() -> None:
    """The last 50 answers can be read with what was decided; those that came in halves count once."""
    stage = guarded()
    assert [each.decision for each in stage.pool.roster.history] == ["obeyed", "guarded"]
    assert stage.pool.roster.history[0].added.endswith("10.0.0.9:80")

    stage.answer(0, 1)
    assert stage.pool.roster.history[-1].removed.startswith("10.0.0.2:80, ")

    for _ in range(100):
        stage.pool.apply(NXDOMAIN)

    assert [each.answer for each in stage.pool.roster.history] == [AnswerKind.NXDOMAIN.value] * 50
