"""Pods with a fault of one's choice: listeners on 127.0.0.x, each with an act that may change at any time."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from proxy.demo.ports import free_ports
from tests.datapath.peers import Peer

Act = Callable[[Peer], Awaitable[object]]


async def resets_at_once(peer: Peer) -> None:
    peer.reset()


async def ends_at_once(peer: Peer) -> None:
    peer.close()


async def says_nothing(peer: Peer) -> None:
    """A black hole behind the connect: its kernel takes all, nobody answers."""
    await asyncio.Event().wait()


class Pod:
    """Does `act` with each connection. What it has not accepted is reset when it closes, as by a crash."""

    def __init__(self, ip: str, port: int, act: Act) -> None:
        self.ip, self.port = ip, port
        self.act = act
        self.taken = 0
        self.buffer = 0  # bytes that its kernel holds either way; 0: as usual
        self._listener: socket.socket | None = None
        self._acting: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> tuple[str, int]:
        return self.ip, self.port

    def open(self, *, accepts: bool = True) -> None:
        """Listen, anew if it does already. Who does not accept lets them wait in its backlog."""
        self.close()
        sock = self._listener = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.buffer:
            narrow(sock, self.buffer)
        sock.bind(self.address)
        sock.listen(1024)
        sock.setblocking(False)
        if accepts:
            asyncio.get_running_loop().add_reader(sock, self._accept)

    def close(self) -> None:
        """Connections that it has taken live on."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def flap(self, every_s: float) -> None:
        """Close and open the listener in turn, for ever."""
        while True:
            self.close()
            await asyncio.sleep(every_s)
            self.open()
            await asyncio.sleep(every_s)

    async def end(self) -> None:
        """With all that it has."""
        self.close()
        for task in self._acting:
            task.cancel()
        await asyncio.gather(*self._acting, return_exceptions=True)

    def _accept(self) -> None:
        assert self._listener is not None
        with suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                sock, _ = self._listener.accept()
                self.taken += 1
                task = asyncio.create_task(self._play(Peer(sock)))
                self._acting.add(task)
                task.add_done_callback(self._acting.discard)

    async def _play(self, peer: Peer) -> None:
        try:
            with suppress(OSError):  # its client was reset
                await self.act(peer)
        finally:
            peer.close()


@asynccontextmanager
async def pods(*acts: Act, first: int = 41) -> AsyncIterator[list[Pod]]:
    """A pod for each act, on 127.0.0.`first` and up, all on one port."""
    ips = [f"127.0.0.{first + number}" for number in range(len(acts))]
    (port,) = free_ports(1, ips)
    born = [Pod(ip, port, act) for ip, act in zip(ips, acts, strict=True)]
    try:
        for pod in born:
            pod.open()
        yield born
    finally:
        for pod in born:
            await pod.end()


def narrow(sock: socket.socket, size: int) -> None:
    """Before it connects or listens: so many bytes fit, and with them the window that the other side sees."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def target(some: list[Pod]) -> str:
    """The TARGET that lists them."""
    return "static://" + ",".join(f"{pod.ip}:{pod.port}" for pod in some)


@asynccontextmanager
async def meanwhile(*works: Awaitable[object]) -> AsyncIterator[None]:
    """These go on beside the story, and end with it."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
