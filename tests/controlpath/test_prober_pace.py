"""How often a pod is checked: seldom while its connections work, soon when they fail, never too often."""

import asyncio
from random import Random

import pytest

from proxy.errors import CheckFailed, OutOfDescriptors, Refused, ResetEarly
from proxy.model import Address
from proxy.policy.endpoint import State
from tests.controlpath.checking import PODS, Checked, Checks, gaps, pod
from tests.support.virtual import in_virtual_time


async def traffic(world: Checked, pods: list[Address], every_s: float, until: float) -> None:
    """Connections to all of `pods`, each of them every so often, on average."""
    rng = Random(7)
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        await asyncio.sleep(every_s / len(pods))
        world.serve(rng.choice(pods))


# --- passive first ------------------------------------------------------------------------------


async def checks_in_ten_minutes(every_s: float, **settings: str) -> tuple[int, int]:
    """How many checks there are, and how many are skipped, of 20 pods with such traffic."""
    checks = Checks()
    world = Checked(checks, **{"HEALTH_INTERVAL": "5s"} | settings)
    world.discover(*PODS)
    if every_s:
        await traffic(world, PODS, every_s, asyncio.get_running_loop().time() + 600.0)
    else:
        await asyncio.sleep(600.0)
    return checks.count, world.results["skipped"]


ASKING_MORE = [{"HEALTH_CHECK": "http"}, {"HEALTH_CHECK": "grpc"}, {"HEALTH_PORT": "81"}]
asking_more = pytest.mark.parametrize("settings", ASKING_MORE, ids=["http", "grpc", "other port"])


def test_steady_traffic_spares_the_checks() -> None:
    """With two connections a second to each pod, nine in ten checks and more do not take place."""
    idle, _ = in_virtual_time(checks_in_ten_minutes(0.0))
    busy, skipped = in_virtual_time(checks_in_ten_minutes(0.5))

    assert idle > 2300
    assert busy <= 0.1 * idle
    assert skipped <= 1.3 * idle  # one look in an interval, more or less: timers cost as well


@asking_more
def test_checks_that_ask_more_are_spared_every_second_time(settings: dict[str, str]) -> None:
    """Connections do not show what they would."""
    idle, _ = in_virtual_time(checks_in_ten_minutes(0.0, **settings))
    busy, skipped = in_virtual_time(checks_in_ten_minutes(0.5, **settings))

    assert 0.4 * idle <= busy <= 0.6 * idle
    assert skipped <= 1.3 * idle


@asking_more
def test_a_busy_pod_that_is_not_well(settings: dict[str, str]) -> None:
    """It accepts, and says that it is not well: it is out within three intervals, as with other proxies."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, **{"HEALTH_INTERVAL": "5s"} | settings)
        world.discover(*PODS)
        loop = asyncio.get_running_loop()
        for each in PODS:
            await traffic(world, PODS, 1.0, loop.time() + 20.0 + loop.time() % 7)
            checks.ill[each] = CheckFailed("HTTP 503")
            ill_from = loop.time()
            while world.state(each) is State.READY:
                await traffic(world, PODS, 1.0, loop.time() + 0.1)
            assert loop.time() - ill_from <= 15.0
            checks.ill.clear()
            await traffic(world, PODS, 1.0, loop.time() + 15.0)
            assert world.state(each) is State.READY

    in_virtual_time(story())


def test_without_passive_first_traffic_changes_nothing() -> None:
    """HEALTH_PASSIVE_FIRST=false: a busy pod is checked as often as an idle one."""
    idle, _ = in_virtual_time(checks_in_ten_minutes(0.0))
    busy, skipped = in_virtual_time(checks_in_ten_minutes(1.0, HEALTH_PASSIVE_FIRST="false"))

    assert busy > 0.95 * idle
    assert skipped == 0


def test_little_traffic_spares_little() -> None:
    """A pod with a connection a minute is checked when that is older than the interval."""
    idle, _ = in_virtual_time(checks_in_ten_minutes(0.0))
    seldom, _ = in_virtual_time(checks_in_ten_minutes(60.0))

    assert 0.85 * idle < seldom < idle


def test_silence_is_checked() -> None:
    """The first check comes when the last connection that worked is an interval old, a fifth more at most."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_INTERVAL="5s")
        world.discover(*PODS)
        loop = asyncio.get_running_loop()
        for _ in range(300):
            await asyncio.sleep(0.1)
            for each in PODS:
                world.serve(each)
        assert checks.count == 0

        silent_since = loop.time()
        await asyncio.sleep(6.1)

        assert all(5.0 <= checks.times[each][0] - silent_since <= 6.1 for each in PODS)

    in_virtual_time(story())


def test_traffic_does_not_spare_one_that_is_out() -> None:
    """Checks bring an unhealthy pod back, also while it serves as the last resort."""

    async def story() -> None:
        checks = Checks()
        checks.ill[pod(1)] = Refused()
        world = Checked(checks, HEALTH_INTERVAL="5s")
        world.discover(pod(1))
        await asyncio.sleep(20.0)
        assert world.state(pod(1)) is State.UNHEALTHY
        checks.ill.clear()
        await traffic(world, [pod(1)], 0.2, asyncio.get_running_loop().time() + 10.0)

        assert world.state(pod(1)) is State.READY

    in_virtual_time(story())


# --- suspects -----------------------------------------------------------------------------------


def test_a_failure_is_looked_into_fast() -> None:
    """After the first failed check the next ones come a fifth of the interval apart, until it is out."""

    async def story() -> None:
        checks = Checks()
        checks.ill[pod(1)] = Refused()
        world = Checked(checks, HEALTH_INTERVAL="5s", HEALTH_FALL="4")
        world.discover(pod(1), pod(2))
        await asyncio.sleep(60.0)

        falling, down = gaps(checks.times[pod(1)])[:3], gaps(checks.times[pod(1)])[3:]
        assert all(0.8 <= gap <= 1.2 for gap in falling)
        assert all(4.0 <= gap <= 6.0 for gap in down)  # nothing is gained by haste any more
        assert all(4.0 <= gap <= 6.0 for gap in gaps(checks.times[pod(2)]))

    in_virtual_time(story())


def test_a_recovery_is_confirmed_fast() -> None:
    """The check after the first passed one comes soon: HEALTH_RISE does not cost whole intervals."""

    async def story() -> None:
        checks = Checks()
        checks.ill[pod(1)] = Refused()
        world = Checked(checks, HEALTH_INTERVAL="5s", HEALTH_RISE="4")
        world.discover(pod(1))
        await asyncio.sleep(30.0)
        before = len(checks.times[pod(1)])
        checks.ill.clear()
        await world.until(pod(1), State.READY)

        rising = checks.times[pod(1)][before:]
        assert len(rising) == 4
        assert rising[-1] - rising[0] <= 3.6

    in_virtual_time(story())


def test_the_fast_pace_has_a_floor() -> None:
    """With a short interval a suspect is still not checked more than five times a second or so."""

    async def story() -> None:
        checks = Checks()
        checks.ill[pod(1)] = Refused()
        Checked(checks, HEALTH_INTERVAL="500ms", HEALTH_FALL="20").discover(pod(1))
        await asyncio.sleep(5.0)

        assert min(gaps(checks.times[pod(1)])[:19]) >= 0.16

    in_virtual_time(story())


def test_a_failed_connection_brings_a_check() -> None:
    """The pod whose connection failed is looked at within a fifth of the interval; a pass settles it."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_INTERVAL="1h", HEALTH_BUDGET="0")
        world.discover(*PODS)
        began = asyncio.get_running_loop().time()
        world.serve(pod(5), Refused())
        await asyncio.sleep(3600 / 5 + 1)
        (looked,) = checks.times[pod(5)]
        assert looked - began <= 3600 / 5
        await asyncio.sleep(0.7 * 3600)

        assert len(checks.times[pod(5)]) == 1

    in_virtual_time(story())


def test_many_failed_connections_bring_one_check() -> None:
    """A pod that fails a hundred connections a second is not checked that often, nor put off for ever."""

    async def story() -> None:
        checks = Checks()
        checks.ill[pod(1)] = Refused()
        world = Checked(checks, HEALTH_INTERVAL="5s", HEALTH_FALL="10")
        world.discover(*PODS)
        for _ in range(500):
            await asyncio.sleep(0.01)
            world.serve(pod(1), Refused())

        assert 4 <= len(checks.times[pod(1)]) <= 7

    in_virtual_time(story())


def test_one_that_fails_in_a_way_that_checks_do_not_see_is_no_suspect_for_long() -> None:
    """A pod that resets its connections passes the check; then it is checked like the others."""

    async def story() -> None:
        checks = Checks()
        world = Checked(checks, HEALTH_INTERVAL="5s", EJECT_AFTER="1")
        world.discover(*PODS)
        world.serve(pod(1), ResetEarly())
        await asyncio.sleep(60.0)

        assert world.state(pod(1)) in (State.EJECTED, State.PROBING)
        assert min(gaps(checks.times[pod(1)])) >= 4.0

    in_virtual_time(story())


# --- our own faults -----------------------------------------------------------------------------


def test_our_own_trouble_is_no_failure() -> None:
    """Without a descriptor left nothing is learned: no pod is out for it, none is hurried."""

    async def story() -> None:
        checks = Checks()
        checks.ill = dict.fromkeys(PODS, OutOfDescriptors())
        world = Checked(checks, HEALTH_INTERVAL="5s")
        world.discover(*PODS)
        await asyncio.sleep(60.0)

        assert all(world.state(each) is State.READY for each in PODS)
        assert set(world.results) == {"error"}
        assert min(min(gaps(times)) for times in checks.times.values()) >= 4.0

    in_virtual_time(story())
