"""When too few endpoints are left, or all fail at once: what is believed then."""

import logging

import pytest

from tests.support.fleet import Stage


def test_below_the_threshold_all_are_used(caplog: pytest.LogCaptureFixture) -> None:
    """With PANIC_THRESHOLD=50% and one of four left, the one is not crushed: all get connections."""
    stage = Stage(4, PANIC_THRESHOLD="50%")
    for number in (0, 1):
        stage.check(number, False, False, False)
    assert stage.served_by() == {2, 3}
    stage.check(2, False, False, False)
    assert stage.served_by() == {0, 1, 2, 3}
    assert "only 1 of 4 endpoints are usable: all are used" in caplog.text
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

    assert stage.served_by() == {3}
    assert stage.pool.counters.panics == {}


def test_nobody_is_usable() -> None:
    """When all are out, all are used, whatever the threshold."""
    stage = Stage(3)
    for number in range(3):
        stage.check(number, False, False, False)

    assert stage.served_by() == {0, 1, 2}


# --- is it us? ------------------------------------------------------------------------------------


def test_all_fail_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """When every endpoint fails within one interval, log and metrics say so, and nobody stays ejected."""
    stage = Stage(4, HEALTH_CHECK="off")
    stage.fail(0, times=3)
    stage.fail(1, times=3)
    assert stage.states() == ["ejected", "ejected", "ready", "ready"]
    stage.fail(2)
    assert "is it this pod" not in caplog.text
    stage.fail(3)

    assert "all 4 endpoints failed within 6 s: is it this pod, its network or its node?" in caplog.text
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


def test_who_was_unhealthy_needs_one_check() -> None:
    """Once somebody answers, those that failed with it are asked at once, and one passed check is enough:
    the first to answer would otherwise carry everything for two intervals."""
    stage = Stage(3)
    suspects: list[int] = []
    for number in range(3):
        stage.check(number, False, False, False)
    assert stage.states() == ["unhealthy"] * 3
    stage.pool.on_suspect = lambda each: suspects.append(stage.number(each))
    stage.check(0, True)
    assert set(suspects) >= {1, 2}
    stage.check(1, True)

    assert stage.states()[1:] == ["ready", "unchecked"]


def test_one_by_one_is_no_epidemic() -> None:
    """Endpoints that fail one after the other, over minutes, are each their own trouble."""
    stage = Stage(4)
    for number in range(4):
        stage.check(number, False)
        stage.clock.advance(3)

    assert stage.pool.counters.panics == {}


def test_one_endpoint_alone_tells_nothing() -> None:
    """A service of one pod that fails is a dead pod."""
    stage = Stage(1)
    stage.fail(0, times=5)

    assert stage.pool.counters.panics == {}
