"""The demo's DNS server with a test writing its packets, asked over real sockets."""

import asyncio
import socket
from typing import Any

import dnslib
import pytest

from proxy.demo.dns import DnsServer, Transport
from tests.demo.test_dns import IPS, WEB, ask, ips, with_server


def test_a_script_writes_the_packet() -> None:
    """A test can send what no name server should: another id, another name, a packet cut short."""

    async def test(dns: DnsServer) -> None:
        def other_id(query: Any, transport: Transport) -> bytes:
            query.header.id ^= 1
            return dns.packet(query, transport)

        def other_name(query: Any, transport: Transport) -> Any:
            answer = dnslib.RR("bank.", rdata=dnslib.A("127.6.6.6"))
            return dnslib.DNSRecord(query.header, q=query.q, a=answer).pack()

        def cut_short(query: Any, transport: Transport) -> bytes:
            return dns.packet(query, transport)[:-1]

        dns.script = other_id
        question = dnslib.DNSRecord.question(WEB)
        answer = dnslib.DNSRecord.parse(await asyncio.to_thread(question.send, dns.ip, dns.port))
        assert (answer.header.id, sorted(ips(answer))) == (question.header.id ^ 1, IPS)

        dns.script = other_name
        assert str((await ask(dns)).a.rname) == "bank."

        dns.script = cut_short
        for tcp in (False, True):
            with pytest.raises(dnslib.DNSError):
                await ask(dns, tcp=tcp)

    with_server(test)


async def heard_over_tcp(dns: DnsServer) -> bytes:
    """All that comes for one question, the lengths included."""
    packet = dnslib.DNSRecord.question(WEB).pack()
    reader, writer = await asyncio.open_connection(dns.ip, dns.port)
    writer.write(len(packet).to_bytes(2) + packet)
    writer.write_eof()
    heard = await reader.read()
    writer.close()
    return heard


def test_a_script_may_say_more_or_less_or_nothing() -> None:
    """One packet or several for one query, or silence; it may differ by transport."""

    async def test(dns: DnsServer) -> None:
        scripted: dict[Transport, bytes | list[bytes]] = {"udp": [b"one", b"two"], "tcp": [b"three", b"four"]}
        dns.script = lambda query, transport: scripted[transport]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(2)
            client.sendto(dnslib.DNSRecord.question(WEB).pack(), (dns.ip, dns.port))
            assert [await asyncio.to_thread(client.recv, 512) for _ in range(2)] == [b"one", b"two"]
        assert await heard_over_tcp(dns) == b"\0\5three\0\4four"

        scripted = {"udp": [], "tcp": b"alone"}
        with pytest.raises(TimeoutError):
            await ask(dns, within_s=0.05)
        assert await heard_over_tcp(dns) == b"\0\5alone"

        assert dns.count() == 4

    with_server(test)


def test_a_script_may_leave_it_to_the_zone() -> None:
    """What the script has no packet for is answered as ever, in the mode that is set."""

    async def test(dns: DnsServer) -> None:
        dns.script = lambda query, transport: b"?" if query.q.qtype == dnslib.QTYPE.AAAA else None

        assert sorted(ips(await ask(dns))) == IPS
        with pytest.raises(dnslib.DNSError):
            await ask(dns, "AAAA")

        dns.mode = "refused"
        assert (await ask(dns)).header.rcode == dnslib.RCODE.REFUSED

    with_server(test)
