"""Addresses of SRV targets: kept only while replies are cut off, and of the families that are asked for."""

from typing import Any

import dnslib
import pytest

from proxy.model import AnswerKind
from proxy.policy.records import Reply, Srv
from tests.controlpath.asking import IPS, pack
from tests.controlpath.world import SRV_NAME, SRV_TARGET, World, with_world

WEB_0, WEB_1, WEB_2 = HOSTS = [f"web-{number}.web.demo.svc.cluster.local." for number in range(3)]


def publish(world: World, truncated: bool) -> None:
    """Three pods without glue."""

    def cut(query: Any, transport: str) -> bytes:
        packet = world.dns.packet(query, "tcp")
        if query.q.qtype != dnslib.QTYPE.SRV:
            return packet
        reply = dnslib.DNSRecord.parse(packet)
        reply.header.tc = 1
        return pack(reply)

    for host, ip in zip(HOSTS, IPS, strict=True):
        world.dns.set(host, [ip])
    world.dns.set_srv(SRV_NAME, [(host, 80) for host in HOSTS])
    world.dns.glue = False
    world.dns.script = cut if truncated else None


async def asked_at(world: World) -> list[int]:
    """When follow-ups were asked, of polls every 5 s."""
    seconds = []
    for second in range(0, 41, 5):
        await world.discovery.poll()
        if world.dns.count("A"):
            seconds.append(second)
        assert world.ips == sorted(IPS)
        world.dns.queries.clear()
        world.clock.advance(5)
    return seconds


@pytest.mark.parametrize("ttl_s,kept_s", [(0, 0), (10, 10), (30, 30), (3600, 30)])
def test_kept_for_their_ttl_while_replies_are_cut_off(ttl_s: int, kept_s: int) -> None:
    """Another part comes along each time: what is known is asked again after its ttl, and after 30 s."""

    async def test(world: World) -> None:
        publish(world, truncated=True)
        world.dns.ttl_s = ttl_s

        assert await asked_at(world) == list(range(0, 41, max(5, kept_s)))

    with_world(test, TARGET=SRV_TARGET, IP_FAMILY="ipv4", timeout_s=2.0)


@pytest.mark.parametrize("ttl_s", [0, 10, 3600])
def test_whole_replies_have_their_targets_asked_with_every_poll(ttl_s: int) -> None:
    """Nothing is cut off: an address may be another's a moment later, whatever its ttl."""

    async def test(world: World) -> None:
        publish(world, truncated=False)
        world.dns.ttl_s = ttl_s

        assert await asked_at(world) == list(range(0, 41, 5))

    with_world(test, TARGET=SRV_TARGET, IP_FAMILY="ipv4", timeout_s=2.0)


def test_of_a_pod_that_fails_nothing_is_kept() -> None:
    """It may have come back elsewhere: its name is asked again at the next poll, the others are not."""

    async def test(world: World) -> None:
        publish(world, truncated=True)
        await world.discovery.poll()
        world.dns.queries.clear()
        (failing,) = (each for each in world.pool.members if each.address.ip == IPS[1])
        failing.alive = False
        assert failing.failing
        world.dns.set(WEB_1, ["127.0.0.99"])
        await world.discovery.poll()

        assert world.asked_for("A") == [WEB_1]
        assert "127.0.0.99" in world.ips

    with_world(test, TARGET=SRV_TARGET, IP_FAMILY="ipv4", timeout_s=2.0)


class Scripted:
    """One SRV record; what the queries for its target bring."""

    def __init__(self, glue: tuple[str, ...] = (), **replies: Reply) -> None:
        self.glue = {WEB_0.rstrip("."): glue} if glue else {}
        self.replies = replies
        self.asked: list[str] = []

    async def query(self, name: str, qtype: str) -> Reply:
        if qtype == "SRV":
            srv = Srv(0, 1, 80, WEB_0.rstrip("."))
            return Reply(AnswerKind.ENDPOINTS, srvs=(srv,), glue=self.glue, ttl=30)
        self.asked.append(qtype)
        return self.replies[qtype]


UNCONFIRMED = Reply(AnswerKind.FAILED, "unconfirmed")
V4 = Reply(AnswerKind.ENDPOINTS, ips=(IPS[0],), ttl=30)
V6 = Reply(AnswerKind.ENDPOINTS, ips=("fd00::11",), ttl=30)


@pytest.mark.parametrize("a,aaaa", [(V4, UNCONFIRMED), (UNCONFIRMED, V6)], ids=["v4", "v6"])
def test_a_no_of_the_second_server_beside_addresses(a: Reply, aaaa: Reply) -> None:
    """The first server is away, the second says "no AAAA": with an A record that is a pod."""

    async def test(world: World) -> None:
        world.resolver = Scripted(A=a, AAAA=aaaa)
        await world.discovery.poll()

        assert world.ips == list(a.ips + aaaa.ips)
        assert world.pool.membership.reason == "obeyed"

    with_world(test, TARGET=SRV_TARGET)


@pytest.mark.parametrize(
    "a,aaaa",
    [
        (V4, Reply(AnswerKind.FAILED, "servfail")),
        (V4, Reply(AnswerKind.FAILED, "timeout")),
        (UNCONFIRMED, UNCONFIRMED),
        (UNCONFIRMED, Reply(AnswerKind.EMPTY, "empty")),
    ],
)
def test_half_of_a_target_is_not_known(a: Reply, aaaa: Reply) -> None:
    """A family that failed may have an address; two doubtful no's prove nothing."""

    async def test(world: World) -> None:
        world.resolver = Scripted(A=a, AAAA=aaaa)
        await world.discovery.poll()

        assert (world.ips, world.pool.resolved) == ([], False)

    with_world(test, TARGET=SRV_TARGET)


@pytest.mark.parametrize(
    "family,glue,found", [("ipv4", ("fd00::1",), V4), ("ipv6", ("127.0.0.99",), V6)], ids=["ipv4", "ipv6"]
)
def test_glue_of_the_wrong_family_is_none(family: str, glue: tuple[str, ...], found: Reply) -> None:
    """With IP_FAMILY=ipv4 and AAAA glue only, the target is asked for its A records."""

    async def test(world: World) -> None:
        world.resolver = dns = Scripted(glue, A=V4, AAAA=V6)
        await world.discovery.poll()

        assert world.ips == list(found.ips)
        assert dns.asked == ["A" if family == "ipv4" else "AAAA"]

    with_world(test, TARGET=SRV_TARGET, IP_FAMILY=family)


def test_wrong_glue_and_a_failure_is_nothing_known() -> None:
    """The glue is of the other family and the follow-up fails: no pod by it, and none is gone either."""

    async def test(world: World) -> None:
        world.resolver = dns = Scripted(("fd00::1",), A=V4)
        await world.discovery.poll()
        dns.replies["A"] = Reply(AnswerKind.FAILED, "servfail")
        for _ in range(3):
            world.clock.advance(100)
            await world.discovery.poll()

        assert world.ips == [IPS[0]]

    with_world(test, TARGET=SRV_TARGET, IP_FAMILY="ipv4")
