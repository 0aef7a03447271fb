"""What the demo's DNS server does with replies that are too large for their transport: what CoreDNS does."""

from typing import Any

import dnslib
import pytest

from proxy.demo.dns import DnsServer
from tests.demo.test_dns import WEB, ask, ips, with_server

HTTP = f"_http._tcp.{WEB}"


def serve(dns: DnsServer, pods: int) -> dict[str, list[str]]:
    """A Service with this many pods; the addresses of each of them, by name."""
    addresses = {
        f"web-{number}.{WEB}.": [f"127.1.{number >> 8}.{number & 255}", f"fd00::{number:x}"]
        for number in range(1, pods + 1)
    }
    for name, both in addresses.items():
        dns.set(name, both[:1])
    dns.set_srv(HTTP, [(name, 8080) for name in addresses])
    return addresses


def glue(reply: Any) -> list[tuple[str, str]]:
    return [(str(record.rname), str(record.rdata)) for record in reply.ar if record.rtype != dnslib.QTYPE.OPT]


def targets(reply: Any) -> list[str]:
    return [str(record.rdata.target) for record in reply.rr]


@pytest.mark.parametrize("edns,most_bytes,complete", [(0, 512, False), (600, 600, False), (1232, 1232, True)])
def test_large_answers_are_truncated_over_udp_only(edns: int, most_bytes: int, complete: bool) -> None:
    """Forty pods do not fit a plain datagram: the client is told so, and TCP gives all of them."""

    async def test(dns: DnsServer) -> None:
        many = [f"127.0.1.{number}" for number in range(40)]
        dns.set(WEB, many)
        reply = await ask(dns, edns=edns)

        assert reply.header.tc == (0 if complete else 1)
        assert len(reply.pack()) <= most_bytes
        assert most_bytes - 40 < len(reply.pack()) or complete  # what fits is sent
        assert set(ips(reply)) <= set(many)
        assert sorted(ips(await ask(dns, tcp=True))) == sorted(many)

    with_server(test)


@pytest.mark.parametrize("edns,answers,additional,tc", [(0, 8, 0, 1), (620, 9, 3, 1), (1232, 9, 9, 0)])
def test_glue_goes_first(edns: int, answers: int, additional: int, tc: int) -> None:
    """An SRV reply loses the addresses of its pods before it loses pods; either way the client is told."""

    async def test(dns: DnsServer) -> None:
        addresses = serve(dns, 9)
        reply = await ask(dns, "SRV", HTTP, edns=edns)

        assert (len(reply.rr), len(glue(reply)), reply.header.tc) == (answers, additional, tc)
        assert len(reply.pack()) <= max(edns, 512)
        assert targets(reply) == list(addresses)[:answers]
        assert all(ip in addresses[name] for name, ip in glue(reply))
        assert [record.rtype for record in reply.ar].count(dnslib.QTYPE.OPT) == (1 if edns else 0)
        assert not edns or reply.ar[-1].rtype == dnslib.QTYPE.OPT

    with_server(test)


def test_tcp_ends_at_64_kb() -> None:
    """A thousand pods and their addresses are too much even for TCP, which says so as CoreDNS does."""

    async def test(dns: DnsServer) -> None:
        addresses = serve(dns, 1000)
        reply = await ask(dns, "SRV", HTTP, tcp=True)

        assert (targets(reply), reply.header.tc) == (list(addresses), 1)
        assert 65_000 < len(reply.pack()) <= 65_535
        assert 0 < len(glue(reply)) < 1000

    with_server(test)


def test_names_far_into_a_reply_stay_right() -> None:
    """Each address keeps its name, also where the name has stood too far from the start to point to it."""

    async def test(dns: DnsServer) -> None:
        addresses = serve(dns, 500)
        for name, both in addresses.items():
            dns.set(name, both)
        reply = await ask(dns, "SRV", HTTP, tcp=True)

        assert reply.header.tc == 0
        assert sorted(glue(reply)) == sorted((name, ip) for name, both in addresses.items() for ip in both)

    with_server(test)
