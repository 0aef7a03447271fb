"""The load generator: what it counts is what really happened."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loadtest.compare import generator
from loadtest.compare.arithmetic import quantile
from loadtest.compare.generator import Generator, GeneratorError, Load, Outcome, Window
from proxy.model import Address

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
WINDOW = Window(seconds=0.6, warm_up=0.1, seed=7)
STALL_S = 0.25


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    directory = tmp_path_factory.mktemp("generator")
    generator.build(directory)
    return Generator(directory)


class Server:
    """Answers each request; with one of them, it and all that come after are kept waiting."""

    def __init__(self, reply: bytes = REPLY, stalls_at: int = 0) -> None:
        self.requests = self.connections = 0
        self._reply = reply
        self._stalls_at = stalls_at

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                if self.requests == self._stalls_at:
                    time.sleep(STALL_S)  # noqa: ASYNC251 - the whole server stands still
                writer.write(self._reply)
                if b"Connection: close" in head:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[Address]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listener:
        yield Address("127.0.0.1", listener.sockets[0].getsockname()[1])


async def load(built: Generator, server: Server, what: Load) -> Outcome:
    async with listening(server) as address:
        return await built.run(what, WINDOW, address, [os.getpid()])


def test_an_open_loop_sends_on_schedule_whatever_the_replies_do(built: Generator) -> None:
    """A stall delays all requests that were due in it, and not one of them is left out."""
    what = Load("open", connections=4, rate=500.0)
    calm = asyncio.run(load(built, Server(), what))
    stalled = asyncio.run(load(built, Server(stalls_at=100), what))

    assert stalled.requests == calm.requests  # the same seed is the same schedule
    assert 200 < calm.requests < 400  # 300 are due
    assert stalled.unanswered == stalled.errors == 0
    assert stalled.latency.max >= STALL_S * 0.9e9
    slow = sum(count for upper, count in stalled.latency.counts if upper > STALL_S / 2 * 1e9)
    assert slow >= 0.1 * stalled.requests  # half the stall is a fifth of the window
    assert quantile(stalled.late, 0.5) < 50e6


def test_a_closed_loop_sees_the_stall_only_once_a_connection(built: Generator) -> None:
    """Which is why latency is taken from an open one."""
    found = asyncio.run(load(built, Server(stalls_at=100), Load("kept", connections=4)))

    assert found.requests > 100
    assert sum(count for upper, count in found.latency.counts if upper > STALL_S / 2 * 1e9) <= 4


def test_a_new_connection_for_each_request(built: Generator) -> None:
    """As many were opened as requests were answered, but for those around the window."""
    server = Server()
    found = asyncio.run(load(built, server, Load("fresh", connections=4)))

    assert found.requests > 20 and found.errors == 0
    assert server.connections >= server.requests >= found.requests


def test_bytes_are_those_of_the_window(built: Generator) -> None:
    """Replies of a megabyte: what was received is what was answered, but for those on their way."""
    size = 1 << 20
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    found = asyncio.run(load(built, Server(reply), Load("kept", connections=2)))

    assert found.requests > 2
    assert abs(found.bytes - found.requests * len(reply)) <= 2 * len(reply)


def test_cpu_time_is_the_watched_processs(built: Generator) -> None:
    """This very process serves the requests, and can have used no more than its share of the window."""
    found = asyncio.run(load(built, Server(), Load("kept", connections=4)))

    assert len(found.cpu) == 1
    assert 0 < found.cpu[0] <= found.seconds * 1.05
    assert WINDOW.seconds * 0.9 < found.seconds < WINDOW.seconds * 2


def test_replies_that_are_none_are_counted(built: Generator) -> None:
    """A 503 after a good first reply is wrong, not fast."""

    class Failing(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await super().serve(reader, writer)
            self._reply = REPLY.replace(b"200 OK", b"503 NO")

    found = asyncio.run(load(built, Failing(), Load("kept", connections=1)))

    assert found.wrong > 0


def test_nobody_there_is_an_error(built: Generator) -> None:
    """Not an empty result."""
    with pytest.raises(GeneratorError, match="cannot connect"):
        asyncio.run(built.run(Load("kept", 1), WINDOW, Address("127.0.0.1", 1)))


def test_idle_connections_are_held_until_told(built: Generator) -> None:
    """All of them have served a request, and none is closed before."""

    async def hold() -> tuple[int, int]:
        server = Server()
        async with listening(server) as address, built.holding(20, address):
            return server.connections, server.requests

    assert asyncio.run(hold()) == (21, 21)  # one to learn the length of a reply


def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    """With all of them on."""
    generator.build(tmp_path, [*generator.FLAGS, "-Wall", "-Wextra", "-Werror"])
