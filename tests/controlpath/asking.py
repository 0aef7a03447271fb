"""What the tests of DNS share: a resolver for test servers, servers that misbehave, what a process holds."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import dnslib

from proxy.clock import SystemClock
from proxy.controlpath.resolver import AresResolver
from proxy.demo.dns import DnsServer
from proxy.model import Address, Clock
from proxy.policy.resolv_conf import ResolvConf
from tests.support import FakeClock, eventually, run
from tests.support.virtual import LoopClock

WEB = "web.demo.svc.cluster.local."
IPS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
MANY = tuple(f"127.0.{number // 100}.{number % 100 + 1}" for number in range(200))  # no datagram holds them


def address(server: DnsServer | Address) -> Address:
    return Address(server.ip, server.port)


def resolver(
    *servers: DnsServer | Address, timeout_s: float = 2.0, clock: Clock | None = None, **conf: Any
) -> AresResolver:
    """Asks these servers; `conf` is what else resolv.conf says."""
    chosen = [address(server) for server in servers]
    return AresResolver(chosen, lambda: ResolvConf(**conf), timeout_s, clock or SystemClock())


class Servers:
    """Name servers that all know the same, and a fake clock. `counts` says who was asked how often."""

    def __init__(self, count: int) -> None:
        self.all = [
            DnsServer(f"127.0.0.{number + 1}", rng=Random(number), clock=LoopClock())
            for number in range(count)
        ]
        self.clock = FakeClock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Servers":
        for server in self.all:
            server.set(WEB, IPS)
            await self._stack.enter_async_context(server)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def counts(self) -> list[int]:
        """Queries since the last look."""
        counts = [server.count() for server in self.all]
        for server in self.all:
            server.queries.clear()
        return counts

    def resolver(self, timeout_s: float = 0.35, **conf: Any) -> AresResolver:
        return resolver(*self.all, timeout_s=timeout_s, clock=self.clock, **conf)


Runner = Callable[[Coroutine[Any, Any, None]], None]


def with_dns(
    test: Callable[[DnsServer], Awaitable[None]], ip: str = "127.0.0.1", *, by: Runner = run
) -> None:
    async def story() -> None:
        async with DnsServer(ip, rng=Random(7), clock=LoopClock()) as dns:
            dns.set(WEB, IPS)
            await test(dns)

    by(story())


@asynccontextmanager
async def scripted(reply: Callable[[Any, Any], bytes]) -> AsyncIterator[Address]:
    """A name server whose datagrams `reply(query, peer)` writes."""

    class Script(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.transport.sendto(reply(dnslib.DNSRecord.parse(data), addr), addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Script, local_addr=("127.0.0.1", 0))
    try:
        yield Address(*transport.get_extra_info("sockname"))
    finally:
        transport.abort()


@asynccontextmanager
async def over_tcp(
    talk: Callable[[bytes, asyncio.StreamWriter], Awaitable[None]], *ips: str, tc: bool = False
) -> AsyncIterator[Address]:
    """A name server that has `talk(reply, writer)` send its replies, of these ips, over TCP; no UDP."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            length = int.from_bytes(await reader.readexactly(2))
            query = dnslib.DNSRecord.parse(await reader.readexactly(length))
            packed = pack(answer_of(query, *(f"{WEB} 30 A {ip}" for ip in ips or IPS), tc=int(tc)))
            await talk(len(packed).to_bytes(2) + packed, writer)
        except (OSError, RuntimeError, asyncio.IncompleteReadError):
            pass  # the client has heard enough; uvloop calls writing to it a RuntimeError
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    try:
        yield Address(*server.sockets[0].getsockname())
    finally:
        server.close()
        await server.wait_closed()


def answer_of(query: Any, *records: str, **header: int) -> Any:
    """A reply to `query` with these records, as a zone file has them."""
    reply = query.reply()
    for name, value in header.items():
        setattr(reply.header, name, value)
    reply.add_answer(*(rr for record in records for rr in dnslib.RR.fromZone(record)))
    return reply


def pack(message: Any) -> bytes:
    packed: bytes = bytes(message.pack())
    return packed


def descriptors() -> list[str]:
    return os.listdir("/proc/self/fd")


async def received(dns: DnsServer, queries: int) -> None:
    async def enough() -> bool:
        return dns.count() >= queries

    await eventually(enough)


async def left(before: list[str]) -> None:
    """Wait until the process has the descriptors that it had before: the server too ends its connections."""

    async def as_before() -> bool:
        return descriptors() == before

    await eventually(as_before)


def threads() -> int:
    """All of them, c-ares' own too, which are unknown to Python; but not the workers that the loop keeps."""
    workers = [each for each in threading.enumerate() if each.name.startswith(("uvloop_", "asyncio_"))]
    return len(os.listdir("/proc/self/task")) - len(workers)
