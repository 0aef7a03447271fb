"""The resolver against a real name server: each answer has its own name, and comes within the deadline."""

import asyncio
import time
from typing import Any

import dnslib
import pytest

from proxy.demo.dns import DnsServer
from proxy.demo.ports import free_ports
from proxy.demo.zone import Mode
from proxy.model import Address, AnswerKind, Family
from proxy.policy.answers import Reply
from tests.controlpath.asking import IPS, WEB, descriptors, pack, received, resolver, scripted, with_dns
from tests.support import run

TIMEOUT = Reply(AnswerKind.FAILED, result="timeout")

# --- what each answer is called -----------------------------------------------------------------


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.0.0.53", "::1"])
def test_addresses(ip: str) -> None:
    """Each family is asked for alone, of a server of either family."""

    async def test(dns: DnsServer) -> None:
        dns.set(WEB, [*IPS, "fd00::11", "fd00::12"])

        v4 = await resolver(dns).query(WEB, Family.IPV4)
        v6 = await resolver(dns).query(WEB, Family.IPV6)

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

        assert await resolver(dns).query(WEB, Family.IPV4) == Reply(kind, result=result)

    with_dns(test)


@pytest.mark.parametrize("rcode", [1, 4, 6, 8, 9, 10, 11, 15])
def test_an_unusual_error_is_no_answer(rcode: int) -> None:
    """FORMERR, NOTIMP, NOTAUTH and whatever else a server may say: nothing was learned."""

    def reply(query: Any, peer: Any) -> bytes:
        message = query.reply()
        message.header.rcode = rcode
        return pack(message)

    async def story() -> None:
        async with scripted(reply) as server:
            assert (await resolver(server).query(WEB, Family.IPV4)).kind is AnswerKind.FAILED

    run(story())


def test_no_record_of_one_family() -> None:
    """A v4-only Service has no AAAA: empty, although the name exists."""

    async def test(dns: DnsServer) -> None:
        assert await resolver(dns).query(WEB, Family.IPV6) == Reply(AnswerKind.EMPTY, result="empty")

    with_dns(test)


@pytest.mark.parametrize("name", ["x" * 64 + ".demo.", "a..b.", "web.\ufffd.", "web." + "\u2603" * 70 + "."])
def test_a_name_that_dns_cannot_carry(name: str) -> None:
    """A search domain in resolv.conf may be anything: the query fails, nothing is raised or sent."""

    async def test(dns: DnsServer) -> None:
        assert await resolver(dns).query(name, Family.IPV4) == Reply(AnswerKind.FAILED, result="error")
        assert dns.count() == 0

    with_dns(test)


def test_cname_leads_to_the_addresses() -> None:
    """An alias and its addresses in one answer are the addresses."""

    def reply(query: Any, _: Any) -> bytes:
        answer = query.reply()
        answer.add_answer(*dnslib.RR.fromZone(f"{WEB} 30 CNAME other.\nother. 30 A 127.0.0.9"))
        return pack(answer)

    async def story() -> None:
        async with scripted(reply) as server:
            found = await resolver(server).query(WEB, Family.IPV4)

            assert found == Reply(AnswerKind.ENDPOINTS, ("127.0.0.9",))

    run(story())


def test_two_hundred_pods_come_over_tcp() -> None:
    """An answer that does not fit a datagram is asked again over TCP, and complete."""

    async def test(dns: DnsServer) -> None:
        many = [f"127.0.{number // 100}.{number % 100 + 1}" for number in range(200)]
        dns.set(WEB, many)

        found = await resolver(dns).query(WEB, Family.IPV4)

        assert sorted(found.ips) == sorted(many)
        assert [query.transport for query in dns.queries] == ["udp", "tcp"]

    with_dns(test)


# --- servers that do not answer -----------------------------------------------------------------


def test_the_deadline_holds_for_all_tries_together() -> None:
    """A silent server is given up when DNS_TIMEOUT is over, neither earlier nor later."""

    async def test(dns: DnsServer) -> None:
        dns.mode = "drop"
        began = time.monotonic()

        assert await resolver(dns, timeout_s=0.1).query(WEB, Family.IPV4) == TIMEOUT

        assert 0.095 <= time.monotonic() - began < 1.0  # the loop's timers count milliseconds
        assert dns.count() == 3

    with_dns(test)


@pytest.mark.slow
def test_a_lost_packet_is_asked_for_again() -> None:
    """One dropped datagram costs a quarter of a second (c-ares' least wait), not the answer."""

    async def test(dns: DnsServer) -> None:
        dns.mode = "drop"
        asking = asyncio.ensure_future(resolver(dns, timeout_s=0.5).query(WEB, Family.IPV4))
        await received(dns, 1)
        dns.mode = "answer"

        assert sorted((await asking).ips) == sorted(IPS)
        assert dns.count() == 2

    with_dns(test)


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.2, 0.4, 0.6])
def test_a_slow_server_is_heard(delay_s: float) -> None:
    """Whatever comes within DNS_TIMEOUT counts, although the question was asked again in the meantime."""

    async def test(dns: DnsServer) -> None:
        dns.delay_s = delay_s
        began = time.monotonic()

        assert len((await resolver(dns, timeout_s=0.8).query(WEB, Family.IPV4)).ips) == 3
        assert time.monotonic() - began >= delay_s

    with_dns(test)


@pytest.mark.slow
def test_a_good_reply_beats_a_failure() -> None:
    """The second server refuses while the first one is slow: the first one's addresses are taken."""

    async def story() -> None:
        async with DnsServer() as slow, DnsServer() as refusing:
            slow.set(WEB, IPS)
            slow.delay_s, refusing.mode = 0.2, "refused"

            reply = await resolver(slow, refusing, timeout_s=0.7).query(WEB, Family.IPV4)

            assert sorted(reply.ips) == sorted(IPS)
            assert refusing.count() == 1

    run(story())


@pytest.mark.slow
def test_failures_do_not_silence_a_slow_reply() -> None:
    """The first try is answered late and well, all later ones at once with SERVFAIL: the late one counts."""

    async def test(dns: DnsServer) -> None:
        dns.delay_s = 0.3
        looking = asyncio.create_task(resolver(dns, timeout_s=0.7).query(WEB, Family.IPV4))
        await received(dns, 1)
        dns.delay_s = 0.0
        dns.mode = "servfail"

        assert len((await looking).ips) == 3

    with_dns(test)


def test_late_answers_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    """What comes after the deadline reaches nobody, upsets nobody, and the next query starts afresh."""

    async def test(dns: DnsServer) -> None:
        faults: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        dns.delay_s = 0.1
        before = descriptors()

        assert await resolver(dns, timeout_s=0.05).query(WEB, Family.IPV4) == TIMEOUT

        assert descriptors() == before
        await asyncio.sleep(0.12)  # they come now
        dns.delay_s = 0
        assert len((await resolver(dns).query(WEB, Family.IPV4)).ips) == 3
        assert faults == caplog.record_tuples == []

    with_dns(test)


def test_nobody_listens() -> None:
    """A port without a server is known at once: no reason to wait for the deadline."""

    async def story() -> None:
        (port,) = free_ports(1)
        began = time.monotonic()

        reply = await resolver(Address("127.0.0.1", port)).query(WEB, Family.IPV4)

        assert reply == Reply(AnswerKind.FAILED, result="unreachable")
        assert time.monotonic() - began < 1.0

    run(story())


@pytest.mark.parametrize("mode", [pytest.param("drop", marks=pytest.mark.slow), "servfail", "refused"])
def test_the_second_server_answers_for_the_first(mode: Mode) -> None:
    """With two servers, one that is silent or broken costs a part of the deadline only."""

    async def test(dns: DnsServer) -> None:
        async with DnsServer("127.0.0.2") as broken:
            broken.mode = mode
            reply = await resolver(broken, dns, timeout_s=0.5).query(WEB, Family.IPV4)

            assert sorted(reply.ips) == sorted(IPS)
            assert broken.count() == dns.count() == 1

    with_dns(test)


def test_the_second_server_answers_for_one_that_is_gone() -> None:
    """A server that was restarted elsewhere (its port refuses) is passed over."""

    async def test(dns: DnsServer) -> None:
        (port,) = free_ports(1)

        reply = await resolver(Address("127.0.0.1", port), dns).query(WEB, Family.IPV4)

        assert sorted(reply.ips) == sorted(IPS)

    with_dns(test)


def test_garbage_is_no_answer() -> None:
    """A datagram that is no DNS, or whose id is wrong, is not taken for an answer."""

    def reply(query: Any, _: Any) -> bytes:
        query.header.id ^= 1
        return pack(query.reply())

    async def story() -> None:
        for script in (reply, lambda *_: b"?"):
            async with scripted(script) as server:
                assert (await resolver(server, timeout_s=0.05).query(WEB, Family.IPV4)).result != "ok"

    run(story())
