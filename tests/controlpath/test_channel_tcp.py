"""Answers over TCP: large ones, slow ones, cut ones, and what is left when nobody wants them any more."""

import asyncio
from typing import Any

import dnslib
import pytest

from proxy.demo.dns import DnsServer
from proxy.demo.ports import free_ports
from proxy.model import Address, AnswerKind
from tests.controlpath.asking import (
    IPS,
    MANY,
    WEB,
    answer_of,
    descriptors,
    left,
    over_tcp,
    pack,
    resolver,
    with_dns,
)
from tests.support import run

# --- when TCP is used ---------------------------------------------------------------------------


def test_two_hundred_pods_come_over_tcp() -> None:
    """An answer that does not fit a datagram is asked again over TCP, and complete."""

    async def test(dns: DnsServer) -> None:
        dns.set(WEB, MANY)
        reply = await resolver(dns).query(WEB, "A")

        assert sorted(reply.ips) == sorted(MANY)
        assert [query.transport for query in dns.queries] == ["udp", "tcp"]
        assert reply.exchange is not None
        assert (reply.exchange.transport, reply.truncated, reply.exchange.truncated) == ("tcp", False, False)

    with_dns(test)


def test_cut_off_even_over_tcp() -> None:
    """An answer beyond 64 kB says so: what it lists is used, and nobody leaves by it."""

    async def test(dns: DnsServer) -> None:
        def cut(query: Any, transport: str) -> bytes:
            reply = dnslib.DNSRecord.parse(dns.packet(query, "tcp"))
            reply.header.tc = 1
            return pack(reply)

        dns.script = cut
        reply = await resolver(dns).query(WEB, "A")

        assert (reply.kind, sorted(reply.ips), reply.truncated) == (AnswerKind.ENDPOINTS, sorted(IPS), True)
        assert reply.exchange is not None
        assert (reply.exchange.transport, reply.exchange.truncated) == ("tcp", True)

    with_dns(test)


def test_use_vc_asks_over_tcp_only() -> None:
    """With `options use-vc` not a single datagram is sent."""

    async def test(dns: DnsServer) -> None:
        reply = await resolver(dns, use_vc=True).query(WEB, "A")

        assert sorted(reply.ips) == sorted(IPS)
        assert [query.transport for query in dns.queries] == ["tcp"]
        assert reply.exchange is not None
        assert reply.exchange.transport == "tcp"

    with_dns(test)


@pytest.mark.parametrize("ip", ["127.0.0.53", "::1"])
def test_a_server_of_either_family(ip: str) -> None:
    """TCP works with a server of IPv6 as well."""

    async def test(dns: DnsServer) -> None:
        dns.set(WEB, MANY)
        reply = await resolver(dns).query(WEB, "A")

        assert sorted(reply.ips) == sorted(MANY)
        assert reply.exchange is not None
        assert reply.exchange.server == dns.address

    with_dns(test, ip)


def test_denied_over_tcp() -> None:
    """NXDOMAIN is NXDOMAIN over TCP, too."""

    async def test(dns: DnsServer) -> None:
        reply = await resolver(dns, use_vc=True).query("typo.", "A")

        assert (reply.kind, reply.result) == (AnswerKind.NXDOMAIN, "nxdomain")

    with_dns(test)


# --- servers that are bad at it -----------------------------------------------------------------


def test_one_byte_at_a_time() -> None:
    """A reply that comes in as many segments as it has bytes is a reply."""

    async def talk(reply: bytes, writer: asyncio.StreamWriter) -> None:
        for byte in reply:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.001)

    async def story() -> None:
        async with over_tcp(talk) as server:
            reply = await resolver(server, timeout_s=20.0, use_vc=True).query(WEB, "A")

            assert (reply.result, sorted(reply.ips), reply.truncated) == ("ok", sorted(IPS), False)

    run(story())


@pytest.mark.parametrize("pieces", [(1,), (2,), (3,), (5,), (6,), (1, 1, 1, 1, 1)])
def test_truncation_is_seen_however_the_reply_is_cut(pieces: tuple[int, ...]) -> None:
    """Whether TC is set is known although the header comes in several segments."""

    async def talk(reply: bytes, writer: asyncio.StreamWriter) -> None:
        for size in pieces:
            writer.write(reply[:size])
            reply = reply[size:]
            await asyncio.sleep(0.005)
        writer.write(reply)

    async def story() -> None:
        async with over_tcp(talk, tc=True) as server:
            reply = await resolver(server, use_vc=True).query(WEB, "A")

            assert (sorted(reply.ips), reply.truncated) == (sorted(IPS), True)

    run(story())


@pytest.mark.parametrize("sent", [0, 1, 2, 20, -1])
def test_a_connection_that_ends_half_way(sent: int) -> None:
    """A server that closes before its reply is complete has not answered; that is known at once."""
    before: list[str] = []

    async def talk(reply: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply[:sent])

    async def story() -> None:
        async with over_tcp(talk) as server:
            before.extend(descriptors())
            async with asyncio.timeout(5):
                reply = await resolver(server, timeout_s=20.0, use_vc=True).query(WEB, "A")

            assert (reply.kind, reply.ips) == (AnswerKind.FAILED, ())
            await left(before)

    run(story())


def test_no_tcp_at_all() -> None:
    """A server that says TC and refuses TCP (a firewall) has not answered."""

    async def test(dns: DnsServer) -> None:
        dns.set(WEB, MANY)
        assert dns._tcp is not None
        dns._tcp.close()
        reply = await resolver(dns).query(WEB, "A")

        assert (reply.kind, reply.result) == (AnswerKind.FAILED, "unreachable")

    with_dns(test)


def test_nobody_listens_with_tcp() -> None:
    """With use-vc a port without a server is known at once."""

    async def story() -> None:
        server = Address("127.0.0.1", free_ports(1)[0])
        async with asyncio.timeout(5):
            reply = await resolver(server, timeout_s=20.0, use_vc=True).query(WEB, "A")

        assert (reply.kind, reply.result) == (AnswerKind.FAILED, "unreachable")

    run(story())


@pytest.mark.parametrize(
    "record,other_id",
    [(f"{WEB} 30 A 127.0.0.9", True), ("bank. 30 A 127.0.0.9", False)],
    ids=["wrong id", "another name"],
)
def test_a_forged_reply_over_tcp_is_no_answer(record: str, other_id: bool) -> None:
    """A wrong id or records of another name give no address, over TCP as over UDP."""

    async def test(dns: DnsServer) -> None:
        def forge(query: Any, transport: str) -> bytes:
            query.header.id ^= other_id
            return pack(answer_of(query, record))

        dns.script = forge
        reply = await resolver(dns, timeout_s=0.1, use_vc=True).query(WEB, "A")

        assert (reply.kind, reply.ips) == (AnswerKind.FAILED, ())

    with_dns(test)
