"""Serves DNS over UDP and TCP on one port of a loopback address, as well or as badly as it is told to.

async with DnsServer() as dns:
    dns.set("web.demo.svc.cluster.local", ["127.0.0.11", "127.0.0.12"])
    dns.set_srv("_http._tcp.web.demo.svc.cluster.local", [("web-0.web.demo.svc.cluster.local", 8080)])
    dns.set_srv("_http._tcp.db", [("db-0.", 5432, 10, 60), ("db-1.", 5432, 20, 60)])  # priority, weight
    dns.set_cname("shop", "web.demo.svc.cluster.local")  # the reply has the chain and where it leads

    dns.ttl_s = 5                   # of every record, and of a "no"
    dns.glue = False                # an SRV reply without the addresses of its hosts,
    dns.glue_at_most = 3            # or with those of the first few only
    dns.serial = 2026               # in the zone's SOA
    dns.cache_s = 30.0              # answer like a cache: as when first asked, until its ttl has run down

    dns.mode = "servfail"           # every query, even one in the cache
    dns.mode_for["AAAA"] = "drop"   # one query type; wins over `mode`
    dns.delay_s = 0.2               # before each reply; `delay_for` likewise
    dns.script = lambda query, transport: b"?"  # the packet, or several; None: as if there was no script
    packet = dns.packet(query, transport)       # for a script to spoil: what the zone has to say

    assert dns.count("A") == 0      # queries received so far, in `dns.queries`
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Any, Literal

import dnslib

from proxy.bind import family_of
from proxy.clock import SystemClock
from proxy.demo.zone import TCP_LIMIT, Mode, Zone, fit, key, udp_limit
from proxy.model import Clock
from proxy.tasks import spawn

Transport = Literal["udp", "tcp"]
Script = Callable[[Any, Transport], bytes | Iterable[bytes] | None]


@dataclass(frozen=True)
class Query:
    """One question as it arrived; `at` is on the clock that never jumps."""

    name: str
    qtype: str
    transport: Transport
    at: float


class DnsServer(Zone):
    """A name server to be told what to say. Every query received is kept in `queries`."""

    def __init__(
        self, ip: str = "127.0.0.1", port: int = 0, rng: Random | None = None, clock: Clock | None = None
    ) -> None:
        super().__init__(rng or Random())
        self.ip = ip
        self.port = port
        self.mode: Mode = "answer"
        self.mode_for: dict[str, Mode] = {}
        self.delay_s = 0.0
        self.delay_for: dict[str, float] = {}
        self.script: Script | None = None
        self.queries: list[Query] = []
        self._clock = clock or SystemClock()
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[Any]] = set()

    @property
    def address(self) -> str:
        """`ip:port`, as HEADWAY_DNS_SERVERS wants it."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"

    def count(self, qtype: str | None = None, name: str | None = None) -> int:
        """How many queries came, of this type, for this name."""
        wanted = key(name) if name else None
        return sum(qtype in (None, q.qtype) and wanted in (None, q.name) for q in self.queries)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        udp, tcp = _bind(self.ip, self.port)
        self.port = udp.getsockname()[1]
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        self._tcp = await asyncio.start_server(self._converse, sock=tcp)

    async def close(self) -> None:
        if self._udp is not None:
            self._udp.abort()
        if self._tcp is not None:
            self._tcp.close()
        pending = list(self._conversations)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if self._tcp is not None:
            await self._tcp.wait_closed()

    async def __aenter__(self) -> "DnsServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def receive(self, packet: bytes, peer: Any) -> None:
        """Answer one datagram, now or after the delay."""
        task = spawn(self._answer_datagram(packet, peer), name="demo-dns-udp")
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)

    async def _answer_datagram(self, packet: bytes, peer: Any) -> None:
        for answer in await self._answers(packet, "udp"):
            if self._udp is not None:
                self._udp.sendto(answer, peer)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            while True:
                # RFC 1035 4.2.2: over TCP two bytes of length come first.
                length = int.from_bytes(await reader.readexactly(2))
                for answer in await self._answers(await reader.readexactly(length), "tcp"):
                    writer.write(len(answer).to_bytes(2) + answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has heard enough
        except asyncio.CancelledError:
            pass  # the server closes; asyncio's stream protocol logs a cancelled handler as a crash
        finally:
            self._conversations.discard(task)
            writer.close()

    async def _answers(self, packet: bytes, transport: Transport) -> list[bytes]:
        try:
            query = dnslib.DNSRecord.parse(packet)
        except dnslib.DNSError:
            return []  # not DNS: not our business
        qtype = str(dnslib.QTYPE.get(query.q.qtype))
        self.queries.append(Query(key(str(query.q.qname)), qtype, transport, self._clock.now()))
        mode = self.mode_for.get(qtype, self.mode)
        if delay := self.delay_for.get(qtype, self.delay_s):
            await self._clock.sleep(delay)
        written = self.script(query, transport) if self.script is not None else None
        if written is None:
            written = self.packet(query, transport, mode) or ()
        return [bytes(written)] if isinstance(written, bytes | bytearray) else list(written)

    def packet(self, query: Any, transport: Transport, mode: Mode = "answer") -> bytes:
        """What the zone has to say, whatever the script; nothing when the mode is to stay silent."""
        reply = self.reply(query, mode, self._clock.now())
        if reply is None:
            return b""
        return fit(reply, TCP_LIMIT if transport == "tcp" else udp_limit(query))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._server.receive(data, addr)


def _bind(ip: str, port: int) -> tuple[socket.socket, socket.socket]:
    family = family_of(ip)
    for _ in range(20):
        udp = socket.socket(family, socket.SOCK_DGRAM)
        tcp = socket.socket(family, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            udp.bind((ip, port))
            tcp.bind((ip, udp.getsockname()[1]))
            return udp, tcp
        except OSError:
            udp.close()
            tcp.close()
    raise OSError(f"no port of {ip} is free for UDP and TCP at once (asked for {port or 'any'})")
