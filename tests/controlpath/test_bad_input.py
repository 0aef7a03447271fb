"""Replies that are no answer: counted by kind, said once a minute, and never an address."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

import dnslib
import pytest

from proxy.demo.dns import DnsServer, Transport
from tests.controlpath.asking import IPS, WEB, answer_of, pack, resolver
from tests.controlpath.world import World, with_world
from tests.support import virtual

Spoil = Callable[[Any, DnsServer], bytes | Iterable[bytes]]
FORGED = f"{WEB} 30 A 127.6.6.6"


def wrong_id(query: Any, dns: DnsServer) -> bytes:
    query.header.id ^= 1
    return pack(answer_of(query, FORGED))


def another_question(query: Any, dns: DnsServer) -> bytes:
    reply = dnslib.DNSRecord.question("bank.", "A").reply()
    reply.header.id = query.header.id
    reply.add_answer(*dnslib.RR.fromZone(FORGED))
    return pack(reply)


def another_type(query: Any, dns: DnsServer) -> bytes:
    reply = dnslib.DNSRecord.question(WEB, "TXT").reply()
    reply.header.id = query.header.id
    reply.add_answer(*dnslib.RR.fromZone(FORGED))
    return pack(reply)


def no_question(query: Any, dns: DnsServer) -> bytes:
    reply = answer_of(query, FORGED)
    reply.questions = []
    return pack(reply)


def foreign_names(query: Any, dns: DnsServer) -> bytes:
    return pack(answer_of(query, "bank. 30 A 127.6.6.6"))


def loop_of_aliases(query: Any, dns: DnsServer) -> bytes:
    return pack(answer_of(query, f"{WEB} 30 CNAME b.", f"b. 30 CNAME {WEB}", FORGED))


def alias_of_itself(query: Any, dns: DnsServer) -> bytes:
    return pack(answer_of(query, f"{WEB} 30 CNAME {WEB}", FORGED))


def endless_aliases(query: Any, dns: DnsServer) -> bytes:
    chain = [f"a{number}. 30 CNAME a{number + 1}." for number in range(40)]
    return pack(answer_of(query, f"{WEB} 30 CNAME a0.", *chain, "a40. 30 A 127.6.6.6"))


def cut_short(query: Any, dns: DnsServer) -> bytes:
    return (dns.packet(query, "udp") or b"")[:-3]


def too_many_announced(query: Any, dns: DnsServer) -> bytes:
    packet = bytearray(dns.packet(query, "udp") or b"")
    packet[6:8] = b"\xff\xff"
    return bytes(packet)


def pointer_to_itself(query: Any, dns: DnsServer) -> bytes:
    header = query.header.id.to_bytes(2) + b"\x81\x80\0\1\0\1\0\0\0\0"
    question = pack(query)[12 : 12 + len(WEB) + 1 + 4]
    at = 12 + len(question)
    record = (0xC000 | at).to_bytes(2) + b"\0\1\0\1\0\0\0\x1e\0\4\x7f\6\6\6"
    return bytes(header + question + record)


def the_query_itself(query: Any, dns: DnsServer) -> bytes:
    return pack(query)


# What is sent, what the metrics call it, and how often it is asked again.
BAD: list[tuple[Spoil, str]] = [
    (lambda *_: b"?", "timeout"),
    (lambda *_: b"\0" * 12, "timeout"),
    (lambda *_: b"\xff" * 600, "timeout"),
    (cut_short, "malformed"),
    (too_many_announced, "malformed"),
    (pointer_to_itself, "malformed"),
    (no_question, "malformed"),
    (foreign_names, "malformed"),
    (loop_of_aliases, "malformed"),
    (alias_of_itself, "malformed"),
    (endless_aliases, "malformed"),
    (wrong_id, "timeout"),
    (another_question, "timeout"),
    (another_type, "timeout"),
    (lambda *_: b"", "timeout"),
]
NAMES = ["?", "zeros", "ones"] + [spoil.__name__ for spoil, _ in BAD[3:-1]] + ["nothing"]


def spoiled(spoil: Spoil, dns: DnsServer) -> Callable[[Any, Transport], bytes | Iterable[bytes]]:
    return lambda query, transport: spoil(query, dns)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("spoil,result", BAD, ids=NAMES)
def test_it_never_changes_the_pool(spoil: Spoil, result: str, known: bool) -> None:
    """Whatever comes, the pods known stay, nobody joins, and the metrics tell what it was."""

    async def test(world: World) -> None:
        if known:
            await world.discovery.poll()
            world.pool.counters.dns_queries.clear()
        before = world.ips
        world.dns.script = spoiled(spoil, world.dns)
        for _ in range(2):
            await world.discovery.poll()
            world.clock.advance(100)

        assert world.ips == before == (sorted(IPS) if known else [])
        assert world.results.pop("ignored", 0) >= 0
        assert world.results.get(result) == 2
        assert world.pool.resolved == known

    with_world(test, by=virtual.with_sockets, IP_FAMILY="ipv4", timeout_s=0.2)


@pytest.mark.parametrize(
    "spoil", [wrong_id, another_question, another_type], ids=lambda spoil: spoil.__name__
)
def test_what_answers_nothing_is_counted(spoil: Spoil) -> None:
    """A forged datagram is counted and mentioned, although the query ends in a timeout."""

    async def test(world: World) -> None:
        world.dns.script = spoiled(spoil, world.dns)
        await world.discovery.poll()

        assert world.results == {"timeout": 1, "ignored": 3}  # each try met one

    with_world(test, by=virtual.with_sockets, IP_FAMILY="ipv4", timeout_s=0.5)


def test_a_forged_datagram_does_not_cost_the_answer() -> None:
    """The true reply that comes after a forged one is taken, and the forged one is counted."""

    async def test(world: World) -> None:
        def both(query: Any, transport: Transport) -> Iterable[bytes]:
            good = world.dns.packet(query, transport)
            assert good is not None
            forged = wrong_id(query, world.dns)
            yield forged
            yield good

        world.dns.script = both
        await world.discovery.poll()

        assert world.ips == sorted(IPS)
        assert world.results["ok"] == 1

    with_world(test, by=virtual.with_sockets, IP_FAMILY="ipv4")


def test_an_echo_is_no_answer() -> None:
    """A packet that is a query, as an echo service sends it back, does not say that nobody is there."""

    async def test(world: World) -> None:
        world.dns.script = spoiled(the_query_itself, world.dns)
        await world.discovery.poll()

        assert not world.pool.resolved

    with_world(test, by=virtual.with_sockets, IP_FAMILY="ipv4", timeout_s=0.2)


def test_an_error_with_records_is_an_error() -> None:
    """What a reply with rcode NOTAUTH lists is not used."""

    async def test(world: World) -> None:
        world.dns.script = lambda query, transport: pack(answer_of(query, FORGED, rcode=9))
        await world.discovery.poll()

        assert (world.ips, world.pool.resolved) == ([], False)

    with_world(test, by=virtual.with_sockets, IP_FAMILY="ipv4", timeout_s=0.2)


def test_foreign_records_among_good_ones_are_left_out() -> None:
    """Records of another name that ride along with the answer give no endpoint."""

    async def test(world: World) -> None:
        records = [f"{WEB} 30 A {ip}" for ip in IPS]
        world.dns.script = lambda query, transport: pack(answer_of(query, *records, "bank. 30 A 127.6.6.6"))
        await world.discovery.poll()

        assert world.ips == sorted(IPS)

    with_world(test, by=virtual.with_sockets, IP_FAMILY="ipv4")


@pytest.mark.parametrize("ip", ["0.0.0.0", "::"])
def test_nowhere_is_no_pod(ip: str) -> None:
    """How name servers filter: connect() would take it for this very host."""

    async def test(world: World) -> None:
        world.dns.set(WEB, [ip, IPS[0]])
        await world.discovery.poll()

        assert world.ips == [IPS[0]]

    with_world(test, by=virtual.with_sockets)


# --- the log ------------------------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of DNS; what becomes of the pool is the pool's to say."""
    return [record.getMessage() for record in caplog.records if record.name == "headway.dns"]


def test_garbage_is_mentioned_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """One line for each kind and minute, with how many more there were; where it came from is in it."""
    caplog.set_level(logging.INFO, "headway.dns")

    async def test(world: World) -> None:
        world.dns.script = spoiled(foreign_names, world.dns)
        where = f"A {WEB} from {world.dns.address}"
        said = f"web: DNS, {where}: a reply whose records answer no question of ours: not used"
        for _ in range(12):
            await world.discovery.poll()
            world.clock.advance(5)
        assert lines(caplog) == [said]

        await world.discovery.poll()
        assert lines(caplog) == [said, f"{said} (11 more since the last line)"]

    with_world(test, by=virtual.with_sockets, IP_FAMILY="ipv4")


def test_each_kind_has_its_own_line(caplog: pytest.LogCaptureFixture) -> None:
    """That garbage was mentioned does not hide that answers are cut off."""

    async def test(world: World) -> None:
        world.dns.script = spoiled(foreign_names, world.dns)
        await world.discovery.poll()
        world.dns.script = lambda query, transport: pack(answer_of(query, FORGED, tc=1))
        await world.discovery.poll()

        assert len(lines(caplog)) == 2
        assert "cut off at 64 kB: nobody leaves by it" in lines(caplog)[1]

    caplog.set_level(logging.WARNING, "headway.dns")
    with_world(test, by=virtual.with_sockets, IP_FAMILY="ipv4")


def test_a_question_is_asked_anew_each_time() -> None:
    """Garbage leaves no trace in the resolver: the next query of the same resolver works."""

    async def test(world: World) -> None:
        same = resolver(world.dns)
        world.dns.script = lambda *_: b"?"
        await same.query(WEB, "A")
        world.dns.script = None

        assert sorted((await same.query(WEB, "A")).ips) == sorted(IPS)

    with_world(test, by=virtual.with_sockets)
