"""The demo's DNS server as a cache, like NodeLocal DNSCache or CoreDNS with `cache 30`; time by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import dnslib

from proxy.demo.dns import DnsServer
from tests.demo.test_dns import IPS, WEB, ask, ips
from tests.support import FakeClock

Test = Callable[[DnsServer, FakeClock], Awaitable[None]]


def with_cache(test: Test, cache_s: float = 30.0) -> None:
    async def run() -> None:
        clock = FakeClock()
        async with DnsServer(rng=Random(7), clock=clock) as dns:
            dns.cache_s = cache_s
            dns.set(WEB, IPS)
            await test(dns, clock)

    asyncio.run(run())


def ttls(reply: Any) -> set[int]:
    return {record.ttl for record in [*reply.rr, *reply.auth, *reply.ar]}


def test_an_answer_stays_as_it_was_until_its_ttl_is_over() -> None:
    """A change shows only when the ttl, which counts down meanwhile, has run out."""

    async def test(dns: DnsServer, clock: FakeClock) -> None:
        assert ttls(await ask(dns)) == {30}

        dns.set(WEB, ["127.0.0.99"])
        clock.advance(7)
        later = await ask(dns, tcp=True)
        assert (sorted(ips(later)), ttls(later)) == (IPS, {23})

        clock.advance(22.9)
        last = await ask(dns)
        assert (sorted(ips(last)), ttls(last)) == (IPS, {1})

        clock.advance(0.1)
        new = await ask(dns)
        assert (ips(new), ttls(new)) == (["127.0.0.99"], {30})

    with_cache(test)


def test_no_is_cached_too() -> None:
    """A pod that comes after a lookup found none is not seen for the ttl of that answer."""

    async def test(dns: DnsServer, clock: FakeClock) -> None:
        dns.set(WEB, [])
        await ask(dns)
        dns.set(WEB, IPS)
        clock.advance(29)
        late = await ask(dns)
        assert (late.header.rcode, late.rr, ttls(late)) == (dnslib.RCODE.NXDOMAIN, [], {1})

        clock.advance(1)
        assert sorted(ips(await ask(dns))) == IPS

    with_cache(test)


def test_glue_ages_with_its_srv_and_opt_does_not() -> None:
    """The ttl of every record counts down, but the field of that place in OPT holds flags."""

    async def test(dns: DnsServer, clock: FakeClock) -> None:
        dns.set_srv(WEB, [(WEB, 80)])
        await ask(dns, "SRV")
        clock.advance(10)
        reply = await ask(dns, "SRV", edns=1232)

        assert [record.ttl for record in reply.rr + reply.ar] == [20, 20, 20, 20, 0]

    with_cache(test)


def test_each_question_is_cached_for_itself() -> None:
    """Another type or name, first asked later, is as new as then; the case of a name makes no difference."""

    async def test(dns: DnsServer, clock: FakeClock) -> None:
        await ask(dns, "A")
        clock.advance(10)

        assert ttls(await ask(dns, "AAAA")) == {30}
        assert ttls(await ask(dns, "A", "other.")) == {30}
        assert ttls(await ask(dns, "A", WEB.upper())) == {20}

    with_cache(test)


def test_the_shorter_of_cache_and_ttl_counts() -> None:
    """`cache 5` hands out ttls of 5 at most; a ttl of 2 ends after 2 in any cache."""

    async def test(dns: DnsServer, clock: FakeClock) -> None:
        assert ttls(await ask(dns)) == {5}

        dns.ttl_s = 2
        clock.advance(5)
        assert ttls(await ask(dns)) == {2}

        clock.advance(2)
        assert ttls(await ask(dns)) == {2}

    with_cache(test, cache_s=5)


def test_cached_answers_are_shuffled() -> None:
    """The order of a cached answer still varies, as CoreDNS' loadbalance makes it."""

    async def test(dns: DnsServer, clock: FakeClock) -> None:
        assert {ips(await ask(dns))[0] for _ in range(20)} == set(IPS)

    with_cache(test)


def test_a_failure_is_neither_cached_nor_hidden_by_the_cache() -> None:
    """A mode is that of the server itself: it holds at once, and ends at once."""

    async def test(dns: DnsServer, clock: FakeClock) -> None:
        await ask(dns)
        dns.mode = "servfail"
        assert (await ask(dns)).header.rcode == dnslib.RCODE.SERVFAIL

        dns.mode = "answer"
        assert sorted(ips(await ask(dns))) == IPS

    with_cache(test)


def test_without_a_cache_changes_show_at_once() -> None:
    """Switched off, the cache forgets what it had."""

    async def test(dns: DnsServer, clock: FakeClock) -> None:
        await ask(dns)
        dns.set(WEB, IPS[:1])
        dns.cache_s = 0
        assert ips(await ask(dns)) == IPS[:1]

        dns.cache_s = 30
        assert ips(await ask(dns)) == IPS[:1]

    with_cache(test)
