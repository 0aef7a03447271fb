"""The load of the demo: what it must count as lost, whatever a broken proxy sends it."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from proxy.demo.load import Load

NAMES = {"127.0.0.11": "web-0"}
Behaviour = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


def right_body(path: str) -> str:
    return f"web-0 127.0.0.11 {path}\n"


def http(text: str, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(text) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n{text}".encode()


async def served_by(behaviour: Behaviour, test: Callable[[tuple[str, int]], Awaitable[None]]) -> None:
    """Runs the test against a server that treats each request like this."""

    handled: list[asyncio.Task[None] | None] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handled.append(asyncio.current_task())
        request = await reader.readuntil(b"\r\n\r\n")
        await behaviour(request.split()[1].decode(), writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        await test(server.sockets[0].getsockname())
    finally:
        server.close()
        await asyncio.gather(*filter(None, handled))
        await server.wait_closed()


def verdict(behaviour: Behaviour) -> dict[str, int]:
    """What one connection was lost for; nothing when it was answered rightly."""
    lost: dict[str, int] = {}

    async def test(address: tuple[str, int]) -> None:
        load = Load(address, NAMES, answer_within_s=0.1)
        await load.connect_once()
        lost.update(load.lost)
        assert load.connections == 1
        assert load.failed == load.lost.total()

    asyncio.run(served_by(behaviour, test))
    return lost


async def right(path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(http(right_body(path)))


async def wrong_pod(path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(http(right_body(path).replace("web-0", "web-9")))


async def unknown_pod(path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(http(f"web-7 127.0.0.77 {path}\n"))


async def anothers_answer(path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(http(right_body(path + "0")))


async def error_page(path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(http(right_body(path), "503 Busy"))


async def too_much(path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(http(right_body(path)) + b"and more")


async def empty(path: str, writer: asyncio.StreamWriter) -> None:
    pass


async def half(path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(http("web-0 127", length=20))


async def reset(path: str, writer: asyncio.StreamWriter) -> None:
    linger_zero = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)


async def silent(path: str, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.15)


@pytest.mark.parametrize(
    "behaviour,reason",
    [
        (wrong_pod, "wrong"),
        (unknown_pod, "wrong"),
        (anothers_answer, "wrong"),
        (error_page, "wrong"),
        (too_much, "wrong"),
        (empty, "empty"),
        (half, "cut"),
        (reset, "reset"),
        (silent, "timeout"),
    ],
)
def test_anything_but_the_right_answer_is_a_failure(behaviour: Behaviour, reason: str) -> None:
    """The demo's "0 failed" means that every answer was whole, right and meant for this very connection."""
    assert verdict(behaviour) == {reason: 1}


def test_the_right_answer_is_no_failure() -> None:
    """A healthy proxy gets a clean record."""
    assert verdict(right) == {}


def test_refused_is_a_failure() -> None:
    """A proxy that does not listen loses connections like any other fault."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    load = Load(address, NAMES)
    asyncio.run(load.connect_once())

    assert load.lost == {"refused": 1}


def test_counts_by_pod_and_stops_cleanly() -> None:
    """The totals add up when the load is told to stop: nothing in flight is forgotten."""
    answered = 0

    async def count(path: str, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        answered += 1
        await right(path, writer)
        if answered == 20:
            loads[0].stop()

    async def test(address: tuple[str, int]) -> None:
        loads.append(Load(address, NAMES, per_second=2000))
        await loads[0].run(workers=4)

    loads: list[Load] = []
    asyncio.run(served_by(count, test))
    (load,) = loads

    assert load.per_pod == {"127.0.0.11": answered}
    assert (load.connections, load.failed, load.shares()) == (answered, 0, {"127.0.0.11": 1.0})
    assert load.first_seen["127.0.0.11"] < load.last_seen["127.0.0.11"]


def test_the_rate_is_bounded() -> None:
    """A demo leaves the machine usable: no worker runs ahead of the agreed rate."""

    async def test(address: tuple[str, int]) -> None:
        load = Load(address, NAMES, per_second=100)
        running = asyncio.gather(load.run(workers=8), return_exceptions=True)
        await asyncio.sleep(0.1)
        load.stop()
        await running

        assert 5 <= load.connections <= 11

    asyncio.run(served_by(right, test))
