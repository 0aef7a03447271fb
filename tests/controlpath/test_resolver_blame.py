"""When a failure is held against its server, and what the log says of it."""

import asyncio
import logging

import dnslib
import pytest

from proxy.demo.dns import DnsServer
from tests.controlpath.asking import (
    MANY,
    WEB,
    Servers,
    address,
    answer_of,
    pack,
    resolver,
    with_dns,
)
from tests.support import virtual

OTHER = "other.demo.svc.cluster.local."


def fails_for(server: DnsServer, name: str) -> None:
    def script(query: dnslib.DNSRecord, transport: str) -> bytes | None:
        return pack(answer_of(query, rcode=2)) if str(query.q.qname).lower() == name else None

    server.script = script


def test_one_bad_name_is_not_the_servers_fault(caplog: pytest.LogCaptureFixture) -> None:
    """A server that gave a good reply within 2 s is not blamed for a name that fails; later it is."""

    async def story() -> None:
        async with Servers(2) as servers:
            asking = servers.resolver(timeout_s=2.0)
            fails_for(servers.all[0], OTHER)
            await asking.query(WEB, "A")
            servers.clock.advance(1.9)
            await asking.query(OTHER, "A")
            assert set(asking.servers_and_troubles().values()) == {None}
            assert caplog.messages == []

            servers.clock.advance(0.2)
            await asking.query(OTHER, "A")
            trouble = asking.servers_and_troubles()[address(servers.all[0])]
            assert trouble is not None
            assert trouble.result == "servfail"
            assert len(caplog.messages) == 1

    virtual.with_sockets(story())


def test_each_failure_in_the_log_is_followed_by_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """The line that it answers again comes after each failure that was said, and after no other."""
    caplog.set_level(logging.INFO, "headway.dns")

    async def story() -> None:
        async with Servers(1) as servers:
            asking, where = servers.resolver(timeout_s=2.0), servers.all[0].address
            for pause_s in (5, 61, 5):
                servers.all[0].mode = "servfail"
                await asking.query(WEB, "A")
                servers.all[0].mode = "answer"
                await asking.query(WEB, "A")
                servers.clock.advance(pause_s)

            fails, again = f"DNS: {where} fails (servfail)", f"DNS: {where} answers again"
            assert caplog.messages == [fails, again, f"{fails} (1 more since the last line)", again]

    virtual.with_sockets(story())


def test_a_failure_does_not_replace_a_good_reply() -> None:
    """Both servers answer at the same moment, one well: whichever is looked at first, that one counts."""

    async def story() -> None:
        async with Servers(2) as servers:
            good, bad = servers.all
            asking = servers.resolver(timeout_s=1.4)
            good.delay_s, bad.mode, bad.delay_s = 0.35, "servfail", 0.15  # the second is asked after 0.2 s
            for _ in range(4):
                assert (await asking.query(WEB, "A")).result == "ok"
                servers.clock.advance(100)

    virtual.with_sockets(story())


def test_one_asked_a_moment_ago_is_not_blamed_for_silence() -> None:
    """The second server is asked just before the first one's late reply: it had no time to answer."""

    async def story() -> None:
        async with Servers(2) as servers:
            asking = servers.resolver(timeout_s=3.5)
            servers.all[0].delay_s, servers.all[1].mode = 0.7, "drop"  # it is asked after 0.5 s
            assert (await asking.query(WEB, "A")).result == "ok"

            assert servers.counts() == [1, 1]
            assert set(asking.servers_and_troubles().values()) == {None}

    virtual.with_sockets(story())


def test_a_timeout_over_tcp_says_so() -> None:
    """A datagram could not hold the answer and TCP is silent: the exchange names the transport."""

    async def test(dns: DnsServer) -> None:
        dns.set(WEB, MANY)
        dns.script = lambda query, transport: () if transport == "tcp" else None
        seen = (await resolver(dns, timeout_s=0.5).query(WEB, "A")).exchange
        assert seen is not None
        assert (seen.result, seen.transport, seen.server) == ("timeout", "tcp", dns.address)

        dns.mode, dns.script = "drop", None
        seen = (await resolver(dns, timeout_s=0.2).query(WEB, "A")).exchange
        assert seen is not None
        assert (seen.result, seen.transport) == ("timeout", "udp")
        await asyncio.sleep(0)

    with_dns(test)
