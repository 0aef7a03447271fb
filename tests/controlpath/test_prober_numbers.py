"""How the checks keep to their budget, and become rarer with the numbers of pods and of sidecars."""

import asyncio

import pytest

from proxy.errors import Refused
from proxy.policy.endpoint import State
from tests.controlpath.checking import PODS, Checked, Checks, gaps, pod
from tests.support.virtual import in_virtual_time


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


def test_a_newcomer_comes_first() -> None:
    """Six hundred pods are suspected at once; a pod that joins then is checked as soon as on any day."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_INTERVAL="5s", HEALTH_BUDGET="20")
        everyone = [pod(number) for number in range(700)]
        world.discover(*everyone)
        await asyncio.sleep(40.0)
        checks.ill = dict.fromkeys(everyone[:600], Refused())
        for each in everyone[:600]:
            world.serve(each, Refused())
        await asyncio.sleep(2.0)
        world.discover(*everyone, pod(900))
        await asyncio.sleep(0.7)

        assert world.state(pod(900)) is State.READY

    in_virtual_time(story())


def test_suspects_come_before_those_that_are_well() -> None:
    """Ten of a thousand pods fail connections: they are not found out after all others."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_INTERVAL="5s", HEALTH_BUDGET="20", EJECT_AFTER="0")
        everyone = [pod(number) for number in range(1000)]
        world.discover(*everyone)
        await asyncio.sleep(100.0)
        checks.ill = dict.fromkeys(everyone[:10], Refused())
        for each in everyone[:10]:
            world.serve(each, Refused())
        await asyncio.sleep(7.0)

        assert [world.state(each) for each in everyone[:10]] == [State.UNHEALTHY] * 10

    in_virtual_time(story())


def test_those_that_are_well_get_their_turn() -> None:
    """Hundreds that are down for good take the budget, but not all of it."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_INTERVAL="5s", HEALTH_BUDGET="20")
        everyone = [pod(number) for number in range(1000)]
        checks.ill = dict.fromkeys(everyone[:900], Refused())
        world.discover(*everyone)
        await asyncio.sleep(900.0)

        last = [max(checks.times[each]) for each in everyone[900:]]
        assert asyncio.get_running_loop().time() - min(last) <= 180.0

    in_virtual_time(story())


def test_who_is_gone_gives_its_turn_back() -> None:
    """Five hundred newcomers wait for the budget, and leave DNS: nobody waits for them any more."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_INTERVAL="5s", HEALTH_BUDGET="20")
        world.discover(*PODS)
        await asyncio.sleep(10.0)
        world.discover(*PODS, *map(pod, range(100, 600)))
        await asyncio.sleep(1.0)
        world.discover(*PODS)
        gone = asyncio.get_running_loop().time()
        await asyncio.sleep(6.2)

        assert all(checks.times[each][-1] >= gone for each in PODS)

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
