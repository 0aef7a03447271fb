"""A whole data path in one process: good and bad pods, a pool that knows them, sessions, their clients."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from random import Random

from proxy.clock import SystemClock
from proxy.config import hashes
from proxy.datapath.engines import with_spares
from proxy.datapath.hash_key import make_key_of
from proxy.datapath.queue import Queue
from proxy.datapath.relay import Timeouts
from proxy.datapath.session import Sessions
from proxy.datapath.slots import SharedSlots, Slots
from proxy.model import Address, Answer, Clock
from proxy.observe.counters import ServiceCounters
from proxy.policy.endpoint import Endpoint
from proxy.pool import Pool
from tests.datapath.peers import Peer, address_of, connected, listening
from tests.datapath.relays import BY_DEFAULT, TUNING
from tests.support import service_settings

Act = Callable[[socket.socket], None]

DEFAULTS = {
    "LISTEN": "127.0.0.1:2",  # never bound: the tests hand accepted sockets over
    "HEALTH_CHECK": "off",
    "EJECT_AFTER": "0",
    "BALANCER": "least_connections",
}


class Pod:
    """A pod that does `act` with every connection it accepts."""

    def __init__(self, act: Act, backlog: int = 4096) -> None:
        self._act = act
        self._listener = listening(backlog)
        self.address = address_of(self._listener)
        self.accepted: list[Peer] = []
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                sock, _ = self._listener.accept()
                self.accepted.append(Peer(sock))
                self._act(sock)

    @contextmanager
    def vanished(self) -> Iterator[None]:
        """It answers nothing meanwhile, and its connections hear nothing of that."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        self._listener.listen(0)
        with ExitStack() as waiting:
            for _ in range(4):
                sock = waiting.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(self.address)
            yield
        self._listener.listen(4096)
        loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        for peer in self.accepted:
            peer.close()


def silent(sock: socket.socket) -> None:
    """Accepts, and leaves the rest to the test."""


def echoing(sock: socket.socket) -> None:
    """Says everything back until the FIN, then closes."""
    asyncio.create_task(_echo(Peer(sock))).add_done_callback(lambda task: task.exception())


async def _echo(peer: Peer) -> None:
    with suppress(OSError):
        while data := await asyncio.get_running_loop().sock_recv(peer.sock, 1 << 16):
            await peer.send(data)
    peer.close()


def resetting(sock: socket.socket) -> None:
    Peer(sock).reset()


def closing(sock: socket.socket) -> None:
    sock.close()


@asynccontextmanager
async def pods(*acts: Act) -> AsyncIterator[list[Pod]]:
    every = [Pod(act) for act in acts]
    try:
        yield every
    finally:
        for pod in every:
            pod.close()


class Seat(Slots):
    """The slot of one session. Tells when that is over."""

    def __init__(self, slots: Slots, over: asyncio.Event) -> None:
        super().__init__(1, slots.clock)
        self._slots = slots
        self._over = over

    def take(self) -> None:
        self._slots.take()

    def release(self) -> None:
        self._slots.release()
        self._over.set()


class Scene:
    """One service that knows `addresses` and, unless told, neither checks nor ejects.

    It tries them in the order given, the later in the row, the busier they look; unless they have a cap.
    """

    def __init__(
        self, addresses: Iterable[Address] = (), clock: Clock | None = None, /, **settings: str
    ) -> None:
        clock = clock or SystemClock()
        self.settings = service_settings(**(DEFAULTS | settings))
        self.counters = ServiceCounters()
        self.pool = Pool(self.settings, self.counters, clock, Random(1))
        self._busy: dict[Endpoint, int] = {}
        self.relay = BY_DEFAULT(Timeouts(60.0, 60.0), self.counters)
        self._clock = clock
        self.slots = Slots(10_000, clock)
        if self.settings.spare_connections != 0:
            self.slots = SharedSlots(10_000, clock)
            self.relay = with_spares(
                self.relay, self.settings, self.pool, self.slots, TUNING, clock, Random(1)
            )
        self.queue = Queue(self.pool, self.settings.queue_size)
        self.sessions = self._sessions(self.slots)
        self.learn(addresses)

    def learn(self, addresses: Iterable[Address]) -> None:
        """What a DNS answer would do."""
        in_order = list(addresses)
        if not in_order:
            return
        self.pool.apply(Answer.of(in_order))
        for endpoint in self.pool.members:
            if not self.settings.max_connections_per_endpoint:
                self._busy[endpoint] = in_order.index(endpoint.address) * 10_000
            endpoint.in_flight += self._busy.get(endpoint, 0)

    def endpoint(self, address: Address) -> Endpoint:
        return next(each for each in self.pool.members if each.address == address)

    @property
    def leases(self) -> int:
        """Endpoints in use, by all sessions together."""
        return sum(each.in_flight for each in self.pool.members) - sum(self._busy.values())

    @property
    def outcomes(self) -> dict[str, int]:
        return dict(self.counters.outcomes)

    @asynccontextmanager
    async def client(self, ip: str = "127.0.0.1") -> AsyncIterator[tuple[Peer, asyncio.Task[None]]]:
        """A client of the service, with the session that serves it."""
        peer, accepted = connected(ip=ip)
        session = asyncio.create_task(self.serve(accepted))
        try:
            yield peer, session
        finally:
            peer.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(session), 0.2)
            if not session.done():
                self.cut_off()
            await session

    def cut_off(self) -> None:
        """What the end of the process does to its connections."""
        self.queue.close()
        self.relay.abort()
        for task in asyncio.all_tasks():
            if task.get_name() == self.settings.name:
                task.cancel()

    def listen(self, accepted: socket.socket) -> None:
        """As the listener does it, from the loop."""
        asyncio.get_running_loop().call_soon(self.sessions.begin, accepted.detach())

    async def serve(self, accepted: socket.socket) -> None:
        """Returns when its session is over."""
        over = asyncio.Event()
        self._sessions(Seat(self.slots, over)).begin(accepted.detach())
        await over.wait()

    def _sessions(self, slots: Slots) -> Sessions:
        hashing = hashes(self.settings.balancer)
        key_of = make_key_of(self.settings, "this-pod", self._clock) if hashing else None
        return Sessions(self.settings, self.pool, self.relay, slots, self.queue, self._clock, key_of)

    async def ask(self, question: bytes = b"hello") -> bytes:
        """What a client hears that asks an echoing pod, finishes and waits for the end. Raises when reset."""
        async with self.client() as (peer, session):
            await peer.send(question)
            peer.finish()
            answer = await peer.rest()
            await session
            return answer
