"""Of two attempts the one that began later tells, whichever was heard of first: connections and checks."""

import pytest

from proxy.errors import ConnectError, ConnectTimeout, Refused, ResetEarly
from tests.support.fleet import Stage


def test_a_late_failure_ejects_nobody() -> None:
    """Three attempts from before the last success time out after it: that is old news, to DNS as well."""
    stage = Stage(3)
    asked: list[bool] = []
    stage.pool.request_resolve = lambda: asked.append(True)
    late = [stage.lease(0) for _ in range(3)]
    stage.clock.advance(0.9)
    stage.succeed(0)
    stage.clock.advance(0.1)
    for lease in late:
        with lease:
            lease.failed(ConnectTimeout())

    assert stage.state(0) == "ready"
    assert stage.pod(0).alive is True
    assert stage.pod(0).latency.read(stage.clock.now()) is None
    assert asked == []
    stage.fail(0, times=3)
    assert stage.state(0) == "ejected"


def test_an_older_connection_that_ends_well_does_not_clear_it() -> None:
    """Old connections end well one by one while the pod takes no new ones: these eject it."""
    stage = Stage(3)
    old = [stage.lease(0) for _ in range(3)]
    stage.clock.advance(1)
    young = [stage.lease(0) for _ in range(3)]
    for before, after in zip(old, young, strict=True):
        stage.clock.advance(1)
        with before, after:
            before.succeeded()
            after.failed(ConnectTimeout())

    assert stage.state(0) == "ejected"


def test_a_success_counts_though_an_older_attempt_failed_meanwhile() -> None:
    """It began later, so the pod works; when each was heard of does not matter."""
    stage = Stage(3)
    older = stage.lease(0)
    stage.clock.advance(0.5)
    with stage.lease(0) as younger:
        stage.clock.advance(0.5)
        with older:
            older.failed(ConnectTimeout())
        assert stage.pod(0).alive is False
        younger.succeeded()

    assert stage.pod(0).alive is True
    assert stage.pod(0).ejection.failures == 0


@pytest.mark.parametrize("error,state", [(ConnectTimeout(), "probing"), (ResetEarly(), "ejected")])
def test_a_late_failure_does_not_end_a_probation(error: ConnectError, state: str) -> None:
    """A check that began later has passed, and put the pod on probation: only a new failure sends it back.

    A check that passes does not end an ejection that resets brought about; its time does.
    """
    stage = Stage(3)
    late = stage.lease(0)
    stage.fail(0, times=3, error=error)
    stage.clock.advance(0.5)
    stage.check(0, True)
    assert stage.state(0) == state
    with late:
        late.failed(error)
    assert stage.state(0) == state
    stage.clock.advance(6.0)
    with stage.lease(0) as probe:
        probe.failed(error)

    assert stage.state(0) == "ejected"
    assert stage.pool.counters.ejections == {error.reason: 2}


def test_a_late_failure_does_not_turn_from_an_address_that_works() -> None:
    """A pod with two addresses stays with the one that has worked since."""
    stage = Stage(2)
    pod = stage.pod(0)
    pod.other = stage.pod(1).address
    late = stage.lease(0)
    stage.clock.advance(0.5)
    stage.succeed(0)
    with late:
        late.failed(Refused())
    assert not pod.turned
    stage.fail(0)
    assert pod.turned


# --- checks ---------------------------------------------------------------------------------------


def check(stage: Stage, number: int, began: float, passed: bool = False) -> None:
    stage.pool.observe_check(stage.pod(number), passed, "" if passed else "timeout", began)


def test_a_check_that_began_before_a_success() -> None:
    """It times out after a connection that began later has worked: the pod is proven, and stays."""
    stage = Stage(3, HEALTH_FALL="1")
    began = stage.clock.now()
    stage.clock.advance(0.5)
    stage.succeed(0)
    stage.clock.advance(0.5)
    check(stage, 0, began)
    assert stage.state(0) == "ready"
    assert stage.pod(0).alive is True
    assert stage.pool.counters.health_checks == {"failed": 1}

    check(stage, 0, stage.clock.now())
    assert stage.state(0) == "unhealthy"


def test_a_success_starts_the_count_of_checks_anew() -> None:
    """Two failed checks, a connection that works, two failed checks: that is no three in a row."""
    stage = Stage(3)
    stage.check(0, False, False)
    stage.succeed(0)
    stage.check(0, False, False)
    assert stage.state(0) == "ready"
    stage.check(0, False)

    assert stage.state(0) == "unhealthy"


@pytest.mark.parametrize(
    "settings", [{"HEALTH_CHECK": "http"}, {"HEALTH_CHECK": "grpc"}, {"HEALTH_PORT": "81"}]
)
def test_a_check_that_asks_more_is_not_refuted(settings: dict[str, str]) -> None:
    """A pod that takes connections and says that it is not well is out after three checks."""
    stage = Stage(3, 7, **settings)
    for _ in range(3):
        began = stage.clock.now()
        stage.clock.advance(0.1)
        stage.succeed(0)
        check(stage, 0, began)

    assert stage.state(0) == "unhealthy"


@pytest.mark.parametrize("health_check", ["tcp", "http"])
def test_checks_that_began_in_the_outage(health_check: str) -> None:
    """Whatever they ask: they time out when it is over, and say nothing of the pods."""
    stage = Stage(4, HEALTH_CHECK=health_check, HEALTH_FALL="1")
    stage.clock.advance(10)
    for number in range(4):
        stage.fail(number)
    began = stage.clock.now()
    stage.clock.advance(0.5)
    stage.succeed(0)
    for number in range(4):
        check(stage, number, began)

    assert stage.states() == ["ready"] * 4
