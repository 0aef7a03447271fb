"""Which pod is checked when: spread, jittered, few at a time, and never for nothing."""

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

from proxy.policy.endpoint import State
from tests.controlpath.checking import Checked, Checks, pod
from tests.support.virtual import in_virtual_time


def test_first_checks_are_spread() -> None:
    """Of a hundred pods found at once, each fifth of the interval checks some: no burst, no lock-step."""

    async def story() -> None:
        checks = Checks()
        began = asyncio.get_running_loop().time()
        Checked(checks, HEALTH_INTERVAL="5s").discover(*map(pod, range(100)))
        await asyncio.sleep(6.0)

        assert len(checks.times) == 100
        firsts = Counter(int(times[0] - began) for times in checks.times.values())
        assert all(firsts[second] >= 8 for second in range(5))

    in_virtual_time(story())


def test_a_new_pod_is_checked_soon() -> None:
    """A pod that comes later waits for its check a tenth of the interval at most, then it is ready."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_INTERVAL="5s")
        world.discover(pod(1))
        world.discover(pod(1), pod(2))
        assert (world.state(pod(1)), world.state(pod(2))) == (State.READY, State.UNCHECKED)
        await asyncio.sleep(0.51)

        assert world.state(pod(2)) is State.READY
        assert len(checks.times[pod(2)]) == 1

    in_virtual_time(story())


def test_checks_are_jittered() -> None:
    """HEALTH_INTERVAL passes between two checks of a pod, give or take a fifth, never twice the same."""

    async def story() -> None:
        checks = Checks()
        Checked(checks, HEALTH_INTERVAL="5s").discover(pod(1))
        await asyncio.sleep(600.0)

        gaps = [later - earlier for earlier, later in pairwise(checks.times[pod(1)])]
        assert 4.0 <= min(gaps) < 4.2
        assert 5.8 < max(gaps) <= 6.0
        assert len(gaps) == len({round(gap, 6) for gap in gaps})

    in_virtual_time(story())


def test_few_checks_at_a_time() -> None:
    """A thousand pods that hang do not take a thousand descriptors; each still gets its turn."""

    async def story() -> None:
        checks = Checks()
        checks.open.clear()
        world = Checked(checks)
        world.discover(*map(pod, range(200)))
        await asyncio.sleep(1.0)
        assert checks.count == checks.under_way == 32

        checks.open.set()
        await world.passed(200)

        assert checks.most == 32
        assert len(checks.times) == 200

    in_virtual_time(story())


def test_a_pod_that_is_gone_is_not_checked() -> None:
    """Checks of a pod end with its last mention by DNS, also when one was just under way."""

    async def story() -> None:
        checks = Checks()
        checks.open.clear()
        world = Checked(checks)
        world.discover(pod(1), pod(2), pod(3))
        world.discover(pod(1), pod(2))  # 3 goes while its timer runs
        await checks.reach(2)
        world.discover(pod(1))  # 2 goes while it is checked
        checks.open.set()
        await world.passed(4)

        assert {address: len(times) for address, times in checks.times.items()} == {pod(1): 4, pod(2): 1}

    in_virtual_time(story())


def test_a_pod_that_waits_for_the_budget_and_is_gone_is_not_checked() -> None:
    """A check that is due but may not begin yet goes with its pod."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_BUDGET="1")
        world.discover(*map(pod, range(10)))
        await asyncio.sleep(3.5)
        begun = set(checks.times)
        assert len(begun) < 10

        world.discover(*begun)
        await asyncio.sleep(60.0)

        assert set(checks.times) == begun

    in_virtual_time(story())


def test_a_pod_that_is_gone_and_back_is_checked_at_the_same_pace() -> None:
    """Leaving and returning while a check is under way does not double the checks."""

    async def story() -> None:
        checks = Checks()
        checks.open.clear()
        world = Checked(checks)
        world.discover(pod(1), pod(2))
        await checks.reach(2)
        world.discover(pod(2))
        world.discover(pod(1), pod(2))
        await checks.reach(3)  # the new one, while the old one still hangs
        checks.open.set()
        await checks.reach(30)

        later = checks.times[pod(1)][1:]
        assert min(after - before for before, after in pairwise(later)) >= 0.08
        assert len(later) >= 10

    in_virtual_time(story())


def test_a_crash_does_not_end_the_checks(caplog: pytest.LogCaptureFixture) -> None:
    """A check that crashes says nothing of the pod, is logged, and the next one takes place."""

    async def story() -> None:
        checks = Checks()
        checks.error = ZeroDivisionError("a bug")
        world = Checked(checks)
        world.discover(pod(1))
        await checks.reach(1)
        await world.passed(1)

        assert (world.results, world.state(pod(1))) == ({"passed": 1}, State.READY)
        assert "a bug" in caplog.text

    in_virtual_time(story())
