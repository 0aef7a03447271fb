"""A whole service whose pods get company while connections are held: who moves, how fast, what is lost."""

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest

from proxy.clock import SystemClock
from proxy.config import from_env
from proxy.controlpath.resolv_conf import ResolvConfFile
from proxy.datapath import engines
from proxy.datapath.slots import Slots
from proxy.model import Answer
from proxy.policy.rebalance import LOOK_EVERY_S
from proxy.service import Service
from tests.datapath.peers import Peer
from tests.datapath.scenes import Pod, echoing, pods
from tests.support.virtual import LoopClock, with_sockets

pytestmark = pytest.mark.slow

HELD = 38
BIG = 1 << 20
DEFAULTS = {
    "TARGET": "web:80",
    "LISTEN": "127.0.0.1:0",
    "HEALTH_CHECK": "off",
    "IDLE_TIMEOUT": "0",
    "RELAY": "asyncio",  # the native one's threads know no virtual time
}


class VirtualClock(LoopClock, SystemClock):
    """The service's, by the loop's time."""


class Scene:
    """A service of which DNS lists some pods, and clients that hold their connections."""

    def __init__(self, service: Service, born: list[Pod]) -> None:
        self.pool = service.pool
        self.rest = service.rest
        self.pods = born
        self.closed_at: list[float] = []  # when connections at rest were
        host, _, port = service.listens_on.rpartition(":")
        self._address = host, int(port)
        self._clients: list[asyncio.Task[None]] = []

    def list_pods(self, count: int) -> None:
        self.pool.apply(Answer.of(pod.address for pod in self.pods[:count]))

    def counts(self) -> list[int]:
        by_address = {each.address: each.in_flight for each in self.pool.members}
        return [by_address.get(pod.address, 0) for pod in self.pods]

    async def evens_out(self, least: int) -> None:
        """Returns once every pod has so many connections."""
        for _ in range(360):
            if min(self.counts()) >= least:
                return
            await asyncio.sleep(1)
        raise AssertionError(f"{self.counts()} after six minutes")

    async def begin(self, client: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._clients.append(asyncio.create_task(client))
        await asyncio.sleep(0.01)
        return self._clients[-1]

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Peer]:
        with socket.socket() as sock:
            peer = Peer(sock)
            await asyncio.get_running_loop().sock_connect(sock, self._address)
            await self.talk(peer)
            yield peer

    async def talk(self, peer: Peer) -> None:
        await peer.send(b"hello")
        assert await peer.receive(5) == b"hello"

    async def leaves(self) -> None:
        """Asks once and waits for better times, until it is closed, by a FIN."""
        async with self.connection() as peer:
            assert await peer.rest() == b""
        self.closed_at.append(asyncio.get_running_loop().time())

    async def holds(self) -> None:
        """The same, and connects anew."""
        while True:
            await self.leaves()
            await asyncio.sleep(0.5)

    async def talks(self) -> None:
        """Has something to say for two minutes and a half, and then stays."""
        async with self.connection() as peer:
            for _ in range(600):
                await self.talk(peer)
                await asyncio.sleep(0.25)
            await asyncio.sleep(3600)

    async def dawdles(self) -> None:
        """Does not take what it is sent for six minutes, then all of it."""
        said = Random(4).randbytes(BIG)
        async with self.connection() as peer:
            sending = asyncio.create_task(peer.send(said))
            await asyncio.sleep(360)
            assert await peer.receive(BIG) == said
            await sending

    async def end(self) -> None:
        for client in self._clients:
            client.cancel()
        for problem in await asyncio.gather(*self._clients, return_exceptions=True):
            assert problem is None or isinstance(problem, asyncio.CancelledError)


@asynccontextmanager
async def scene(**settings: str) -> AsyncIterator[Scene]:
    """Four pods, of which two are listed."""
    clock, variables = VirtualClock(), DEFAULTS | settings
    process = from_env({f"HEADWAY_{name}": value for name, value in variables.items()}).settings
    async with AsyncExitStack() as cleanup:
        born = await cleanup.enter_async_context(pods(*[echoing] * 4))
        engine = engines.start(process, clock, cleanup)
        room, slots = asyncio.Semaphore(9), Slots(1000, clock)
        service = Service(process.services[0], ResolvConfFile(), slots, room, clock, "shop-1", engine)
        for listener in service.listeners:
            cleanup.callback(listener.close)
            listener.start()
        it = Scene(service, born)
        it.list_pods(2)
        yield it
        await it.end()
        service.relay.abort()
        await asyncio.sleep(1)


def test_connections_move_to_newcomers() -> None:
    """40 connections on two pods, two more come: in minutes each has its share, at most half of all move in
    one minute, after the slow start, and who is in the middle of something does not notice.
    """

    async def test() -> None:
        async with scene(REBALANCE="50%") as it:
            busy = [await it.begin(it.talks()), await it.begin(it.dawdles())]
            for _ in range(HELD):
                await it.begin(it.holds())
            assert it.counts() == [20, 20, 0, 0]
            it.list_pods(4)
            came_at = asyncio.get_running_loop().time()
            await asyncio.sleep(9)
            assert not it.closed_at
            await it.evens_out(9)
            await asyncio.sleep(60)

            moved, moves = it.pool.counters.outcomes["rebalanced"], it.closed_at
            assert len(moves) == moved == it.pool.counters.outcomes.total()
            assert max(sum(at <= each < at + 60 for each in moves) for at in moves) <= 20
            assert moves[0] > came_at + 10
            await asyncio.sleep(30)
            assert it.pool.counters.outcomes["rebalanced"] == moved
            assert not busy[0].done()
            await busy[1]

    with_sockets(test(), within_s=3600)


def test_it_rests_while_the_process_drains() -> None:
    """Those that were asked to move may still do so, and nobody else, whoever comes."""

    async def test() -> None:
        async with scene(REBALANCE="50%", SLOW_START="0") as it:
            for _ in range(HELD):
                await it.begin(it.holds())
            it.list_pods(3)
            await asyncio.sleep(3 * LOOK_EVERY_S)
            it.rest()
            await asyncio.sleep(LOOK_EVERY_S)
            moved = it.pool.counters.outcomes["rebalanced"]
            it.list_pods(4)
            await asyncio.sleep(60)

            assert it.pool.counters.outcomes["rebalanced"] == moved > 0

    with_sockets(test(), within_s=3600)


def test_off_nothing_moves() -> None:
    """Without REBALANCE connections stay where they are."""

    async def test() -> None:
        async with scene() as it:
            for _ in range(HELD):
                await it.begin(it.holds())
            it.list_pods(4)
            await asyncio.sleep(240)

            assert it.counts() == [19, 19, 0, 0]
            assert not it.pool.counters.outcomes

    with_sockets(test(), within_s=3600)


def test_clients_that_do_not_come_back() -> None:
    """Nobody is closed below the share that was his, however few connections there are then."""

    async def test() -> None:
        async with scene(REBALANCE="100%", SLOW_START="0") as it:
            for _ in range(HELD + 2):
                await it.begin(it.leaves())
            it.list_pods(4)
            await asyncio.sleep(240)

            assert it.counts() == [10, 10, 0, 0]

    with_sockets(test(), within_s=3600)
