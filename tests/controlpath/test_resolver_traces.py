"""The resolver remembers nothing, leaves nothing behind, and is cheap while it waits."""

import asyncio
import logging
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from proxy.demo.dns import DnsServer
from proxy.demo.zone import Mode
from proxy.model import AnswerKind
from tests.controlpath.asking import (
    WEB,
    descriptors,
    left,
    pack,
    received,
    resolver,
    scripted,
    threads,
    with_dns,
)
from tests.support import eventually, run


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("mode", ["answer", "nxdomain", "empty"])
def test_every_query_reaches_the_server(mode: Mode) -> None:
    """Whatever the TTL (30 s here) says, each poll is a packet: c-ares would answer from its cache."""

    async def test(dns: DnsServer) -> None:
        dns.mode = mode
        same = resolver(dns)
        for _ in range(5):
            await same.query(WEB, "A")

        assert dns.count() == 5

    with_dns(test)


def test_families_leave_from_different_ports() -> None:
    """Two queries from one port at a time may meet in conntrack, and one is lost (kubernetes#56903)."""
    ports: list[int] = []

    def reply(query: Any, peer: Any) -> bytes:
        ports.append(peer[1])
        return pack(query.reply())

    async def story() -> None:
        async with scripted(reply) as server:
            await asyncio.gather(*(resolver(server).query(WEB, qtype) for qtype in ("A", "AAAA")))

    run(story())
    assert len(set(ports)) == len(ports) == 2


def test_a_query_costs_one_descriptor_and_no_thread() -> None:
    """A hundred queries under way are a hundred sockets; c-ares' event threads would be 100 and 500."""

    async def test(dns: DnsServer) -> None:
        await resolver(dns).query(WEB, "A")  # starts the one thread that destroys channels
        dns.mode = "drop"
        threads_before, before = threads(), len(descriptors())

        patient = resolver(dns, timeout_s=60.0)  # none of them is asked a second time
        asking = [asyncio.ensure_future(patient.query(WEB, "A")) for _ in range(100)]
        await received(dns, 101)

        assert len(descriptors()) - before == 100
        assert threads() == threads_before

        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

        assert len(descriptors()) == before

    with_dns(test)


@pytest.mark.slow
def test_waiting_for_tcp_is_idle() -> None:
    """While a server takes its time over TCP, no CPU is burnt: aiodns' own loop mode spins here."""

    async def test(dns: DnsServer) -> None:
        dns.set(WEB, [f"127.0.1.{number}" for number in range(1, 100)])
        dns.delay_s = 0.25  # over UDP, then over TCP
        began = time.process_time()

        found = await resolver(dns).query(WEB, "A")

        assert len(found.ips) == 99
        assert dns.queries[1].transport == "tcp"
        assert time.process_time() - began < 0.15

    with_dns(test)


@pytest.mark.slow
@pytest.mark.parametrize("pods,queries", [(3, 200), (80, 50)])
def test_many_queries_leave_nothing_behind(pods: int, queries: int) -> None:
    """Over UDP or TCP, answered, denied or cancelled at any point: no descriptor or thread stays."""

    async def test(dns: DnsServer) -> None:
        idle = descriptors()
        await resolver(dns, use_vc=True).query(WEB, "A")  # starts the threads that stay: two
        await left(idle)
        before = descriptors(), threads()
        dns.set(WEB, [f"127.0.1.{number}" for number in range(pods)])

        for number in range(queries):
            name = WEB if number % 4 else "typo."
            asking = asyncio.ensure_future(resolver(dns).query(name, "A"))
            if number % 3 == 0:
                await asyncio.sleep(0.0005 * (number % 10))
                asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

        async def as_before() -> bool:  # the server too ends its connections
            return (descriptors(), threads()) == before

        await eventually(as_before)

    with_dns(test)


def test_no_descriptor_left_is_a_failed_query(caplog: pytest.LogCaptureFixture) -> None:
    """Without a descriptor nothing can be asked: not an exception, and over as soon as there is one."""

    async def test(dns: DnsServer) -> None:
        with no_descriptor_left():
            reply = await resolver(dns, timeout_s=0.1).query(WEB, "A")

        assert reply.kind is AnswerKind.FAILED
        assert len((await resolver(dns).query(WEB, "A")).ips) == 3
        assert caplog.records == []

    caplog.set_level(logging.DEBUG)
    with_dns(test)
