"""When too few endpoints are left, or all fail at once: what is believed then."""

import logging

import pytest

from proxy.errors import Refused
from proxy.model import Answer, AnswerKind, Identity, Listed
from proxy.pool import Lease
from tests.support.fleet import Stage, address


def test_below_the_threshold_all_are_used(caplog: pytest.LogCaptureFixture) -> None:
    """With PANIC_THRESHOLD=50% and one of four left, the one is not crushed: all get connections."""
    stage = Stage(4, PANIC_THRESHOLD="50%")
    for number in (0, 1):
        stage.check(number, False, False, False)
    assert stage.served_by() == {2, 3}
    stage.check(2, False, False, False)
    assert stage.served_by() == {0, 1, 2, 3}
    assert "1 of 4 endpoints are usable: all are used" in caplog.text
    assert stage.pool.counters.panics == {"threshold": 1}
    stage.served_by()
    assert stage.pool.counters.panics == {"threshold": 1}

    stage.check(2, True, True)
    assert stage.served_by() == {2, 3}


def test_no_panic_by_default() -> None:
    """PANIC_THRESHOLD=0%: the last usable one serves alone."""
    stage = Stage(4)
    for number in (0, 1, 2):
        stage.check(number, False, False, False)

    stage.succeed(3)
    assert stage.served_by() == {3}
    assert "threshold" not in stage.pool.counters.panics


def test_nobody_is_usable() -> None:
    """When all are out, all are used, whatever the threshold."""
    stage = Stage(3)
    for number in range(3):
        stage.check(number, False, False, False)

    assert stage.served_by() == {0, 1, 2}
    assert stage.pool.counters.panics["none_usable"] == 1


def test_a_retry_does_not_panic() -> None:
    """Who failed once gets an endpoint that is well, if there is one."""
    stage = Stage(10, PANIC_THRESHOLD="50%")
    stage.succeed(9)
    for number in range(9):
        stage.check(number, False, False, False)

    for _ in range(100):
        with stage.pool.lease([stage.pod(0)]) as lease:
            assert lease.endpoint is stage.pod(9)


class InTiers(Stage):
    """Pods of two SRV priorities: the first four serve, the others are for failover."""

    def __init__(self, first: int = 4, second: int = 4, **variables: str) -> None:
        super().__init__(0, 7, **variables)
        listed = {Identity(address(each)): Listed(int(each >= first)) for each in range(first + second)}
        self.pool.apply(Answer(AnswerKind.ENDPOINTS, listed))

    def take_out(self, *numbers: int) -> None:
        for number in numbers:
            self.check(number, False, False, False)


def test_panic_is_of_the_priority_that_serves(caplog: pytest.LogCaptureFixture) -> None:
    """One of four is left, and five of twelve behind them: with a threshold of 50 % the four are used."""
    stage = InTiers(4, 12, PANIC_THRESHOLD="50%")
    stage.succeed(15)
    stage.take_out(0, 1, 2, *range(4, 11))

    assert stage.served_by() == {0, 1, 2, 3}
    assert "1 of 4 endpoints are usable: all are used" in caplog.text
    assert stage.pool.counters.panics == {"threshold": 1}


def test_no_panic_while_a_later_priority_has_enough(caplog: pytest.LogCaptureFixture) -> None:
    """Six of ten are known to be dead, ten wait behind them: nobody is sent to the dead, as in Envoy, until
    those behind have too few as well.
    """
    stage = InTiers(10, 10, PANIC_THRESHOLD="50%")
    stage.succeed(19)
    stage.take_out(*range(6))
    assert stage.served_by() == {6, 7, 8, 9}
    stage.take_out(*range(10, 15))
    assert stage.served_by() == {6, 7, 8, 9}
    assert stage.pool.counters.panics == {}
    assert "all are used" not in caplog.text

    stage.take_out(15)
    assert stage.served_by() == set(range(10))
    assert stage.pool.counters.panics == {"threshold": 1}


def test_no_panic_for_those_that_wait(caplog: pytest.LogCaptureFixture) -> None:
    """All that are for failover are dead, and those that serve are well: nothing is said, nothing changes."""
    stage = InTiers(4, 12, PANIC_THRESHOLD="50%")
    stage.succeed(0)
    stage.take_out(*range(4, 16))

    assert stage.served_by() == {0, 1, 2, 3}
    assert stage.pool.counters.panics == {}
    assert "all are used" not in caplog.text


def test_failover_comes_before_panic() -> None:
    """None of the first priority is usable: the next one serves, and the dead ones get nothing."""
    stage = InTiers(4, 4, PANIC_THRESHOLD="60%")
    stage.succeed(4)
    stage.take_out(0, 1, 2, 3)

    assert stage.served_by() == {4, 5, 6, 7}
    assert stage.pool.counters.panics == {}
    stage.take_out(4, 5)
    assert stage.served_by() == {4, 5, 6, 7}
    assert stage.pool.counters.panics == {"threshold": 1}


def test_nobody_of_any_priority_is_usable() -> None:
    """Then all are used, the better ones first."""
    stage = InTiers(2, 2)
    stage.take_out(0, 1, 2, 3)

    assert stage.served_by() == {0, 1}
    assert stage.pool.counters.panics["none_usable"] == 1


# --- is it us? ------------------------------------------------------------------------------------


def test_all_fail_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """When every endpoint fails and none works for an interval, it is said so, and nobody stays ejected."""
    stage = Stage(4, HEALTH_CHECK="off")
    stage.succeed(0)
    stage.fail(0, times=3)
    stage.fail(1, times=3)
    assert stage.states() == ["ejected", "ejected", "ready", "ready"]
    stage.fail(2)
    stage.fail(3)
    assert stage.pool.counters.panics == {}  # all have failed, but one worked just before
    stage.clock.advance(5)
    stage.fail(3)

    assert "of 4 of 4 endpoints fail, and none has worked since: is it this pod, its network" in caplog.text
    assert stage.pool.counters.panics == {"all_failed": 1}
    assert stage.states() == ["ready"] * 4
    for number in (0, 1, 2, 3):
        stage.fail(number, times=5)
    assert stage.states() == ["ready"] * 4  # nobody is ejected for what may be our fault
    assert stage.pool.counters.panics == {"all_failed": 1}


def test_it_is_over_with_the_first_answer(caplog: pytest.LogCaptureFixture) -> None:
    """The first success ends it: from then on those that still fail are ejected as ever."""
    caplog.set_level(logging.INFO)
    stage = Stage(3, HEALTH_CHECK="off")
    for number in range(3):
        stage.fail(number)
    stage.succeed(0)
    assert "an endpoint answers again" in caplog.text
    stage.fail(1, times=3)

    assert stage.states() == ["ready", "ejected", "ready"]


def test_failed_checks_count_as_well() -> None:
    """Checks that all fail say the same."""
    stage = Stage(3)
    for number in range(3):
        stage.check(number, False)

    assert stage.pool.counters.panics == {"all_failed": 1}


def test_all_come_back_together() -> None:
    """Once somebody answers, all that failed with it are used again, and looked at soon: the first to answer
    would otherwise carry everything."""
    stage = Stage(3)
    suspects: list[int] = []
    for number in range(3):
        stage.check(number, False, False, False)
    assert stage.states() == ["unhealthy"] * 3
    stage.pool.on_suspect = lambda each: suspects.append(stage.number(each))
    stage.check(0, True)

    assert stage.states() == ["ready"] * 3
    assert set(suspects) >= {1, 2}


def test_one_by_one_is_no_epidemic() -> None:
    """Endpoints that fail one after the other while others work are each their own trouble."""
    stage = Stage(4)
    for number in range(3):
        stage.check(number, False)
        stage.check(3, True)
        stage.clock.advance(6)

    assert stage.pool.counters.panics == {}


def test_the_long_dead_prove_nothing() -> None:
    """Two of three are dead for an hour; one failure of the third is no sign that it is us."""
    stage = Stage(3, HEALTH_CHECK="off")
    stage.fail(0, times=3)
    stage.fail(1)
    stage.clock.advance(3600)
    stage.succeed(2)
    stage.clock.advance(60)
    stage.fail(2)

    assert stage.pool.counters.panics == {}


def test_a_subset_grows_before_it_doubts() -> None:
    """All of the subset fail, the others stand by: they take over, whoever is at fault."""
    stage = Stage(20, SUBSET_SIZE="3", HEALTH_CHECK="off")
    dead = stage.numbers(stage.pool.active)
    for _ in range(3):
        for number in dead:
            pod = stage.pod(number)
            with Lease(stage.pool, pod, pod.address, stage.clock.now()) as lease:
                pod.in_flight += 1
                lease.failed(Refused())

    assert len([each for each in stage.pool.active if each.usable]) == 3
    assert not dead & stage.served_by()


def test_nobody_doubts_for_a_minute_again(caplog: pytest.LogCaptureFixture) -> None:
    """A network that comes and goes fills no log."""
    stage = Stage(3, HEALTH_CHECK="off")
    for _ in range(5):
        stage.clock.advance(6)
        for number in range(3):
            stage.fail(number)
        for number in range(3):
            stage.succeed(number)

    assert stage.pool.counters.panics["all_failed"] == 5
    assert caplog.text.count("is it this pod") == 1


def test_one_endpoint_alone_tells_nothing() -> None:
    """A service of one pod that fails is a dead pod."""
    stage = Stage(1)
    stage.fail(0, times=5)

    assert stage.pool.counters.panics == {}
