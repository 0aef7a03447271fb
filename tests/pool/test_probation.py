"""How an ejected endpoint comes back: by one connection, which decides before there is a second one."""

from collections.abc import Callable

import pytest

from proxy.errors import OutOfDescriptors, Refused
from proxy.pool import Lease
from tests.support.fleet import Stage

OVER_S = 6.0  # when the first ejection is over: five seconds, and up to a fifth more by lot


def on_probation(pods: int = 3, health_check: str = "tcp") -> Stage:
    """Pod 0 was ejected, and its time is over."""
    stage = Stage(pods, HEALTH_CHECK=health_check)
    stage.fail(0, times=3)
    stage.clock.advance(4.9)
    assert stage.served_by() == set(range(1, pods))
    stage.clock.advance(OVER_S - 4.9)
    assert stage.state(0) == "probing"
    return stage


def probe(stage: Stage, *numbers: int) -> Lease:
    """The connection that shows what one of these pods is worth, as soon as the balancer sends one there."""
    for _ in range(1_000):
        lease = stage.pool.lease([])
        if stage.number(lease.endpoint) in numbers:
            return lease
        with lease:
            pass
    raise AssertionError(f"none of {numbers} got a connection")


def test_one_connection_decides() -> None:
    """A pod that comes back gets one connection, and no second one before that one has shown something."""
    stage = on_probation()
    with probe(stage, 0) as lease:
        assert stage.served_by() == {1, 2}
        lease.succeeded()
        assert stage.state(0) == "ready"

    assert stage.served_by() == {0, 1, 2}


def test_failed_probation() -> None:
    """A failure ejects it again, for twice as long; other connections never notice."""
    stage = on_probation()
    with probe(stage, 0) as lease:
        lease.failed(Refused())
    assert stage.state(0) == "ejected"
    stage.clock.advance(9.9)
    assert stage.served_by() == {1, 2}
    stage.clock.advance(2 * OVER_S - 9.9)

    with probe(stage, 0) as lease:
        lease.failed(Refused())
    assert stage.pool.counters.ejections == {"refused": 3}


@pytest.mark.parametrize(
    "end",
    [lambda lease: None, lambda lease: lease.failed(OutOfDescriptors())],
    ids=["client left", "own fault"],
)
def test_a_probe_that_shows_nothing(end: Callable[[Lease], None]) -> None:
    """Its client left, or the sidecar was at fault: another connection shows it."""
    stage = on_probation()
    with probe(stage, 0) as lease:
        end(lease)
    assert stage.state(0) == "probing"

    with probe(stage, 0) as lease:
        assert stage.served_by() == {1, 2}


def test_another_connection_that_ends_is_not_the_probe() -> None:
    """An old connection of the pod ends while the probe is undecided: still no second probe."""
    stage = Stage(3)
    with stage.lease(0):
        stage.fail(0, times=3)
        stage.clock.advance(OVER_S)
        probe(stage, 0)

    assert stage.served_by() == {1, 2}


def test_a_standing_probe_is_a_success() -> None:
    """A client that connects and says nothing for CONNECT_DEADLINE has shown that the pod accepts."""
    stage = on_probation()
    with probe(stage, 0):
        stage.clock.advance(4.5)
        assert stage.served_by() == {1, 2}
        stage.clock.advance(0.5)

        assert stage.served_by() == {0, 1, 2}


def test_retries_do_not_probe() -> None:
    """A connection that already failed once is not risked a second time."""
    stage = on_probation()
    stage.succeed(2)

    for _ in range(100):
        with stage.pool.lease([stage.pod(1)]) as lease:
            assert lease.endpoint is stage.pod(2)


def test_each_pod_on_probation_gets_one() -> None:
    """Three pods come back together: three connections, one each, then none."""
    stage = Stage(6)
    for number in range(3):
        stage.fail(number, times=3)
    stage.clock.advance(OVER_S)
    probes = [probe(stage, 0, 1, 2) for _ in range(3)]

    assert stage.numbers([each.endpoint for each in probes]) == {0, 1, 2}
    assert stage.served_by() == {3, 4, 5}


def test_a_passed_check_begins_probation() -> None:
    """Not a full comeback, for checks passed all the time while connections failed."""
    stage = Stage(3)
    stage.fail(0, times=3)
    stage.check(0, True)
    assert stage.state(0) == "probing"
    probe(stage, 0)

    assert stage.served_by() == {1, 2}


def test_a_check_of_another_port_proves_nothing() -> None:
    """With HEALTH_PORT a passed check does not say that connections are taken."""
    stage = Stage(3, HEALTH_PORT="9000")
    stage.fail(0, times=3)
    stage.check(0, True)

    assert stage.state(0) == "ejected"


def test_no_client_probes_what_checks_call_dead() -> None:
    """Its ejection is over but its checks fail: it waits for them, and only then for one connection."""
    stage = Stage(3)
    stage.fail(0, times=3)
    stage.check(0, True, False, False, False)
    stage.clock.advance(60)
    assert stage.served_by() == {1, 2}
    stage.check(0, True)
    assert stage.served_by() == {1, 2}
    stage.check(0, True)
    probe(stage, 0)

    assert stage.served_by() == {1, 2}


def test_probation_among_many_that_are_out() -> None:
    """DNS took the healthy ones, so more than the share is out: a failed probe still ends probation."""
    stage = Stage(10)
    stage.succeed(5)
    for number in range(5):
        stage.fail(number, times=3)
    stage.answer(0, 1, 2, 3, 4, 5)
    stage.clock.advance(OVER_S)
    for number in range(5):
        stage.succeed(5)
        with probe(stage, number) as lease:
            lease.failed(Refused())

    assert stage.states() == ["ejected"] * 5 + ["ready"]
    assert stage.served_by() == {5}


def test_a_probe_outlives_dns_churn() -> None:
    """The pod leaves DNS and comes back while it is probed: nothing of the probe is left behind."""
    stage = on_probation(4)
    with probe(stage, 0) as lease:
        stage.answer(1, 2, 3)
        lease.succeeded()
    stage.answer(0, 1, 2, 3)
    stage.clock.advance(60)
    assert stage.states() == ["unchecked", "ready", "ready", "ready"]
    pickers = stage.pool.tiers.pickers

    assert stage.served_by() == {1, 2, 3}
    assert (
        stage.pool.tiers.pickers is pickers
    )  # nothing changes, so nothing is made anew with every connection


def test_dead_for_days() -> None:
    """A pod that is listed but dead is probed every five minutes, for weeks, and nothing breaks."""
    stage = on_probation(health_check="off")
    for _ in range(2_000):
        with probe(stage, 0) as lease:
            lease.failed(Refused())
        stage.succeed(1)
        assert stage.next_one() is not stage.pod(0)
        stage.clock.advance(300)


def test_idle_time_passes_too() -> None:
    """After a night without a connection the first one sees what the clock has changed."""
    stage = Stage(3)
    stage.fail(0, times=3)
    stage.clock.advance(8 * 3600)

    assert stage.served_by() == {0, 1, 2}


@pytest.mark.parametrize("balancer,served", [("ordered", {0}), ("random", {0, 1, 2})])
def test_probation_is_no_exception_from_the_algorithm(balancer: str, served: set[int]) -> None:
    """A replica whose ejection is over gets no connection that is meant for the primary."""
    stage = Stage(3, BALANCER=balancer)
    stage.fail(2, times=3)
    stage.clock.advance(OVER_S)

    assert stage.served_by() == served
