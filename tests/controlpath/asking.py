"""What the tests of DNS share: a resolver for test servers, servers that misbehave, what a process holds."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import dnslib

from proxy.controlpath.resolver import AresResolver
from proxy.demo.dns import DnsServer
from proxy.model import Address
from tests.support import eventually, run

WEB = "web.demo.svc.cluster.local."
IPS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")


def resolver(*servers: DnsServer | Address, timeout_s: float = 2.0) -> AresResolver:
    return AresResolver([Address(server.ip, server.port) for server in servers], timeout_s)


def with_dns(test: Callable[[DnsServer], Awaitable[None]], ip: str = "127.0.0.1") -> None:
    async def story() -> None:
        async with DnsServer(ip, rng=Random(7)) as dns:
            dns.set(WEB, IPS)
            await test(dns)

    run(story())


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


def pack(message: Any) -> bytes:
    packed: bytes = message.pack()
    return packed


def descriptors() -> list[str]:
    return os.listdir("/proc/self/fd")


async def received(dns: DnsServer, queries: int) -> None:
    async def enough() -> bool:
        return dns.count() >= queries

    await eventually(enough)


def threads() -> int:
    """All of them: c-ares' own are unknown to Python."""
    return len(os.listdir("/proc/self/task"))
