"""Serves DNS over UDP and TCP on one port of a loopback address, as well or as badly as it is told to.

async with DnsServer() as dns:
    dns.set("web.demo.svc.cluster.local", ["127.0.0.11", "127.0.0.12"])
    dns.mode = "servfail"           # every query
    dns.mode_for["AAAA"] = "drop"   # one query type; wins over `mode`
    dns.delay_s = 0.2               # before each reply; `delay_for` likewise
    assert dns.count("A") == 0      # queries received so far, in `dns.queries`
"""

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Any, Literal

import dnslib

from proxy.bind import family_of
from proxy.clock import SystemClock
from proxy.demo.zone import Mode, Zone, fit, key
from proxy.tasks import spawn

Transport = Literal["udp", "tcp"]


@dataclass(frozen=True)
class Query:
    """One question as it arrived; `at` is on the clock that never jumps."""

    name: str
    qtype: str
    transport: Transport
    at: float


class DnsServer:
    """A name server to be told what to say. Every query received is kept in `queries`."""

    def __init__(self, ip: str = "127.0.0.1", port: int = 0, rng: Random | None = None) -> None:
        self.ip = ip
        self.port = port
        self.mode: Mode = "answer"
        self.mode_for: dict[str, Mode] = {}
        self.delay_s = 0.0
        self.delay_for: dict[str, float] = {}
        self.queries: list[Query] = []
        self._zone = Zone(rng or Random())
        self._clock = SystemClock()
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[Any]] = set()

    @property
    def address(self) -> str:
        """`ip:port`, as HEADWAY_DNS_SERVERS wants it."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"

    def set(self, name: str, ips: Iterable[str]) -> None:
        """The ready pods behind a name; no ip means that the name does not exist, as in Kubernetes."""
        self._zone.set(name, ips)

    def set_srv(self, name: str, targets: Iterable[tuple[str, int]]) -> None:
        """The (host, port) pairs behind an SRV name; what `set` knows of a host goes along as glue."""
        self._zone.set_srv(name, targets)

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
        query, reply = await self._answer(packet, "udp")
        if reply is not None and self._udp is not None:
            self._udp.sendto(fit(reply, query), peer)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            while True:
                # RFC 1035 4.2.2: over TCP two bytes of length come first.
                length = int.from_bytes(await reader.readexactly(2))
                _, reply = await self._answer(await reader.readexactly(length), "tcp")
                if reply is not None:
                    packet = reply.pack()
                    writer.write(len(packet).to_bytes(2) + packet)
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has heard enough
        except asyncio.CancelledError:
            pass  # the server closes; asyncio's stream protocol logs a cancelled handler as a crash
        finally:
            self._conversations.discard(task)
            writer.close()

    async def _answer(self, packet: bytes, transport: Transport) -> tuple[Any, Any | None]:
        try:
            query = dnslib.DNSRecord.parse(packet)
        except dnslib.DNSError:
            return None, None  # not DNS: not our business
        qtype = str(dnslib.QTYPE.get(query.q.qtype))
        self.queries.append(Query(key(str(query.q.qname)), qtype, transport, self._clock.now()))
        mode = self.mode_for.get(qtype, self.mode)
        if delay := self.delay_for.get(qtype, self.delay_s):
            await self._clock.sleep(delay)
        return query, self._zone.reply(query, mode)


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
