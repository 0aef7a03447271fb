"""The far ends of what is under test: real sockets on loopback, with a word for each way to end one."""

import asyncio
import gc
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from hashlib import sha256
from resource import RLIMIT_NOFILE, getrlimit, setrlimit

from proxy.datapath.sockets import arm_reset
from proxy.model import Address

MIB = 1 << 20
IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: the port is chosen when it connects
CLOSED_WITHIN_S = 5.0  # takes a millisecond where a core is free


class Peer:
    """One end of a connection, as an application holds it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock

    async def send(self, data: bytes | memoryview) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self, size: int) -> bytes:
        """Exactly `size` bytes, or fewer when it ends before."""
        got = bytearray()
        while len(got) < size and (data := await self._some(size - len(got))):
            got += data
        return bytes(got)

    async def rest(self) -> bytes:
        """All until the other end's FIN. Raises ConnectionResetError when it is a reset."""
        return await self.receive(1 << 40)

    async def checksum(self) -> str:
        """Of all until the other end's FIN, however much that is."""
        seen = sha256()
        while data := await self._some(MIB):
            seen.update(data)
        return seen.hexdigest()

    async def was_reset(self) -> bool:
        """How the connection ended: by a reset, or else by a FIN. Waits for it."""
        try:
            await self.checksum()
        except ConnectionResetError:
            return True
        return False

    async def _some(self, most: int) -> bytes:
        data = await asyncio.get_running_loop().sock_recv(self.sock, min(most, MIB))
        return bytes(data)

    def finish(self) -> None:
        """Send a FIN, and stay to hear what the other has to say."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        arm_reset(self.sock)
        self.sock.close()


def listening(backlog: int = 1024, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """A non-blocking listening socket on a free port of loopback."""
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    sock.listen(backlog)
    sock.setblocking(False)
    return sock


# One for all: with a listener for each connection, thousands of tests would use up the ports
# of a minute (TIME_WAIT), and the kernel would search long for one that is left.
_door = listening()


def connected(buffer: int = 0, ip: str = "127.0.0.1") -> tuple[Peer, socket.socket]:
    """A far end at `ip`, and the accepted socket that belongs to it. `buffer` bounds the kernel's part."""
    with listening() if buffer else nullcontext(_door) as listener:
        far = socket.socket()
        far.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        far.bind((ip, 0))
        for sock in (listener, far) if buffer else ():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        far.connect(listener.getsockname())
        near, _ = listener.accept()
        near.setblocking(False)
        return Peer(far), near


async def settled(value: Callable[[], int], quiet_s: float = 0.05) -> int:
    """The number that `value` gives, once it has stopped changing for `quiet_s`."""
    before = -1
    while (now := value()) != before:
        before = now
        await asyncio.sleep(quiet_s)
    return now


@asynccontextmanager
async def no_socket_lost() -> AsyncIterator[None]:
    """Whatever happens inside, no socket is open after it that was not open before."""
    gc.collect()
    before = open_sockets()
    yield
    deadline = time.monotonic() + CLOSED_WITHIN_S
    while True:
        left = open_sockets() - before
        if not left or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.001)  # the loop closes in its next turn, a relay's thread in its own
    assert not left


def open_sockets() -> set[str]:
    """Every socket that this process has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own descriptor
            found.add(os.readlink(f"/proc/self/fd/{name}"))
    return {name for name in found if name.startswith("socket:")}


def address_of(listener: socket.socket) -> Address:
    return Address(*listener.getsockname()[:2])


@contextmanager
def refusing() -> Iterator[Address]:
    """A pod that has an address, and nobody who listens on it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield address_of(taken)


@contextmanager
def black_hole() -> Iterator[Address]:
    """A pod that does not answer: its accept queue is full, so the kernel drops what comes."""
    with listening(backlog=0) as listener, ExitStack() as waiting:
        for _ in range(4):
            sock = waiting.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield address_of(listener)


@contextmanager
def no_descriptor_free() -> Iterator[None]:
    """This process can open nothing more."""
    soft, hard = getrlimit(RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    setrlimit(RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        setrlimit(RLIMIT_NOFILE, (soft, hard))


def stall(seconds: float) -> None:
    """The whole process stands still, as under a cgroup's CPU limit."""
    time.sleep(seconds)
