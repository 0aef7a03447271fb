"""When discovery polls: at its interval, sooner in trouble, and again after a crash."""

import asyncio
from itertools import pairwise

import pytest

from proxy.policy.records import Reply
from proxy.tasks import keep_running, spawn
from tests.controlpath.asking import IPS, WEB, received
from tests.controlpath.world import World, with_world
from tests.support import eventually


@pytest.mark.slow
def test_polls_are_jittered() -> None:
    """DNS_INTERVAL passes between polls, give or take a fifth, never twice the same; TTLs do not matter."""

    async def test(world: World) -> None:
        polling = spawn(world.discovery.run(), name="discovery")
        await received(world.dns, 11)
        polling.cancel()

        gaps = [later.at - earlier.at for earlier, later in pairwise(world.dns.queries)]
        assert min(gaps) >= 0.078
        assert sorted(gaps)[len(gaps) // 2] < 0.2  # an answer takes a few ms
        assert max(gaps) - min(gaps) > 0.015

    with_world(test, timeout_s=2.0, DNS_INTERVAL="100ms", IP_FAMILY="ipv4")  # no second try within


@pytest.mark.parametrize("ttl_s", [30, 2**31 - 1])
def test_polls_do_not_wait_for_the_ttl(ttl_s: int) -> None:
    """A poll every second against a ttl of 30 s sends a packet for each family every second."""

    async def test(world: World) -> None:
        world.dns.ttl_s = ttl_s
        for second in range(5):
            await world.discovery.poll()
            assert (world.dns.count("A"), world.dns.count("AAAA")) == (second + 1, second + 1)
            world.clock.advance(1)

    with_world(test)


def test_a_new_pod_is_seen_within_an_interval() -> None:
    """However fresh the last answer and long its TTL, a new pod is known one interval later."""

    async def test(world: World) -> None:
        spawn(world.discovery.run(), name="discovery")
        await world.has(IPS)
        asked = world.dns.count("A")
        world.dns.set(WEB, [*IPS, "127.0.0.14"])
        await world.has([*IPS, "127.0.0.14"])

        assert world.dns.count("A") - asked <= 2  # one may be under way

    with_world(test, DNS_INTERVAL="100ms")


def test_trouble_polls_early_but_not_more_than_once_a_second() -> None:
    """A pod that fails a hundred times a second has DNS asked once a second, not a hundred times."""
    polls: list[float] = []

    async def test(world: World) -> None:
        class Noting:
            async def query(self, name: str, qtype: str) -> Reply:
                polls.append(world.clock.now())
                return await real.query(name, qtype)

        real, world.resolver = world.resolver, Noting()
        spawn(world.discovery.run(), name="discovery")
        await world.has(IPS)
        await asyncio.sleep(0.02)
        assert len(polls) == 1  # no trouble, no poll

        for _ in range(100):
            world.discovery.poll_soon()
            await asyncio.sleep(0.0005)

        assert len(polls) > 3
        assert polls == [1000.0 + number for number in range(len(polls))]

    with_world(test, DNS_INTERVAL="1h", IP_FAMILY="ipv4")


def test_a_connection_that_waits_has_dns_asked_soon() -> None:
    """When DNS was down at the start, who waits for a first endpoint does not wait for an interval."""

    async def test(world: World) -> None:
        world.dns.mode = "servfail"
        spawn(world.discovery.run(), name="discovery")
        await received(world.dns, 1)
        assert not world.pool.resolved
        world.dns.mode = "answer"

        world.pool.request_resolve()

        await world.has(IPS)

    with_world(test, DNS_INTERVAL="1h")


def test_dns_is_asked_again_while_connections_wait() -> None:
    """A pod that becomes ready a moment later serves those who wait, whatever the interval."""

    async def test(world: World) -> None:
        world.dns.mode = "nxdomain"
        world.pool.counters.waiting = 1
        spawn(world.discovery.run(), name="discovery")
        await received(world.dns, 6)
        world.dns.mode = "answer"

        await world.has(IPS)

    with_world(test, DNS_INTERVAL="1h")


def test_a_crash_does_not_end_discovery(caplog: pytest.LogCaptureFixture) -> None:
    """A poll that crashes is logged, and the next one works."""

    class Crashing:
        async def query(self, name: str, qtype: str) -> Reply:
            raise ZeroDivisionError("a bug")

    async def test(world: World) -> None:
        real, world.resolver = world.resolver, Crashing()
        spawn(keep_running(world.discovery.run, world.clock), name="discovery")

        async def crashed() -> bool:
            return "a bug" in caplog.text

        await eventually(crashed)
        world.resolver = real
        await world.has(IPS)

    with_world(test, DNS_INTERVAL="1h", IP_FAMILY="ipv4")
