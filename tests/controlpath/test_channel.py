"""One query as /dns shows it: which server said what, over which transport, and how long it took."""

import dnslib
import pytest

from proxy.controlpath import channel
from proxy.demo.dns import DnsServer
from proxy.demo.zone import Mode
from proxy.model import AnswerKind
from proxy.policy.records import Srv
from tests.controlpath.asking import IPS, MANY, WEB, address, answer_of, pack, resolver, scripted, with_dns
from tests.support import FakeClock, run

SRV_NAME = "_http._tcp.web.demo.svc.cluster.local."


def test_an_exchange_tells_all_there_is_to_know() -> None:
    """Server, transport, rcode, records, the least ttl and the duration of a query can be looked up."""

    async def test(dns: DnsServer) -> None:
        dns.ttl_s = 17
        reply = await resolver(dns).query(WEB, "A")

        seen = reply.exchange
        assert seen is not None
        assert (seen.name, seen.qtype, seen.result) == (WEB, "A", "ok")
        assert (seen.server, seen.transport, seen.rcode) == (dns.address, "udp", "NOERROR")
        assert (sorted(seen.records), seen.total, seen.ttl) == (sorted(IPS), 3, 17)
        assert not seen.truncated

    with_dns(test)


def test_the_duration_is_what_the_query_took() -> None:
    """An answer that takes 3 s by the clock is shown with 3 s."""
    clock = FakeClock()

    async def test(dns: DnsServer) -> None:
        def slowly(*_: object) -> None:
            clock.advance(3)

        dns.script = slowly
        reply = await channel.ask(address(dns), WEB, "A", clock, deadline_s=2.0)

        assert reply.exchange is not None
        assert reply.exchange.seconds == 3.0

    with_dns(test)


@pytest.mark.parametrize(
    "mode,result,rcode",
    [
        ("nxdomain", "nxdomain", "NXDOMAIN"),
        ("empty", "empty", "NOERROR"),
        ("servfail", "servfail", "SERVFAIL"),
        ("refused", "refused", "REFUSED"),
    ],
)
def test_a_no_shows_its_rcode(mode: Mode, result: str, rcode: str) -> None:
    """A person sees who refused, and with which rcode."""

    async def test(dns: DnsServer) -> None:
        dns.mode = mode
        seen = (await resolver(dns).query(WEB, "A")).exchange

        assert seen is not None
        assert (seen.result, seen.rcode, seen.server, seen.transport) == (result, rcode, dns.address, "udp")
        assert (seen.records, seen.total, seen.ttl) == ((), 0, None)

    with_dns(test)


def test_silence_is_shown_too() -> None:
    """A query that nobody answered names the servers that were asked, and has no rcode."""

    async def test(dns: DnsServer) -> None:
        dns.mode = "drop"
        seen = (await resolver(dns, timeout_s=0.05).query(WEB, "A")).exchange

        assert seen is not None
        assert (seen.name, seen.result, seen.rcode, seen.server) == (WEB, "timeout", "", dns.address)
        assert seen.seconds >= 0.045

    with_dns(test)


def test_a_long_answer_is_shown_in_part() -> None:
    """Of 200 addresses 20 are shown, with their number; all 200 are used."""

    async def test(dns: DnsServer) -> None:
        dns.set(WEB, MANY)
        reply = await resolver(dns).query(WEB, "A")

        assert reply.exchange is not None
        assert (len(reply.exchange.records), reply.exchange.total) == (20, 200)
        assert len(reply.ips) == 200

    with_dns(test)


def test_srv_records_come_with_their_glue() -> None:
    """Priority, weight, port and host of each instance, and the addresses that came along."""

    async def test(dns: DnsServer) -> None:
        dns.set("web-0.web.", ["127.0.0.11", "fd00::11"])
        dns.set_srv(SRV_NAME, [("WEB-0.web.", 8080, 10, 60), ("web-1.web.", 8081, 20, 40)])

        reply = await resolver(dns).query(SRV_NAME, "SRV")

        assert set(reply.srvs) == {Srv(10, 60, 8080, "web-0.web"), Srv(20, 40, 8081, "web-1.web")}
        assert {name: set(ips) for name, ips in reply.glue.items()} == {
            "web-0.web": {"127.0.0.11", "fd00::11"}
        }
        assert reply.exchange is not None
        assert set(reply.exchange.records) == {"10 60 8080 web-0.web", "20 40 8081 web-1.web"}

    with_dns(test)


@pytest.mark.parametrize("ttl", [0, 2**31 - 1])
def test_any_ttl_is_a_good_answer(ttl: int) -> None:
    """Neither 0 nor 68 years keeps an answer from being used, or the next query from being sent."""

    async def test(dns: DnsServer) -> None:
        dns.ttl_s = ttl
        for _ in range(2):
            reply = await resolver(dns).query(WEB, "A")
            assert (reply.kind, sorted(reply.ips), reply.ttl) == (AnswerKind.ENDPOINTS, sorted(IPS), ttl)

        assert dns.count() == 2

    with_dns(test)


def test_the_least_ttl_counts() -> None:
    """Of records with several ttls, the one that ends first is shown."""

    async def story() -> None:
        records = (f"{WEB} 30 A 127.0.0.1", f"{WEB} 7 A 127.0.0.2", f"{WEB} 90 A 127.0.0.3")
        async with scripted(lambda query, _: pack(answer_of(query, *records))) as server:
            assert (await resolver(server).query(WEB, "A")).ttl == 7

    run(story())


@pytest.mark.parametrize("name", ["WEB.Demo.svc.cluster.LOCAL.", WEB])
def test_case_does_not_matter(name: str) -> None:
    """A server that writes the name in another case has answered the question."""

    async def story() -> None:
        async with scripted(
            lambda query, _: pack(answer_of(query, f"{WEB.upper()} 30 A 127.0.0.9"))
        ) as server:
            reply = await resolver(server).query(name, "A")

            assert (reply.result, reply.ips) == ("ok", ("127.0.0.9",))

    run(story())


def test_edns_makes_room_for_more() -> None:
    """40 pods come in one datagram of up to 1,232 bytes; without EDNS it would take TCP."""

    async def test(dns: DnsServer) -> None:
        dns.set(WEB, MANY[:40])
        reply = await resolver(dns).query(WEB, "A")

        assert len(reply.ips) == 40
        assert [query.transport for query in dns.queries] == ["udp"]

    with_dns(test)


def test_a_server_without_edns_is_understood() -> None:
    """An old server that calls EDNS a format error is asked again without it."""

    async def test(dns: DnsServer) -> None:
        def old(query: dnslib.DNSRecord, transport: str) -> bytes | None:
            return pack(answer_of(query, rcode=dnslib.RCODE.FORMERR)) if query.ar else None

        dns.script = old
        reply = await resolver(dns).query(WEB, "A")

        assert (reply.result, sorted(reply.ips), reply.ignored) == ("ok", sorted(IPS), 0)

    with_dns(test)
