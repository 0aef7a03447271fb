"""Pods for the tests of health checks that speak: they hear a request out and answer it as they are told."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

from proxy.controlpath.checks import Check, make_check
from proxy.datapath.connector import Connector
from proxy.datapath.sockets import Tuning
from proxy.model import Address
from tests.support import eventually, run, service_settings

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def check_of(**variables: str) -> Check:
    """The check that these settings ask for."""
    return make_check(service_settings(**{"TARGET": "web.demo:80"} | variables), Connector(Tuning()).connect)


class TalkingPod:
    """`talk` has each connection. `endings` says of each how it ended for the pod: "end" or "reset"."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.endings: list[str] = []
        self.address = Address("", 0)

    async def saw(self, count: int) -> list[str]:
        """How the connections ended, once so many have."""

        async def look() -> bool:
            return len(self.endings) >= count

        await eventually(look)
        return self.endings

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
            await writer.drain()
            while await reader.read(1 << 16):
                pass
            await asyncio.sleep(0.02)  # a reset may come after the end, when the pod has more to say
            error = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self.endings.append("reset" if error else "end")
        except (ConnectionError, RuntimeError):  # uvloop calls writing to who is gone a RuntimeError
            self.endings.append("reset")
        finally:
            writer.close()


@asynccontextmanager
async def talking(talk: Talk, ip: str = "127.0.0.1") -> AsyncIterator[TalkingPod]:
    pod = TalkingPod(talk)
    server = await asyncio.start_server(pod.serve, ip, 0)
    pod.address = Address(*server.sockets[0].getsockname()[:2])
    try:
        yield pod
    finally:
        server.close()


def answering(*pieces: bytes, heard: list[str] | None = None, then_close: bool = False) -> Talk:
    """Hears a request out, keeps it in `heard`, and sends these pieces."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(request.decode())
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.005)
        if then_close:
            writer.close()

    return talk


def http_check(talk: Talk, timeout_s: float = 1.0, **variables: str) -> None:
    """Checks a pod that talks so. Raises what the check raises."""

    async def story() -> None:
        async with talking(talk) as pod:
            await check_of(HEALTH_CHECK="http", **variables)(pod.address, timeout_s)

    run(story())


class GrpcServer(NamedTuple):
    healthy: Address
    bare: Address  # it has no health service


@contextmanager
def grpc_server() -> Iterator[GrpcServer]:
    """A real one, in a process of its own."""
    arguments = [sys.executable, "-m", "tests.controlpath.grpc_pod"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ports = process.stdout.readline().split()
        try:
            yield GrpcServer(*(Address("127.0.0.1", int(port)) for port in ports))
        finally:
            process.terminate()
