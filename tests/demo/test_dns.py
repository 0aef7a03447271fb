"""The demo's DNS server, asked with real packets: what a resolver in a pod would hear."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import dnslib
import pytest

from proxy.demo.dns import DnsServer
from proxy.demo.zone import Mode

WEB = "web.demo.svc.cluster.local"
IPS = ["127.0.0.11", "127.0.0.12", "127.0.0.13"]


def with_server(test: Callable[[DnsServer], Awaitable[None]], ip: str = "127.0.0.1") -> None:
    async def run() -> None:
        async with DnsServer(ip, rng=Random(7)) as dns:
            dns.set(WEB, IPS)
            await test(dns)

    asyncio.run(run())


async def ask(
    dns: DnsServer,
    qtype: str = "A",
    name: str = WEB,
    *,
    tcp: bool = False,
    edns: int = 0,
    within_s: float = 2.0,
) -> Any:
    """The reply, parsed; raises TimeoutError when none comes."""
    question = dnslib.DNSRecord.question(name, qtype)
    if edns:
        question.add_ar(dnslib.EDNS0(udp_len=edns))
    packet = await asyncio.to_thread(question.send, dns.ip, dns.port, tcp, within_s, ":" in dns.ip)
    return dnslib.DNSRecord.parse(packet)


def ips(reply: Any) -> list[str]:
    return [str(record.rdata) for record in reply.rr]


def minimum(reply: Any) -> int:
    """The last number of the SOA: how long a "no" may be cached."""
    (soa,) = reply.auth
    return int(soa.rdata.times[-1])


@pytest.mark.parametrize("tcp", [False, True])
def test_each_ready_pod_is_an_address(tcp: bool) -> None:
    """A lookup of the Service gives every ready pod, with CoreDNS' ttl and flags."""

    async def test(dns: DnsServer) -> None:
        reply = await ask(dns, tcp=tcp)

        assert sorted(ips(reply)) == IPS
        assert {record.ttl for record in reply.rr} == {30}
        assert (reply.header.aa, reply.header.ra, reply.header.rd, reply.header.tc) == (1, 0, 1, 0)

    with_server(test)


def test_order_is_shuffled() -> None:
    """A client that takes the first address does not always take the same pod."""

    async def test(dns: DnsServer) -> None:
        firsts = {ips(await ask(dns))[0] for _ in range(20)}

        assert firsts == set(IPS)

    with_server(test)


def test_v4_service_has_no_aaaa() -> None:
    """Asking a v4-only Service for AAAA says "no such record", not "no such name"."""

    async def test(dns: DnsServer) -> None:
        reply = await ask(dns, "AAAA")

        assert (reply.header.rcode, reply.rr, minimum(reply)) == (dnslib.RCODE.NOERROR, [], 30)

    with_server(test)


def test_two_families() -> None:
    """A dual-stack Service answers each family with its own addresses."""

    async def test(dns: DnsServer) -> None:
        dns.set(WEB, ["127.0.0.11", "fd00::11"])

        assert ips(await ask(dns, "A")) == ["127.0.0.11"]
        assert ips(await ask(dns, "AAAA")) == ["fd00::11"]

    with_server(test)


@pytest.mark.parametrize("name", [WEB, "typo.demo.svc.cluster.local"])
def test_nobody_ready_looks_like_a_typo(name: str) -> None:
    """Zero ready pods and an unknown name are both NXDOMAIN, to be cached for 30 s at most."""

    async def test(dns: DnsServer) -> None:
        dns.set(WEB, [])
        reply = await ask(dns, name=name)

        assert (reply.header.rcode, reply.rr, minimum(reply)) == (dnslib.RCODE.NXDOMAIN, [], 30)

    with_server(test)


def test_names_compare_without_case_or_dot() -> None:
    """WEB.demo… finds web.demo…, as everywhere in DNS."""

    async def test(dns: DnsServer) -> None:
        dns.set("API.demo.svc.cluster.local.", ["127.0.0.99"])

        assert ips(await ask(dns, name="api.DEMO.svc.cluster.local")) == ["127.0.0.99"]
        assert dns.count(name="Api.demo.svc.cluster.local") == 1

    with_server(test)


@pytest.mark.parametrize(
    "mode,rcode,authorities", [("servfail", 2, 0), ("refused", 5, 0), ("nxdomain", 3, 1), ("empty", 0, 0)]
)
@pytest.mark.parametrize("tcp", [False, True])
def test_modes(mode: Mode, rcode: int, authorities: int, tcp: bool) -> None:
    """Each way in which a name server fails can be had, over either transport, and ends when told."""

    async def test(dns: DnsServer) -> None:
        dns.mode = mode
        reply = await ask(dns, tcp=tcp)

        assert (reply.header.rcode, reply.rr, len(reply.auth)) == (rcode, [], authorities)

        dns.mode = "answer"

        assert sorted(ips(await ask(dns, tcp=tcp))) == IPS

    with_server(test)


@pytest.mark.parametrize("tcp", [False, True])
def test_drop_is_silence(tcp: bool) -> None:
    """A dropped query gets no reply at all, but was received."""

    async def test(dns: DnsServer) -> None:
        dns.mode = "drop"

        with pytest.raises(TimeoutError):
            await ask(dns, tcp=tcp, within_s=0.05)

        assert dns.count() == 1

    with_server(test)


def test_one_query_type_can_fail_alone() -> None:
    """AAAA fails while A answers: the classic half-broken resolver."""

    async def test(dns: DnsServer) -> None:
        dns.mode_for["AAAA"] = "servfail"

        assert (await ask(dns, "AAAA")).header.rcode == dnslib.RCODE.SERVFAIL
        assert sorted(ips(await ask(dns, "A"))) == IPS

    with_server(test)


def test_delay() -> None:
    """A slow server is slow for each query, or for one type only."""

    async def test(dns: DnsServer) -> None:
        loop = asyncio.get_running_loop()
        dns.delay_s = 0.2
        dns.delay_for["A"] = 0.0
        began = loop.time()
        await ask(dns, "A")
        quick, began = loop.time() - began, loop.time()
        await asyncio.gather(ask(dns, "AAAA"), ask(dns, "AAAA", tcp=True), ask(dns, "AAAA"))
        slow = loop.time() - began

        assert quick < 0.2 <= slow
        assert slow < 0.6  # side by side, not one after the other

    with_server(test)


def test_every_query_is_remembered() -> None:
    """A test can count the packets a resolver really sent, and see when and how."""

    async def test(dns: DnsServer) -> None:
        await ask(dns, "A")
        await ask(dns, "AAAA", tcp=True)
        await ask(dns, "A", name="other.")

        kinds = [(query.name, query.qtype, query.transport) for query in dns.queries]
        assert kinds == [(WEB + ".", "A", "udp"), (WEB + ".", "AAAA", "tcp"), ("other.", "A", "udp")]
        assert dns.queries[0].at <= dns.queries[1].at <= dns.queries[2].at
        assert (dns.count(), dns.count("A"), dns.count("A", WEB), dns.count("SRV")) == (3, 2, 1, 0)

    with_server(test)


@pytest.mark.parametrize("ip", ["127.0.0.53", "::1"])
def test_any_loopback_address(ip: str) -> None:
    """The server works wherever on loopback a test wants it, on one port for both transports."""

    async def test(dns: DnsServer) -> None:
        assert sorted(ips(await ask(dns))) == sorted(ips(await ask(dns, tcp=True))) == IPS
        assert dns.address == (f"[::1]:{dns.port}" if ip == "::1" else f"127.0.0.53:{dns.port}")

    with_server(test, ip)


def test_garbage_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    """A packet that is not DNS neither stops the server, nor counts as a query, nor fills the log."""

    async def test(dns: DnsServer) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"?", (dns.ip, dns.port))

        assert sorted(ips(await ask(dns))) == IPS
        assert dns.count() == 1
        assert caplog.records == []

    with_server(test)


def test_close_ends_everything() -> None:
    """After close the port is free again and a client that still waits is hung up on."""

    async def test() -> None:
        dns = DnsServer()
        await dns.start()
        dns.mode = "drop"
        reader, writer = await asyncio.open_connection(dns.ip, dns.port)
        packet = dnslib.DNSRecord.question(WEB).pack()
        writer.write(len(packet).to_bytes(2) + packet)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(), 0.02)
        assert dns.count() == 1
        await dns.close()

        assert await reader.read() == b""

        writer.close()
        async with DnsServer(port=dns.port) as again:
            assert again.port == dns.port

    asyncio.run(test())
