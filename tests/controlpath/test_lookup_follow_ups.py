"""Targets of SRV records whose addresses did not come along: who is asked for, and when it fails."""

import asyncio

import pytest

from proxy.model import AnswerKind
from proxy.policy.records import Reply, Srv
from tests.controlpath.asking import IPS
from tests.controlpath.world import SRV_NAME, SRV_TARGET, World, with_world

WEB_0, WEB_1, WEB_2 = HOSTS = [f"web-{number}.web.demo.svc.cluster.local." for number in range(3)]


def publish(world: World, ips: dict[str, list[str]]) -> None:
    for host, addresses in ips.items():
        world.dns.set(host, addresses)
    world.dns.set_srv(SRV_NAME, [(host, 80) for host in ips])


def all_three(world: World) -> None:
    publish(world, {host: [ip] for host, ip in zip(HOSTS, IPS, strict=True)})


def test_only_targets_without_glue_are_asked_for() -> None:
    """Two of three addresses came along: the third is asked for, in the family that the others have."""

    async def test(world: World) -> None:
        all_three(world)
        world.dns.glue_at_most = 2
        await world.discovery.poll()

        assert world.ips == sorted(IPS)
        assert (world.dns.count("SRV"), world.dns.count("A"), world.dns.count("AAAA")) == (1, 1, 0)

    with_world(test, TARGET=SRV_TARGET)


@pytest.mark.parametrize("family,a,aaaa", [("auto", 3, 3), ("ipv4", 3, 0), ("ipv6", 0, 3)])
def test_without_any_glue_both_families_are_asked_for(family: str, a: int, aaaa: int) -> None:
    """When nothing tells which family the pods have, IP_FAMILY decides."""

    async def test(world: World) -> None:
        publish(
            world, {host: [ip, f"fd00::{n}"] for n, (host, ip) in enumerate(zip(HOSTS, IPS, strict=True))}
        )
        world.dns.glue = False
        await world.discovery.poll()

        assert (world.dns.count("A"), world.dns.count("AAAA")) == (a, aaaa)
        assert len(world.ips) == 3
        assert all((each.other is not None) == (family == "auto") for each in world.pool.members)

    with_world(test, TARGET=SRV_TARGET, IP_FAMILY=family)


def test_at_most_sixteen_at_once() -> None:
    """A hundred targets without glue do not fall upon the name server all at once."""

    class Counting:
        under_way = most = 0

        async def query(self, name: str, qtype: str) -> Reply:
            if qtype == "SRV":
                srvs = tuple(Srv(0, 1, 80, f"web-{number}.") for number in range(100))
                return Reply(AnswerKind.ENDPOINTS, srvs=srvs, ttl=30)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await asyncio.sleep(0)
            self.under_way -= 1
            number = int(name.partition(".")[0].removeprefix("web-"))
            return Reply(AnswerKind.ENDPOINTS, ips=(f"127.0.1.{number}",), ttl=30)

    async def test(world: World) -> None:
        world.resolver = counting = Counting()
        await world.discovery.poll()

        assert len(world.ips) == 100
        assert counting.most == 16

    with_world(test, TARGET=SRV_TARGET, IP_FAMILY="ipv4")


def test_a_target_that_comes_back_is_asked_for_again() -> None:
    """Who comes back has come back elsewhere: no address is kept from one poll to the next."""

    async def test(world: World) -> None:
        world.dns.glue = False
        all_three(world)
        await world.discovery.poll()
        publish(world, {WEB_0: [IPS[0]], WEB_1: [IPS[1]]})
        await world.discovery.poll()
        world.dns.queries.clear()
        publish(world, {WEB_0: [IPS[0]], WEB_1: [IPS[1]], WEB_2: ["127.0.0.99"]})
        await world.discovery.poll()

        assert world.ips == sorted([*IPS[:2], "127.0.0.99"])
        assert sorted(world.asked_for("A")) == HOSTS

    with_world(test, TARGET=SRV_TARGET, IP_FAMILY="ipv4")


def servfail_for(world: World, host: str) -> None:
    """The name server fails for this name only."""

    def script(query: object, transport: str) -> bytes | None:
        name = str(query.q.qname).lower()  # type: ignore[attr-defined]
        if name != host:
            return None
        reply = query.reply()  # type: ignore[attr-defined]
        reply.header.rcode = 2
        return bytes(reply.pack())

    world.dns.script = script


def test_a_follow_up_that_fails_keeps_its_endpoint() -> None:
    """One target cannot be resolved for now: its pod stays, the others come and go."""

    async def test(world: World) -> None:
        world.dns.glue, world.dns.ttl_s = False, 0
        publish(world, {WEB_0: [IPS[0]], WEB_1: [IPS[1]]})
        await world.discovery.poll()
        publish(world, {WEB_0: [IPS[0]], WEB_2: [IPS[2]]})
        servfail_for(world, WEB_0)
        await world.discovery.poll()

        assert world.ips == [IPS[0], IPS[2]]
        assert world.pool.membership.reason == "obeyed; 1 kept: the query for their name failed"

    with_world(test, TARGET=SRV_TARGET, IP_FAMILY="ipv4")


def test_one_family_of_a_target_failing_changes_nothing() -> None:
    """While the A query for a pod of both families fails, the pod stays the one that it was."""

    async def test(world: World) -> None:
        world.dns.glue, world.dns.ttl_s = False, 0
        publish(world, {WEB_0: [IPS[0], "fd00::11"]})
        await world.discovery.poll()
        (before,) = world.pool.members
        world.dns.mode_for["A"] = "servfail"
        await world.discovery.poll()

        assert list(world.pool.members) == [before]

    with_world(test, TARGET=SRV_TARGET)


@pytest.mark.parametrize("mode", ["nxdomain", "empty"])
def test_a_target_without_address_leaves(mode: str) -> None:
    """A target that does not exist, or has no address: its pod goes, the others stay."""

    async def test(world: World) -> None:
        world.dns.glue, world.dns.ttl_s = False, 0
        publish(world, {WEB_0: [IPS[0]], WEB_1: [IPS[1]]})
        await world.discovery.poll()
        world.dns.set(WEB_1, ["fd00::1"] if mode == "empty" else [])
        await world.discovery.poll()

        assert world.ips == [IPS[0]]

    with_world(test, TARGET=SRV_TARGET, IP_FAMILY="ipv4")


def test_no_target_has_an_address() -> None:
    """Targets that are all unknown to DNS are nobody: believed after the hold, like any empty answer."""

    async def test(world: World) -> None:
        world.dns.glue, world.dns.ttl_s = False, 0
        publish(world, {WEB_0: [IPS[0]]})
        await world.discovery.poll()
        world.dns.set(WEB_0, [])
        await world.discovery.poll()
        assert world.ips == [IPS[0]]

        world.clock.advance(30)
        await world.discovery.poll()
        assert world.ips == []

    with_world(test, TARGET=SRV_TARGET, IP_FAMILY="ipv4")


def test_all_follow_ups_fail() -> None:
    """When no target can be resolved, nothing was learned: for ever nobody leaves by that."""

    async def test(world: World) -> None:
        world.dns.glue, world.dns.ttl_s = False, 0
        all_three(world)
        await world.discovery.poll()
        world.dns.mode_for["A"] = "servfail"
        for _ in range(3):
            world.clock.advance(100)
            await world.discovery.poll()

        assert world.ips == sorted(IPS)

    with_world(test, TARGET=SRV_TARGET, IP_FAMILY="ipv4")


def test_every_query_is_counted() -> None:
    """The follow-up queries are in the metrics by result, like the first one."""

    async def test(world: World) -> None:
        world.dns.glue = False
        all_three(world)
        world.dns.set(WEB_2, [])
        await world.discovery.poll()

        assert world.results == {"ok": 3, "nxdomain": 1}  # SRV, two A; one name that does not exist

    with_world(test, TARGET=SRV_TARGET, IP_FAMILY="ipv4")
