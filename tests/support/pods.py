"""Pods for tests: real listening sockets on addresses 127.0.0.x, in the test's own loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

from proxy.demo.ports import free_ports


class Pod:
    """Greets with its ip, then echoes until its client is done. `held` are the connections open now."""

    def __init__(self, ip: str, port: int) -> None:
        self.ip = ip
        self.port = port
        self.taken = 0
        self.held: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, self.ip, self.port, backlog=1024)

    async def close(self) -> None:
        """Stop listening, hard: what waits in the backlog is reset. Connections taken live on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        self.held.add(writer)
        with suppress(OSError, asyncio.CancelledError):
            writer.write(f"{self.ip}\n".encode())
            while chunk := await reader.read(1 << 16):
                writer.write(chunk)
                await writer.drain()
        self.held.discard(writer)
        writer.close()


def pods(count: int, first: int = 21) -> AbstractAsyncContextManager[list[Pod]]:
    """`count` pods on 127.0.0.`first` and up, all on one port."""
    return pods_on(*(f"127.0.0.{first + number}" for number in range(count)))


@asynccontextmanager
async def pods_on(*ips: str) -> AsyncIterator[list[Pod]]:
    """A pod on each of these addresses, all on one port."""
    (port,) = free_ports(1, ips)
    async with AsyncExitStack() as cleanup:
        born = [Pod(ip, port) for ip in ips]
        for pod in born:
            await pod.open()
            cleanup.push_async_callback(pod.close)
        yield born


def static(some: list[Pod]) -> str:
    """The TARGET that lists these pods."""
    return "static://" + ",".join(pod.address for pod in some)


class Connection:
    """A client's connection through the proxy to a pod that greets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pod: str) -> None:
        self.reader = reader
        self.writer = writer
        self.pod = pod

    async def echo(self, data: bytes) -> bytes:
        """What comes back for `data`."""
        self.writer.write(data)
        return await self.reader.readexactly(len(data))

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


async def connect(address: tuple[str, int], source: str | None = None) -> Connection:
    """A connection that a pod has greeted; ConnectionError when none did."""
    local = (source, 0) if source is not None else None
    reader, writer = await asyncio.open_connection(*address, local_addr=local)
    greeting = await reader.readline()
    if not greeting.endswith(b"\n"):
        writer.close()
        raise ConnectionError(f"no greeting, only {greeting!r}")
    return Connection(reader, writer, greeting.decode().strip())


async def ask_once(address: tuple[str, int], source: str | None = None) -> str:
    """Connect, have one message echoed, close: the ip of the pod that served."""
    connection = await connect(address, source)
    try:
        if await connection.echo(b"ping") != b"ping":
            raise ConnectionError("a wrong echo")
    finally:
        await connection.close()
    return connection.pod


async def push_until_stalled(writer: asyncio.StreamWriter) -> int:
    """Send until nothing has been taken for half a second; how many bytes that were, buffers included."""
    chunk, sent = bytes(1 << 18), 0
    with suppress(TimeoutError):
        while True:
            writer.write(chunk)
            sent += len(chunk)
            async with asyncio.timeout(0.5):
                await writer.drain()
    return sent
