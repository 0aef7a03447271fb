"""How the checks keep to their budget, and become rarer with the numbers of pods and of sidecars."""

import asyncio

import pytest

from proxy.errors import Refused
from proxy.policy.endpoint import State
from tests.controlpath.checking import PODS, Checked, Checks, gaps, pod
from tests.controlpath.virtual import in_virtual_time


def most_in_a_second(times: list[float]) -> int:
    return max(sum(begin <= each < begin + 1.0 for each in times) for begin in times)


# --- the budget ---------------------------------------------------------------------------------


@pytest.mark.parametrize("pods,want_s", [(40, 5.0), (100, 5.0), (400, 20.0), (1000, 50.0)])
def test_the_interval_grows_with_the_service(pods: int, want_s: float) -> None:
    """HEALTH_BUDGET checks a second at most, whatever second one takes; each pod still gets its turn."""

    async def story() -> None:
        checks = Checks()
        Checked(checks, HEALTH_INTERVAL="5s", HEALTH_BUDGET="20").discover(*map(pod, range(pods)))
        await asyncio.sleep(10 * want_s)

        every = [gap for times in checks.times.values() for gap in gaps(times)]
        mean = sum(every) / len(every)
        assert want_s * 0.95 <= mean <= want_s * 1.1
        assert len(checks.times) == pods
        assert max(max(gaps(times)) for times in checks.times.values()) <= 1.2 * want_s + 2.0
        seconds = [int(each) for each in checks.all_times]
        assert max(map(seconds.count, set(seconds))) <= 21

    in_virtual_time(story())


def test_suspects_keep_to_the_budget() -> None:
    """A hundred pods that fail at once do not get a hundred checks a second; all are found out."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_INTERVAL="5s", HEALTH_BUDGET="20")
        everyone = [pod(number) for number in range(100)]
        world.discover(*everyone)
        await asyncio.sleep(20.0)
        checks.ill = dict.fromkeys(everyone[:99], Refused())
        await asyncio.sleep(40.0)

        assert most_in_a_second(checks.all_times) <= 21
        assert [world.state(each) for each in everyone].count(State.UNHEALTHY) == 99

    in_virtual_time(story())


def test_a_service_that_shrinks_is_checked_at_once_at_its_new_pace() -> None:
    """Of a thousand pods ten are left: they do not wait for what a thousand had to wait."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_INTERVAL="5s", HEALTH_BUDGET="20")
        world.discover(*map(pod, range(1000)))
        await asyncio.sleep(100.0)
        world.discover(*PODS)
        shrunk = asyncio.get_running_loop().time()
        await asyncio.sleep(6.1)

        assert all(checks.times[each][-1] >= shrunk for each in PODS)

    in_virtual_time(story())


# --- the fleet ----------------------------------------------------------------------------------


def test_the_interval_grows_with_the_fleet() -> None:
    """Four hundred sidecars: each pod is checked by each every 200 s, so twice a second in all."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_INTERVAL="5s")
        world.discover(*PODS)
        await asyncio.sleep(20.0)
        before = checks.count
        world.prober.follow_fleet(400)
        grown = asyncio.get_running_loop().time()
        await asyncio.sleep(2000.0)

        assert 0.9 * 200 <= checks.count - before <= 1.1 * 200
        firsts = [next(each for each in checks.times[address] if each > grown) - grown for address in PODS]
        assert sum(first < 100.0 for first in firsts) in range(4, 17)  # anew, over all of the new interval

    in_virtual_time(story())


def test_a_large_fleet_still_finds_a_dead_pod() -> None:
    """A suspect is looked at as fast as ever, and one that is down for its return twice a minute."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_INTERVAL="5s")
        world.discover(*PODS)
        world.prober.follow_fleet(5000)
        await asyncio.sleep(10.0)
        checks.ill[pod(1)] = Refused()
        world.serve(pod(1), Refused())
        await asyncio.sleep(4.0)
        assert world.state(pod(1)) is State.UNHEALTHY

        checks.ill.clear()
        await asyncio.sleep(38.0)
        assert world.state(pod(1)) is State.READY

    in_virtual_time(story())


def test_a_subset_counts_for_what_it_is() -> None:
    """Sidecars that use a tenth of the pods each may check those ten times as often."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_INTERVAL="5s", SUBSET_SIZE="2")
        world.discover(*PODS)
        world.prober.follow_fleet(400)
        await asyncio.sleep(2000.0)

        assert len(checks.times) == 2  # the others are not ours to check
        assert 0.85 * 200 <= checks.count <= 1.15 * 200

    in_virtual_time(story())
