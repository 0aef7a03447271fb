"""Gives Headway what keeps its Python busy: a thousand endpoints that change, and pages of metrics."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dnslib

from proxy.demo.cluster import SERVICE
from proxy.demo.dns import DnsServer, Transport
from proxy.demo.sidecar import Sidecar
from proxy.demo.zone import TCP_LIMIT, fit

ENDPOINTS = 1000
CHANGED = 250
ANSWERS = 8  # different ones, in turn
SCRAPE_EVERY_S = 0.5
TTL_S = 1
ENVIRONMENT = {"HEADWAY_DNS_INTERVAL": "1s", "HEADWAY_IP_FAMILY": "ipv4"}


class Crowd:
    """Answers of a thousand pods, packed beforehand, so that the name server's own work disturbs nobody."""

    def __init__(self) -> None:
        self._packets = [_packed(range(at, at + ENDPOINTS)) for at in range(0, ANSWERS * CHANGED, CHANGED)]
        self.answers = 0

    def script(self, query: Any, transport: Transport) -> bytes | None:
        if dnslib.QTYPE.get(query.q.qtype) != "A":
            return None
        if transport == "udp":
            cut = query.reply()
            cut.header.tc = 1
            return bytes(cut.pack())
        self.answers += 1
        packet = self._packets[self.answers % ANSWERS]
        return int(query.header.id).to_bytes(2) + packet[2:]


def _packed(pods: range) -> bytes:
    reply = dnslib.DNSRecord.question(f"{SERVICE}.", "A").reply()
    for pod in pods:
        address = dnslib.A(f"127.1.{pod >> 8}.{pod & 255}")
        reply.add_answer(dnslib.RR(f"{SERVICE}.", dnslib.QTYPE.A, rdata=address, ttl=TTL_S))
    return fit(reply, TCP_LIMIT)


@asynccontextmanager
async def crowded(dns: DnsServer) -> AsyncIterator[Crowd]:
    crowd = Crowd()
    dns.script = crowd.script
    try:
        yield crowd
    finally:
        dns.script = None


@asynccontextmanager
async def scraped(sidecar: Sidecar) -> AsyncIterator[list[float]]:
    """Reads /metrics again and again; what it took, in seconds, is in the list."""
    took: list[float] = []
    loop = asyncio.get_running_loop()

    async def scrape() -> None:
        while True:
            began = loop.time()
            await sidecar.counter("headway_build_info")
            took.append(loop.time() - began)
            await asyncio.sleep(SCRAPE_EVERY_S)

    scraping = asyncio.create_task(scrape())
    try:
        yield took
    finally:
        scraping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await scraping
