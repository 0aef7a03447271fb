"""How many sidecars there are, as DNS says: asked seldom, and kept when DNS does not know."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import pairwise
from random import Random

import pytest

from proxy.controlpath.fleet import UNTIL_KNOWN, Fleet
from proxy.demo.dns import DnsServer
from proxy.model import AnswerKind
from proxy.policy.records import Reply
from proxy.policy.resolv_conf import ResolvConf
from tests.controlpath.asking import resolver
from tests.support import FakeClock, run
from tests.support.virtual import LoopClock, in_virtual_time

SIDECARS = "sidecars.demo.svc.cluster.local."
SEARCH = ResolvConf(domains=("demo.svc.cluster.local", "svc.cluster.local"), ndots=5)


def ips(count: int) -> list[str]:
    return [f"10.0.0.{number + 1}" for number in range(count)]


def v6(count: int) -> list[str]:
    return [f"fd00::{number + 1}" for number in range(count)]


class World:
    """A name server and a fleet that asks it; `heard` are the numbers told."""

    def __init__(self, dns: DnsServer, host: str) -> None:
        self.dns = dns
        self.heard: list[int] = []
        self.fleet = Fleet(host, resolver(dns), lambda: SEARCH, self.heard.append, FakeClock(), Random(7))

    def asked(self) -> list[str]:
        names = [query.name for query in self.dns.queries]
        self.dns.queries.clear()
        return sorted(names)


def with_fleet(test: Callable[[World], Awaitable[None]], host: str = "sidecars") -> None:
    async def story() -> None:
        async with DnsServer(rng=Random(7)) as dns:
            await test(World(dns, host))

    run(story())


@pytest.mark.parametrize("host", ["sidecars", "sidecars.demo", SIDECARS])
def test_the_number_follows_dns(host: str) -> None:
    """However FLEET is written, like TARGET; only a change is told."""

    async def test(world: World) -> None:
        for count in (3, 3, 5, 200, 1):
            world.dns.set(SIDECARS, ips(count))
            await world.fleet.ask()

        assert world.heard == [3, 5, 200, 1]
        assert world.fleet.size == 1

    with_fleet(test, host)


def test_a_pod_of_both_families_is_one_pod() -> None:
    """In a dual-stack cluster each sidecar has two addresses."""

    async def test(world: World) -> None:
        world.dns.set(SIDECARS, [*ips(4), *v6(4)])
        await world.fleet.ask()
        world.dns.set(SIDECARS, v6(6))
        await world.fleet.ask()

        assert world.heard == [4, 6]

    with_fleet(test)


def test_the_last_number_stays_while_dns_fails(caplog: pytest.LogCaptureFixture) -> None:
    """SERVFAIL or no such name says nothing of the fleet; the log does, once a minute."""

    async def test(world: World) -> None:
        world.dns.set(SIDECARS, ips(3))
        await world.fleet.ask()
        world.dns.set(SIDECARS, [])
        for _ in range(3):
            await world.fleet.ask()

        assert (world.heard, world.fleet.size) == ([3], 3)

    with caplog.at_level(logging.WARNING):
        with_fleet(test)
    (said,) = [each.message for each in caplog.records if each.name == "headway.fleet"]
    assert said == "FLEET: no address for sidecars (nxdomain): the last number, 3, stays"


def test_a_wrong_name_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A FLEET that nobody knows changes nothing, and says so."""

    async def test(world: World) -> None:
        await world.fleet.ask()
        assert (world.heard, world.fleet.size) == ([], 0)

    with_fleet(test, "sidecar")
    assert "FLEET: no address for sidecar (nxdomain): checks come at their usual pace" in caplog.text


def test_the_name_that_worked_is_asked_first() -> None:
    """The search list costs its queries once, not every minute."""

    async def test(world: World) -> None:
        world.dns.set("sidecars.svc.cluster.local.", ips(2))
        await world.fleet.ask()
        assert len(world.asked()) == 4
        await world.fleet.ask()

        assert world.asked() == ["sidecars.svc.cluster.local."] * 2

    with_fleet(test)


class Known:
    """DNS that lists so many sidecars at first, and `grown_to` after a second; when it was asked."""

    def __init__(self, first: int, grown_to: int) -> None:
        self.began = asyncio.get_running_loop().time()
        self.asked: list[float] = []
        self._first, self._grown_to = first, grown_to

    async def query(self, name: str, qtype: str) -> Reply:
        moment = asyncio.get_running_loop().time() - self.began
        if qtype == "A":
            self.asked.append(moment)
        size = self._first if moment <= 1.0 else self._grown_to
        return Reply(AnswerKind.ENDPOINTS, ips=tuple(ips(size))) if size else Reply(AnswerKind.NXDOMAIN)


async def an_hour(known: Known, heard: list[int]) -> None:
    fleet = Fleet(SIDECARS, known, lambda: SEARCH, heard.append, LoopClock(), Random(7))
    running = asyncio.create_task(fleet.run())
    await asyncio.sleep(3600.0)
    running.cancel()


def test_it_is_asked_once_a_minute() -> None:
    """Some times after the start, then once a minute give or take a fifth: no two sidecars in step."""

    async def story() -> list[float]:
        known = Known(1, 1)
        await an_hour(known, [])
        return known.asked

    asked = in_virtual_time(story())
    assert asked[0] <= 1.0
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert 1.6 <= gaps[0] <= 2.4 and 3.2 <= gaps[1] <= 4.8
    assert 48.0 <= min(gaps[5:]) < 52.0 and 68.0 < max(gaps[5:]) <= 72.0


def test_a_fleet_that_starts() -> None:
    """It is taken for a large one until DNS knows; those that are listed a moment later are found soon."""

    async def story() -> tuple[list[float], list[int]]:
        known, heard = Known(2, 20), [0]
        await an_hour(known, heard)
        return known.asked, heard

    asked, heard = in_virtual_time(story())
    assert heard == [0, UNTIL_KNOWN, 2, 20]
    assert sum(moment <= 10.0 for moment in asked) >= 3


def test_a_fleet_that_nobody_knows() -> None:
    """A wrong name makes the checks no rarer than they would be without it."""

    async def story() -> list[int]:
        heard: list[int] = []
        await an_hour(Known(0, 0), heard)
        return heard

    assert in_virtual_time(story()) == [UNTIL_KNOWN, 0]
