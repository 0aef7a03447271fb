"""What failing checks and connections do to the endpoints of a pool, and when they do nothing."""

import logging

import pytest

from proxy.errors import ConnectError, DeadlinePassed, OutOfDescriptors, OutOfPorts
from proxy.policy.endpoint import Endpoint
from tests.support.fleet import Stage


def test_failing_checks_take_out() -> None:
    """Three failed checks in a row: no new connection until two passed."""
    stage = Stage(3)
    stage.check(0, True, False, False)
    assert stage.served_by() == {0, 1, 2}
    stage.check(0, False)
    assert stage.states() == ["unhealthy", "ready", "ready"]
    assert stage.served_by() == {1, 2}
    stage.check(0, True)
    assert stage.served_by() == {1, 2}
    stage.check(0, True)

    assert stage.served_by() == {0, 1, 2}


def test_failing_connections_take_out() -> None:
    """Three failures in a row eject; a success in between starts the count anew."""
    stage = Stage(3)
    stage.fail(0, times=2)
    stage.succeed(0)
    stage.fail(0, times=2)
    assert stage.served_by() == {0, 1, 2}

    stage.fail(0)

    assert stage.states() == ["ejected", "ready", "ready"]
    assert stage.served_by() == {1, 2}
    stage.fail(0, times=5)  # the last resort of sessions that tried all others
    assert stage.pool.counters.ejections == {"refused": 1}


@pytest.mark.parametrize("error", [DeadlinePassed(), OutOfDescriptors(), OutOfPorts()])
def test_our_own_faults_do_not_count(error: ConnectError) -> None:
    """A sidecar that is out of descriptors does not blame the pods."""
    stage = Stage(3)
    stage.fail(0, times=50, error=error)

    assert stage.states() == ["ready"] * 3


def test_clients_that_leave_do_not_count() -> None:
    """A lease without a verdict says nothing, neither for the pod nor against it."""
    stage = Stage(3)
    stage.fail(0, times=2)
    for _ in range(50):
        with stage.lease(0):
            pass
    assert stage.state(0) == "ready"
    stage.fail(0)

    assert stage.state(0) == "ejected"


@pytest.mark.parametrize("pods,most", [(1, 0), (2, 1), (3, 1), (5, 2), (10, 5)])
def test_at_most_a_share_is_ejected(pods: int, most: int) -> None:
    """When all but one fail, half of the pods stay in, or at least one."""
    stage = Stage(pods)
    for number in range(pods - 1):
        stage.succeed(pods - 1)
        stage.fail(number, times=9)

    assert stage.states().count("ejected") == most
    assert len(stage.served_by()) == pods - most


def test_the_lone_survivor_is_not_ejected() -> None:
    """Checks say that all others are dead: the overloaded last one serves on."""
    stage = Stage(3)
    for number in (1, 2):
        stage.check(number, True, False, False, False)
    stage.fail(0, times=9)
    assert stage.served_by() == {0}

    stage.check(1, True, True)
    stage.fail(0)

    assert stage.served_by() == {1}


@pytest.mark.parametrize("pods", [1, 2, 10])
def test_never_everything_out(pods: int) -> None:
    """All checks fail: a doubtful pod beats none, and a session may try each of them."""
    stage = Stage(pods)
    for number in range(pods):
        stage.check(number, True, False, False, False)
    assert stage.states() == ["unhealthy"] * pods

    assert stage.served_by(500) == set(range(pods))


def test_doubtful_ones_come_after_the_usable() -> None:
    """A session that tried all usable pods gets the others; until then never."""
    stage = Stage(3)
    stage.check(0, True, False, False, False)

    assert stage.served_by() == {1, 2}
    with stage.pool.lease([stage.pod(1), stage.pod(2)]) as lease:
        assert lease.endpoint is stage.pod(0)


def test_a_last_resort_that_works_is_back() -> None:
    """An ejected pod that takes a connection serves again at once."""
    stage = Stage(2)
    stage.fail(0, times=3)
    stage.succeed(0)

    assert stage.states() == ["ready", "ready"]


def test_log_of_an_ejection(caplog: pytest.LogCaptureFixture) -> None:
    """Every change of state is one line: who, what it is, what it was, and why."""
    stage = Stage(2)
    caplog.set_level(logging.INFO, "headway.pool")
    stage.fail(0, times=3)
    stage.clock.advance(6)
    stage.succeed(0)
    stage.check(1, True, False, False, False)
    stage.check(1, True, True)

    assert caplog.messages == [
        "web: 10.0.0.0:80 is ejected, was ready (connection failed: refused)",
        "web: 10.0.0.0:80 is probing, was ejected (its ejection is over)",
        "web: 10.0.0.0:80 is ready, was probing (a connection to it worked)",
        "web: 10.0.0.1:80 is unhealthy, was ready (check failed: refused)",
        "web: 10.0.0.1:80 is ready, was unhealthy (check passed)",
    ]
    assert stage.pool.counters.health_checks == {"passed": 3, "failed": 3}


# --- CLOSE_ON_UNHEALTHY -------------------------------------------------------------------------


def told_of(stage: Stage) -> list[Endpoint]:
    told: list[Endpoint] = []
    stage.pool.on_unhealthy = told.append
    return told


def test_failing_checks_are_told_once() -> None:
    """A pod that its third failed check takes out is told, once; and again the next time."""
    stage = Stage(2)
    told = told_of(stage)
    stage.check(0, True)
    stage.check(1, True)
    stage.check(0, False, False)
    assert told == []
    stage.check(0, False, False)
    assert told == [stage.pod(0)]
    stage.check(0, True, True, False, False, False)

    assert told == [stage.pod(0)] * 2


def test_one_that_is_ejected_already_is_told() -> None:
    """What its state is called makes no difference: its checks begin to fail."""
    stage = Stage(2, EJECT_AFTER="1")
    told = told_of(stage)
    stage.check(1, True)
    stage.fail(0)
    assert stage.state(0) == "ejected"
    stage.check(0, False, False, False)

    assert told == [stage.pod(0)]


def test_failing_connections_are_not_told() -> None:
    """A pod that refuses new connections may still do well by those it has."""
    stage = Stage(2, EJECT_AFTER="1")
    told = told_of(stage)
    stage.fail(0, 5)

    assert told == []


def test_when_all_fail_nobody_is_told() -> None:
    """All checks fail at once: it is our network, and connections may outlive that."""
    stage = Stage(3)
    told = told_of(stage)
    for _ in range(3):
        stage.clock.advance(5.0)
        for number in range(3):
            stage.check(number, False)

    assert stage.states() == ["unhealthy"] * 3
    assert told == []
