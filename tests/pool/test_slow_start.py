"""New and recovered endpoints get their share little by little, whatever the algorithm."""

from collections import Counter

import pytest

from tests.support.fleet import Stage

SHARING = ["p2c", "least_connections", "round_robin", "random", "peak_ewma"]
every_sharing_one = pytest.mark.parametrize("balancer", SHARING)


def share(stage: Stage, number: int, connections: int = 2_000) -> float:
    """The part of short connections that this pod gets, of what would be fair."""
    counts = Counter(stage.number(stage.next_one()) for _ in range(connections))
    return counts[number] / connections * len(stage.pool.active)


def grown(balancer: str, slow_start: str = "10s") -> Stage:
    """Ten pods at work, and an eleventh that has just passed its first check."""
    stage = Stage(10, BALANCER=balancer, SLOW_START=slow_start)
    stage.served_by(50)
    stage.answer(*range(11))
    stage.check(10, True)
    return stage


@every_sharing_one
def test_a_newcomer_rises(balancer: str) -> None:
    """A tenth at first, half after five seconds, all of it after ten."""
    stage = grown(balancer)
    assert share(stage, 10) < 0.25
    stage.clock.advance(5)
    assert 0.25 < share(stage, 10) < 0.75
    stage.clock.advance(5)

    assert 0.75 < share(stage, 10, 10_000) < 1.25


@every_sharing_one
def test_off(balancer: str) -> None:
    """SLOW_START=0: a newcomer is like any other at once."""
    assert 0.6 < share(grown(balancer, "0"), 10, 5_000) < 1.4


@every_sharing_one
def test_not_when_all_are_new(balancer: str) -> None:
    """At the start of the process nobody is warmer than the others: all get their share at once."""
    stage = Stage(10, BALANCER=balancer)
    for number in range(10):
        stage.check(number, True)

    assert 0.7 < share(stage, 3, 5_000) < 1.3
    assert all(each.ramp == 1 for each in stage.pool.members)


def test_nobody_else_is_there() -> None:
    """A newcomer that is the only usable one gets everything, of course."""
    stage = Stage(1)
    stage.answer(0, 1)
    stage.check(1, True)
    stage.check(0, False, False, False)

    assert stage.served_by() == {1}


def test_after_bad_health() -> None:
    """A pod whose checks pass again begins anew."""
    stage = Stage(10)
    stage.check(0, False, False, False)
    stage.check(0, True, True)
    assert share(stage, 0) < 0.25
    stage.clock.advance(10)

    assert share(stage, 0, 5_000) > 0.7


def test_after_an_ejection() -> None:
    """A pod that proved itself with one connection is not sent everyone at once."""
    stage = Stage(10)
    stage.fail(0, times=3)
    stage.clock.advance(6)
    with stage.pool.lease([]) as probe:
        assert probe.endpoint is stage.pod(0)
        probe.succeeded()

    assert share(stage, 0) < 0.25


def test_newcomers_without_checks() -> None:
    """With HEALTH_CHECK=off a newcomer is used at once, and gently as well."""
    stage = Stage(10, HEALTH_CHECK="off")
    stage.answer(*range(11))

    assert share(stage, 10) < 0.25


def test_a_change_in_between() -> None:
    """Answers that come while a pod warms up do not start it anew, nor end it."""
    stage = grown("random")
    stage.clock.advance(5)
    stage.answer(*range(12))
    stage.next_one()

    assert stage.pod(10).ramp == pytest.approx(0.5)


def test_nothing_to_do_when_all_are_warm() -> None:
    """Once everyone is warm, time alone makes no new snapshots."""
    stage = grown("p2c")
    stage.clock.advance(10)
    stage.next_one()
    pickers = stage.pool.tiers.pickers
    stage.clock.advance(100)
    stage.next_one()

    assert stage.pool.tiers.pickers is pickers
