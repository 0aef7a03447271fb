"""Replies over TCP whose length comes in a segment of its own, and those without EDNS or without records."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import dnslib
import pytest

from proxy.demo.dns import DnsServer
from proxy.model import Address, AnswerKind
from tests.controlpath.asking import IPS, WEB, answer_of, over_tcp, pack, resolver, with_dns
from tests.support import run

RECORDS = [f"{WEB} 30 A {ip}" for ip in IPS]
RUNS = 60


@pytest.mark.parametrize("delay_s", [0, 50e-6, 500e-6])
@pytest.mark.parametrize("tc", [False, True])
def test_the_length_in_a_segment_of_its_own(delay_s: float, tc: bool) -> None:
    """Whenever the rest comes: the reply is read, and whether it is cut off is known each time."""

    async def talk(reply: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply[:2])
        await asyncio.sleep(delay_s)
        writer.write(reply[2:])

    async def story() -> None:
        async with over_tcp(talk, tc=tc) as server:
            for _ in range(RUNS):
                reply = await resolver(server, timeout_s=5.0, use_vc=True).query(WEB, "A")

                assert (reply.result, sorted(reply.ips), reply.truncated) == ("ok", sorted(IPS), tc)

    run(story(), within_s=30.0)


@asynccontextmanager
async def in_pieces(
    reply_to: Callable[[Any], bytes], delay_s: float, connections: list[int]
) -> AsyncIterator[Address]:
    """A server for TCP that sends each length by itself; `connections`: the queries of each."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(connections)
        connections.append(0)
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2))
                query = dnslib.DNSRecord.parse(await reader.readexactly(length))
                connections[number] += 1
                packed = reply_to(query)
                writer.write(len(packed).to_bytes(2))
                await asyncio.sleep(delay_s)
                writer.write(packed)
        except (OSError, RuntimeError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    try:
        yield Address(*server.sockets[0].getsockname())
    finally:
        server.close()
        await server.wait_closed()


def without_edns(tc: int = 0) -> Callable[[Any], bytes]:
    """An old server: FORMERR to whoever sends an OPT record."""

    def reply_to(query: Any) -> bytes:
        if any(rr.rtype == dnslib.QTYPE.OPT for rr in query.ar):
            return pack(answer_of(query, rcode=1))
        return pack(answer_of(query, *RECORDS, tc=tc))

    return reply_to


@pytest.mark.parametrize("delay_s", [0, 50e-6, 500e-6])
@pytest.mark.parametrize("tc", [0, 1])
def test_asked_again_without_edns_on_the_same_connection(delay_s: float, tc: int) -> None:
    """FORMERR over TCP: the second reply is read like the first, its head too."""

    async def story() -> None:
        connections: list[int] = []
        async with in_pieces(without_edns(tc), delay_s, connections) as server:
            for _ in range(RUNS):
                reply = await resolver(server, timeout_s=5.0, use_vc=True).query(WEB, "A")

                assert (reply.result, sorted(reply.ips), reply.truncated) == ("ok", sorted(IPS), bool(tc))
        assert connections == [2] * RUNS

    run(story(), within_s=30.0)


@pytest.mark.parametrize("use_vc", [True, False])
@pytest.mark.parametrize("qtype", ["A", "AAAA", "SRV"])
def test_cut_off_before_the_first_record(use_vc: bool, qtype: str) -> None:
    """TC over TCP and no record at all: that is not "no pods", for what was cut off may be all."""

    async def test(dns: DnsServer) -> None:
        dns.script = lambda query, transport: pack(answer_of(query, tc=1))
        reply = await resolver(dns, use_vc=use_vc).query(WEB, qtype)

        assert (reply.kind, reply.result, reply.truncated) == (AnswerKind.FAILED, "truncated", True)
        assert reply.exchange is not None
        assert (reply.exchange.transport, reply.exchange.truncated) == ("tcp", True)

    with_dns(test)
