"""What other proxies' tests put their DNS through, in our words: nginx' resolve and service, Envoy."""

import asyncio
from typing import Any

import pytest

from proxy.demo.dns import DnsServer
from proxy.errors import Refused
from proxy.tasks import spawn
from tests.controlpath.asking import (
    IPS,
    MANY,
    WEB,
    address,
    descriptors,
    left,
    resolver,
    with_dns,
)
from tests.controlpath.world import SRV_NAME, SRV_TARGET, World, with_world
from tests.support import virtual

A, B, C = IPS
V6 = "fd00::11"
WEB_0, WEB_1, WEB_2 = [f"web-{number}.web.demo.svc.cluster.local." for number in range(3)]


def served_by(world: World, connections: int = 300) -> dict[str, int]:
    """How many of new connections each pod gets; each of them ends before the next one."""
    counts: dict[str, int] = {}
    for _ in range(connections):
        with world.pool.lease([]) as lease:
            counts[lease.endpoint.address.ip] = counts.get(lease.endpoint.address.ip, 0) + 1
    return counts


# --- nginx-tests: stream_upstream_resolve.t -----------------------------------------------------


@pytest.mark.parametrize(
    "said,served",
    [
        ([A], [A]),
        ([B], [B]),
        ([A, B], [A, B]),
        ([A, V6], [A, V6]),
        ([V6], [V6]),
        ([], [A, C]),  # nobody: not believed yet
    ],
    ids=["same", "changed", "added", "both families", "the other family", "all removed"],
)
def test_connections_follow_what_dns_says(said: list[str], served: list[str]) -> None:
    """From the poll on that brings them, exactly the pods that DNS lists get connections."""

    async def test(world: World) -> None:
        world.dns.set(WEB, [A, C])
        await world.discovery.poll()
        world.dns.set(WEB, said)
        await world.discovery.poll()

        assert sorted(served_by(world)) == sorted(served)

    with_world(test, HEALTH_CHECK="off")


def test_removed_and_added_again() -> None:
    """All pods go for longer than the hold, and others come: connections are served again at once."""

    async def test(world: World) -> None:
        await world.discovery.poll()
        world.dns.set(WEB, [])
        await world.discovery.poll()
        world.clock.advance(30)
        await world.discovery.poll()
        assert world.ips == []

        world.dns.set(WEB, [A, V6])
        await world.discovery.poll()
        assert sorted(served_by(world)) == [A, V6]

    with_world(test)


def test_a_name_becomes_an_alias_and_back() -> None:
    """A CNAME, with a chain behind it, is followed to its addresses; so is a change of where it leads."""

    async def test(world: World) -> None:
        world.dns.set("blue.", [A])
        world.dns.set("green.", [B, V6])
        world.dns.set_cname("live.", "blue.")
        world.dns.set_cname(WEB, "live.")
        await world.discovery.poll()
        assert world.ips == [A]

        world.dns.set_cname("live.", "green.")
        await world.discovery.poll()
        assert world.ips == [B, V6]

        world.dns.set(WEB, [C])
        await world.discovery.poll()
        assert world.ips == [C]

    with_world(test)


@pytest.mark.parametrize("family", ["A", "AAAA"])
def test_servfail_keeps_who_is_known(family: str) -> None:
    """While one family fails its pods stay and serve, and the other family's change is followed."""

    async def test(world: World) -> None:
        world.dns.set(WEB, [A, V6])
        await world.discovery.poll()
        world.dns.set(WEB, [B, "fd00::12"])
        world.dns.mode_for[family] = "servfail"
        await world.discovery.poll()

        assert sorted(served_by(world)) == ([A, "fd00::12"] if family == "A" else [B, V6])

    with_world(test, HEALTH_CHECK="off")


# --- nginx-tests: stream_upstream_service.t -----------------------------------------------------


def three(world: World, *facts: tuple[str, int, int, int]) -> None:
    for host, ip in zip((WEB_0, WEB_1, WEB_2), IPS, strict=True):
        world.dns.set(host, [ip])
    world.dns.set_srv(SRV_NAME, facts)


def test_the_same_again_changes_nothing() -> None:
    """A poll that brings the same, in another order, makes no new endpoint, and nothing is told."""

    async def test(world: World) -> None:
        three(world, (WEB_0, 80, 1, 1), (WEB_1, 80, 1, 2), (WEB_2, 80, 2, 1))
        await world.discovery.poll()
        members, changes = world.pool.members, []
        world.pool.on_members_changed = lambda: changes.append(1)
        three(world, (WEB_2, 80, 2, 1), (WEB_1, 80, 1, 2), (WEB_0, 80, 1, 1))
        await world.discovery.poll()

        assert (world.pool.members, changes) == (members, [])

    with_world(test, TARGET=SRV_TARGET)


def test_weights_that_change_keep_the_endpoint() -> None:
    """New weights and priorities are used from the poll on, and the endpoint stays the one that it was."""

    async def test(world: World) -> None:
        three(world, (WEB_0, 80, 1, 10), (WEB_1, 80, 1, 30))
        await world.discovery.poll()
        members = world.pool.members
        three(world, (WEB_0, 80, 1, 30), (WEB_1, 80, 1, 10))
        await world.discovery.poll()

        assert world.pool.members == members
        assert {each.address.ip: each.weight for each in members} == {A: 1.5, B: 0.5}

    with_world(test, TARGET=SRV_TARGET)


def test_the_backup_serves_when_the_primary_fails() -> None:
    """A higher priority number gets nothing while a lower one is usable, and everything when none is."""

    async def test(world: World) -> None:
        three(world, (WEB_0, 80, 1, 1), (WEB_1, 80, 2, 1), (WEB_2, 80, 3, 1))
        await world.discovery.poll()
        assert set(served_by(world)) == {A}

        for _ in range(3):
            with world.pool.lease([]) as lease:
                lease.failed(Refused())
        assert set(served_by(world)) == {B}

        three(world, (WEB_0, 80, 1, 1), (WEB_2, 80, 3, 1))
        await world.discovery.poll()
        assert set(served_by(world)) == {C}

    with_world(test, TARGET=SRV_TARGET, EJECT_AFTER="3", EJECT_SHARE="100%")


@pytest.mark.parametrize("mode", ["nxdomain", "servfail"])
def test_one_of_several_targets_does_not_resolve(mode: str) -> None:
    """A target that nobody knows, or whose query fails, costs the others nothing from the very first poll."""

    async def test(world: World) -> None:
        three(world, (WEB_0, 80, 1, 1), (WEB_1, 80, 1, 1), (WEB_2, 80, 1, 1))
        world.dns.set(WEB_1, [])

        def script(query: Any, transport: str) -> bytes | None:
            if mode == "servfail" and str(query.q.qname) == WEB_1:
                reply = query.reply()
                reply.header.rcode = 2
                return bytes(reply.pack())
            return None

        world.dns.script = script
        await world.discovery.poll()

        assert world.ips == [A, C]
        assert set(served_by(world)) == {A, C}

    with_world(test, TARGET=SRV_TARGET)


# --- Envoy: dns_impl_test.cc, and what it had reported ------------------------------------------


def test_a_name_server_that_is_restarted() -> None:
    """A server that is gone and comes back at its address is asked and heard again (envoy#4543)."""

    async def test(dns: DnsServer) -> None:
        asking = resolver(dns, timeout_s=0.2)
        assert (await asking.query(WEB, "A")).result == "ok"
        ip, port = address(dns)
        await dns.close()
        assert (await asking.query(WEB, "A")).result == "unreachable"

        async with DnsServer(ip, port) as again:
            again.set(WEB, [C])
            assert (await asking.query(WEB, "A")).ips == (C,)

    with_dns(test)


@pytest.mark.slow
def test_five_hundred_questions_at_once() -> None:
    """Each gets the reply to its own question, over UDP and TCP mixed (query ids may repeat: envoy#46877)."""

    async def test(dns: DnsServer) -> None:
        for number in range(100):
            dns.set(f"web-{number}.", [f"127.1.0.{number}"])
        dns.set("large.", MANY)
        asking = resolver(dns, timeout_s=20.0)
        before = descriptors()
        names = [f"web-{number}." for number in range(100)] + ["large."]
        replies = await asyncio.gather(*(asking.query(name, "A") for name in names * 5))

        for name, reply in zip(names * 5, replies, strict=True):
            wanted = MANY if name == "large." else [f"127.1.0.{name[4:-1]}"]
            assert sorted(reply.ips) == sorted(wanted)
        await left(before)

    with_dns(test)


def test_given_up_while_it_waits() -> None:
    """A query cancelled while a server is silent leaves nothing, and no other query is disturbed."""

    async def test(dns: DnsServer) -> None:
        asking = resolver(dns)
        await asking.query(WEB, "A")
        before = descriptors()
        dns.mode_for["AAAA"] = "drop"
        waiting = [spawn(asking.query(WEB, "AAAA"), name="query") for _ in range(5)]
        good = await asking.query(WEB, "A")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

        assert sorted(good.ips) == sorted(IPS)
        assert descriptors() == before

    with_dns(test)


def test_a_failing_server_never_empties_the_pool() -> None:
    """REFUSED, SERVFAIL, silence, garbage, and a server that is gone: the pods serve on (envoy#30653)."""

    async def test(world: World) -> None:
        await world.discovery.poll()
        for mode in ("refused", "servfail", "drop"):
            world.dns.mode = mode
            await world.discovery.poll()
            world.clock.advance(3600)
        world.dns.script = lambda *_: b"?"
        await world.discovery.poll()
        await world.dns.close()
        await world.discovery.poll()

        assert sorted(served_by(world)) == sorted(IPS)

    with_world(test, by=virtual.with_sockets, timeout_s=0.06, HEALTH_CHECK="off")
