"""Large answers: read in a thread, so that traffic goes on, and given up without a trace."""

import asyncio
import threading
from typing import Any, ClassVar

import dnslib
import pycares
import pytest

from proxy.controlpath import channel
from proxy.demo.dns import DnsServer
from proxy.policy.records import read
from proxy.tasks import spawn
from tests.controlpath.asking import MANY, WEB, descriptors, left, over_tcp, received, resolver, with_dns
from tests.support import eventually, run


class Held:
    """Stands in for the reading of records: notes its thread, and goes on when told to."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.go_on = threading.Event()

    def __call__(self, *args: Any) -> Any:
        self.threads.add(threading.get_ident())
        assert self.go_on.wait(10), "nobody told it to go on: the loop stands still"
        return read(*args)

    async def reached(self) -> None:
        async def look() -> bool:
            return bool(self.threads)

        await eventually(look)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    held = Held()
    monkeypatch.setattr(channel, "read", held)
    return held


def test_a_large_answer_is_read_in_a_thread(held: Held) -> None:
    """While the records of 200 pods are read, the loop goes on serving."""

    async def test(dns: DnsServer) -> None:
        dns.set(WEB, MANY)
        asking = spawn(resolver(dns, timeout_s=20.0).query(WEB, "A"), name="query")
        await held.reached()  # the loop runs this while the records are being read
        assert not asking.done()
        held.go_on.set()

        assert len((await asking).ips) == 200
        assert threading.get_ident() not in held.threads

    with_dns(test)


def test_nobody_waits_for_the_end_of_the_reading(held: Held) -> None:
    """A query cancelled while its records are read leaves no descriptor, and upsets nobody."""
    faults: list[Any] = []

    async def test(dns: DnsServer) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        dns.set(WEB, MANY)
        before = descriptors()
        asking = spawn(resolver(dns, timeout_s=20.0).query(WEB, "A"), name="query")
        await held.reached()
        asking.cancel()
        await asyncio.sleep(0.01)
        held.go_on.set()
        await asyncio.gather(asking, return_exceptions=True)

        assert asking.cancelled()
        await left(before)
        assert sorted((await resolver(dns, timeout_s=20.0).query(WEB, "A")).ips) == sorted(MANY)

    with_dns(test)
    assert faults == []


@pytest.mark.slow
def test_the_deadline_passes_during_the_reading(held: Held) -> None:
    """When DNS_TIMEOUT is over before the records are read, that is a timeout, and nothing is left."""

    async def test(dns: DnsServer) -> None:
        dns.set(WEB, MANY)
        before = descriptors()
        asking = spawn(resolver(dns, timeout_s=0.25).query(WEB, "A"), name="query")
        await held.reached()
        await asyncio.sleep(0.26)
        held.go_on.set()

        assert (await asking).result == "timeout"
        await left(before)

    with_dns(test)


class Watched(pycares.Channel):
    """Notes how many threads are in it when it is closed; they leave it when they are told to."""

    closed_under: ClassVar[list[int]] = []
    go_on = threading.Event()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.busy = 0

    def process_fd(self, read_fd: int, write_fd: int) -> None:
        self.busy += 1
        super().process_fd(read_fd, write_fd)
        if threading.current_thread() is not threading.main_thread():
            self.go_on.wait(10)
        self.busy -= 1

    def close(self) -> None:
        self.closed_under.append(self.busy)
        super().close()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    Watched.closed_under.clear()
    Watched.go_on.clear()
    monkeypatch.setattr("pycares.Channel", Watched)
    return Watched


def test_a_query_given_up_when_it_is_answered(watched: type[Watched]) -> None:
    """Cancelled between the reply and the reader's end: the channel is closed when its thread is out."""

    async def test(dns: DnsServer) -> None:
        asking = spawn(resolver(dns, use_vc=True).query(WEB, "A"), name="query")
        await received(dns, 1)
        await asyncio.sleep(0.05)  # the reply has been read, its thread has not ended
        asking.cancel()
        await asyncio.sleep(0.01)
        watched.go_on.set()
        await asyncio.gather(asking, return_exceptions=True)

        async def closed() -> bool:
            return bool(watched.closed_under)

        await eventually(closed)
        assert watched.closed_under == [0]

    with_dns(test)


@pytest.mark.slow
def test_no_channel_is_closed_under_a_thread(watched: type[Watched]) -> None:
    """c-ares would use memory that is freed: giving up a reply that still comes waits for its reader."""
    watched.go_on.set()

    async def talk(reply: bytes, writer: asyncio.StreamWriter) -> None:
        for at in range(0, len(reply), 500):
            writer.write(reply[at : at + 500])
            await asyncio.sleep(0)

    async def story() -> None:
        async with over_tcp(talk, *MANY * 2) as server:
            for number in range(20):
                asking = spawn(resolver(server, use_vc=True).query(WEB, "A"), name="query")
                await asyncio.sleep(0.001 * number)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)

    run(story())
    assert set(watched.closed_under) == {0}


@pytest.mark.slow
@pytest.mark.parametrize("pods", [200, 1000, 4000])
def test_cancelled_at_any_moment(pods: int) -> None:
    """Whenever a query over TCP is given up, nothing of it is left."""

    async def test(dns: DnsServer) -> None:
        dns.set(
            WEB, [f"127.{number // 62500}.{number // 250 % 250}.{number % 250}" for number in range(pods)]
        )
        query = dns.packet(dnslib.DNSRecord.question(WEB), "tcp")
        dns.script = lambda asked, transport: _with_id(query, asked) if transport == "tcp" else None
        await resolver(dns, timeout_s=20.0).query(WEB, "A")
        await asyncio.sleep(0.05)
        before = descriptors()
        for number in range(40):
            asking = spawn(resolver(dns, use_vc=True).query(WEB, "A"), name="query")
            await asyncio.sleep(0.0005 * number)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await left(before)

        assert len((await resolver(dns, timeout_s=20.0).query(WEB, "A")).ips) == pods

    with_dns(test)


def _with_id(packet: bytes | None, query: Any) -> bytes:
    """The packet written once, for this query: dnslib takes a while for thousands of records."""
    assert packet is not None
    return int(query.header.id).to_bytes(2) + packet[2:]
