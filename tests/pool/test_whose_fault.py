"""What is forgiven when it was us, and what was never ours: an answer that a pod is not well is its own."""

import asyncio

import pytest

from proxy.errors import CheckFailed, ConnectError, ConnectTimeout, Refused
from tests.controlpath.checking import Checked, Checks, pod
from tests.support.fleet import Stage
from tests.support.virtual import in_virtual_time

DEAD, WELL = range(8), (8, 9)


def check(stage: Stage, *well: int, rounds: int = 1) -> None:
    """Every five seconds all ten are checked; these pass."""
    for _ in range(rounds):
        for number in range(10):
            stage.check(number, number in well)
        stage.clock.advance(5)


# --- what is forgiven -----------------------------------------------------------------------------


@pytest.mark.parametrize("first", [8, 0])
def test_the_long_dead_stay_out(first: int) -> None:
    """Eight of ten fail their checks for 100 s, then the other two as well, for a moment: whoever passes one
    first, those two are used again, and nobody is sent to the eight before their checks pass.
    """
    stage = Stage(10)
    check(stage, *WELL, rounds=20)
    before = stage.pool.counters.panics["all_failed"]
    check(stage, rounds=4)
    assert stage.states() == ["unhealthy"] * 10
    assert stage.pool.counters.panics["all_failed"] == before + 1
    stage.check(first, True)

    assert stage.states() == ["unhealthy"] * 8 + ["ready"] * 2
    assert stage.served_by() == set(WELL)
    stage.check(0, True, True)
    assert stage.state(0) == "ready"


def test_the_long_ejected_stay_out() -> None:
    """The same by connections: an ejection from before is not lifted, neither at first nor afterwards."""
    stage = Stage(10, HEALTH_CHECK="off")
    for number in range(5):
        stage.succeed(9)
        stage.fail(number, times=3)
    stage.clock.advance(1)
    stage.succeed(9)
    stage.clock.advance(2)
    for number in range(5, 10):
        stage.fail(number, times=3)
    assert stage.pool.counters.panics == {"all_failed": 1}
    assert stage.states() == ["ejected"] * 5 + ["ready"] * 5
    stage.succeed(9)

    assert stage.states() == ["ejected"] * 5 + ["ready"] * 5
    stage.clock.advance(6)
    stage.succeed(0)
    assert stage.state(0) == "ready"


def test_who_came_back_before_still_warms_up() -> None:
    """A pod that is in its slow start for what it did itself stays in it."""
    stage = Stage(6, HEALTH_CHECK="off")
    stage.fail(0, times=3)
    stage.clock.advance(6)
    stage.succeed(0)
    stage.clock.advance(2)
    for number in range(1, 6):
        stage.fail(number)
    assert stage.pool.counters.panics == {"all_failed": 1}
    stage.succeed(1)

    assert stage.pod(0).warming_since is not None


# --- what was never ours --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error,doubts", [(CheckFailed("HTTP 503"), 0), (Refused(), 1), (ConnectTimeout(), 1)]
)
def test_an_answer_proves_the_network(
    error: ConnectError, doubts: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten pods say for a minute that they are not well: it is not us, and who asks the log is not told so."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_INTERVAL="5s", HEALTH_CHECK="http")
        world.discover(*map(pod, range(10)))
        await asyncio.sleep(20)
        for number in range(10):
            checks.ill[pod(number)] = error
        await asyncio.sleep(60)

        assert world.pool.counters.panics["all_failed"] == doubts
        assert ("is it this pod, its network" in caplog.text) == bool(doubts)

    in_virtual_time(story())


def test_nor_are_the_failures_beside_it() -> None:
    """Two refuse, also for more than a second between what the other eight answer."""
    stage = Stage(10, HEALTH_CHECK="http")
    for _ in range(4):
        for number in DEAD:
            stage.pool.observe_check(stage.pod(number), False, "HTTP 503", answered=True)
        stage.clock.advance(2)
        for number in WELL:
            stage.fail(number)
        stage.clock.advance(2)

    assert stage.pool.counters.panics["all_failed"] == 0


def test_an_answer_ends_the_doubt() -> None:
    """All are silent, then one says that it is not well: the network is back, the others are used again."""
    stage = Stage(3, HEALTH_CHECK="http")
    for number in range(3):
        stage.check(number, False, False, False)
    assert stage.pool.counters.panics["all_failed"] == 1
    stage.clock.advance(5)
    stage.pool.observe_check(stage.pod(0), False, "HTTP 503", answered=True)

    assert stage.states()[1:] == ["ready"] * 2
