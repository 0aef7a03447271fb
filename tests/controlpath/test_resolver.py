"""The resolver against a real name server: each answer has its own name, and comes within the deadline."""

import asyncio
from typing import Any

import dnslib
import pytest

from proxy.demo.dns import DnsServer
from proxy.demo.zone import Mode
from proxy.model import AnswerKind
from proxy.tasks import spawn
from tests.controlpath.asking import (
    IPS,
    WEB,
    answer_of,
    descriptors,
    pack,
    received,
    resolver,
    scripted,
    with_dns,
)
from tests.support import run, virtual
from tests.support.virtual import LoopClock

# --- what each answer is called -----------------------------------------------------------------


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.0.0.53", "::1"])
def test_addresses(ip: str) -> None:
    """Each family is asked for alone, of a server of either family."""

    async def test(dns: DnsServer) -> None:
        dns.set(WEB, [*IPS, "fd00::11", "fd00::12"])

        v4 = await resolver(dns).query(WEB, "A")
        v6 = await resolver(dns).query(WEB, "AAAA")

        assert (v4.kind, sorted(v4.ips), v4.result) == (AnswerKind.ENDPOINTS, sorted(IPS), "ok")
        assert (v6.kind, sorted(v6.ips)) == (AnswerKind.ENDPOINTS, ["fd00::11", "fd00::12"])

    with_dns(test, ip)


@pytest.mark.parametrize(
    "mode,kind,result",
    [
        ("nxdomain", AnswerKind.NXDOMAIN, "nxdomain"),
        ("empty", AnswerKind.EMPTY, "empty"),
        ("servfail", AnswerKind.FAILED, "servfail"),
        ("refused", AnswerKind.FAILED, "refused"),
    ],
)
def test_each_way_to_say_no_has_its_name(mode: Mode, kind: AnswerKind, result: str) -> None:
    """No such name, no such record and no proper answer are three different things."""

    async def test(dns: DnsServer) -> None:
        dns.mode = mode

        reply = await resolver(dns).query(WEB, "A")

        assert (reply.kind, reply.result, reply.ips) == (kind, result, ())

    with_dns(test)


@pytest.mark.parametrize("soa", [False, True])
@pytest.mark.parametrize("rcode", [1, 4, 6, 8, 9, 10, 11, 15])
def test_an_unusual_error_is_no_answer(rcode: int, soa: bool) -> None:
    """FORMERR, NOTIMP, NOTAUTH and whatever else a server may say: nothing was learned."""

    def reply(query: Any, peer: Any) -> bytes:
        message = answer_of(query, rcode=rcode)
        if soa:
            message.add_auth(*dnslib.RR.fromZone("cluster.local. 30 SOA ns. admin. 1 2 3 4 5"))
        return pack(message)

    async def story() -> None:
        async with scripted(reply) as server:
            assert (await resolver(server).query(WEB, "A")).kind is AnswerKind.FAILED

    run(story())


def test_no_record_of_one_family() -> None:
    """A v4-only Service has no AAAA: empty, although the name exists."""

    async def test(dns: DnsServer) -> None:
        reply = await resolver(dns).query(WEB, "AAAA")

        assert (reply.kind, reply.result, reply.ips) == (AnswerKind.EMPTY, "empty", ())

    with_dns(test)


@pytest.mark.parametrize("name", ["x" * 64 + ".demo.", "a..b.", "web.\ufffd.", "web." + "\u2603" * 70 + "."])
def test_a_name_that_dns_cannot_carry(name: str) -> None:
    """A search domain in resolv.conf may be anything: the query fails, nothing is raised or sent."""

    async def test(dns: DnsServer) -> None:
        reply = await resolver(dns).query(name, "A")

        assert (reply.kind, reply.result) == (AnswerKind.FAILED, "error")
        assert dns.count() == 0

    with_dns(test)


def test_cname_leads_to_the_addresses() -> None:
    """An alias, the alias of its target, and the addresses in one answer are the addresses."""

    async def test(dns: DnsServer) -> None:
        dns.set_cname("shop.", "alias.")
        dns.set_cname("alias.", WEB)
        reply = await resolver(dns).query("shop.", "A")

        assert (reply.result, sorted(reply.ips)) == ("ok", sorted(IPS))

    with_dns(test)


def test_an_alias_of_nothing_is_empty() -> None:
    """A CNAME whose target has no address: the name exists, nobody is there."""

    async def test(dns: DnsServer) -> None:
        dns.set_cname("shop.", "gone.")
        reply = await resolver(dns).query("shop.", "A")

        assert (reply.kind, reply.ips) == (AnswerKind.EMPTY, ())

    with_dns(test)


# --- servers that do not answer -----------------------------------------------------------------


def test_the_deadline_holds_for_all_tries_together() -> None:
    """A silent server is given up when DNS_TIMEOUT is over, neither earlier nor later."""

    async def test(dns: DnsServer) -> None:
        dns.mode = "drop"
        clock = LoopClock()
        began = clock.now()

        reply = await resolver(dns, timeout_s=0.1).query(WEB, "A")

        assert (reply.kind, reply.result) == (AnswerKind.FAILED, "timeout")
        assert clock.now() - began == pytest.approx(0.1, abs=0.001)
        assert dns.count() == 3

    with_dns(test, by=virtual.with_sockets)


def test_what_comes_after_the_deadline_is_late() -> None:
    """A reply that is a quarter of the deadline late is no reply, however many tries are under way."""

    async def test(dns: DnsServer) -> None:
        dns.delay_s = 0.125

        assert (await resolver(dns, timeout_s=0.1).query(WEB, "A")).result == "timeout"

    with_dns(test, by=virtual.with_sockets)


def test_a_lost_packet_is_asked_for_again() -> None:
    """One dropped datagram costs a seventh of the deadline, not the answer."""

    async def test(dns: DnsServer) -> None:
        dns.mode = "drop"
        asking = asyncio.ensure_future(resolver(dns, timeout_s=0.5).query(WEB, "A"))
        await received(dns, 1)
        dns.mode = "answer"

        assert sorted((await asking).ips) == sorted(IPS)
        assert dns.count() == 2

    with_dns(test, by=virtual.with_sockets)


@pytest.mark.parametrize("delay_s", [0.2, 0.4, 0.6])
def test_a_slow_server_is_heard(delay_s: float) -> None:
    """Whatever comes within DNS_TIMEOUT counts, although the question was asked again in the meantime."""

    async def test(dns: DnsServer) -> None:
        dns.delay_s = delay_s
        clock = LoopClock()
        began = clock.now()

        assert len((await resolver(dns, timeout_s=0.8).query(WEB, "A")).ips) == 3
        assert clock.now() - began == pytest.approx(delay_s, abs=0.001)

    with_dns(test, by=virtual.with_sockets)


def test_a_good_reply_beats_a_failure() -> None:
    """The second server refuses while the first one is slow: the first one's addresses are taken."""

    async def story() -> None:
        async with DnsServer() as slow, DnsServer() as refusing:
            slow.set(WEB, IPS)
            slow.delay_s, refusing.mode = 0.2, "refused"

            reply = await resolver(slow, refusing, timeout_s=0.7).query(WEB, "A")

            assert sorted(reply.ips) == sorted(IPS)
            assert refusing.count() == 1

    virtual.with_sockets(story())


def test_failures_do_not_silence_a_slow_reply() -> None:
    """The first try is answered late and well, all later ones at once with SERVFAIL: the late one counts."""

    async def test(dns: DnsServer) -> None:
        dns.delay_s = 0.45
        looking = spawn(resolver(dns, timeout_s=0.7).query(WEB, "A"), name="query")
        await received(dns, 1)
        dns.delay_s = 0.0
        dns.mode = "servfail"
        await received(dns, 3)
        dns.mode = "answer"  # for the first of the three, which is late

        assert len((await looking).ips) == 3

    with_dns(test, by=virtual.with_sockets)


def test_late_answers_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    """What comes after the deadline reaches nobody, upsets nobody, and the next query starts afresh."""

    async def test(dns: DnsServer) -> None:
        faults: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        dns.delay_s = 0.1
        before = descriptors()

        reply = await resolver(dns, timeout_s=0.05).query(WEB, "A")

        assert reply.result == "timeout"

        assert descriptors() == before
        await asyncio.sleep(0.12)  # they come now
        dns.delay_s = 0
        assert len((await resolver(dns).query(WEB, "A")).ips) == 3
        assert faults == []
        assert [record.name for record in caplog.records] == ["headway.dns"]  # the server is silent
