"""How HTTP health checks end: gently, soon, with nothing left, and our own faults are no pod's."""

import asyncio
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from proxy.errors import CheckFailed, ConnectTimeout, OutOfDescriptors, Refused
from proxy.model import Address
from tests.controlpath.asking import descriptors
from tests.controlpath.talking import OK, answering, check_of, http_check, talking
from tests.support import eventually, run

# --- how it ends --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 5\r\n\r\nlogin",
        b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nsorry, no",
    ],
    ids=["short", "none", "long", "chunked", "redirect", "failed"],
)
def test_it_ends_without_a_reset(answer: bytes) -> None:
    """A pod sees the end of a connection, not a reset, which it would log with every check."""

    async def story() -> None:
        async with talking(answering(answer[:40], answer[40:])) as pod:
            with suppress(CheckFailed):
                await check_of(HEALTH_CHECK="http")(pod.address, 1.0)
            assert await pod.saw(1) == ["end"]

    run(story())


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [b"x", b"x" * (1 << 20)], ids=["a trickle", "a flood"])
def test_a_body_without_end(chunk: bytes) -> None:
    """The status has decided: what follows holds the check up for a quarter of a second at most."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0.01)

    began = time.monotonic()
    http_check(talk, timeout_s=5.0)

    assert time.monotonic() - began < 1.0


def test_nothing_is_left_behind() -> None:
    """However a check ends, its descriptor is closed."""

    async def story() -> None:
        async with talking(answering(OK)) as well, talking(answering()) as silent:
            check = check_of(HEALTH_CHECK="http")
            await check(well.address, 1.0)
            await well.saw(1)
            before = len(descriptors())
            for _ in range(3):
                await check(well.address, 1.0)
                with pytest.raises(ConnectTimeout):
                    await check(silent.address, 0.02)
                with pytest.raises(Refused):
                    await check(Address("127.0.0.1", 1), 1.0)
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await check(silent.address, 1.0)

            async def as_before() -> bool:
                return len(descriptors()) == before

            await eventually(as_before)

    run(story())


# --- our own faults -----------------------------------------------------------------------------


def test_no_descriptor_left() -> None:
    """That is our fault, and said to be."""

    async def story() -> None:
        async with talking(answering(OK)) as pod:
            check = check_of(HEALTH_CHECK="http")
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                with pytest.raises(OutOfDescriptors) as caught:
                    await check(pod.address, 1.0)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert caught.value.source == "internal"

    run(story())


@contextmanager
def pod_in_a_thread(answer: bytes) -> Iterator[Address]:
    """A pod that answers also while this process's loop stands still."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                time.sleep(0.02)
                connection.sendall(answer)
                connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address(*listener.getsockname())
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.0, 0.01], ids=["while it connects", "while it waits for the answer"])
def test_a_stall_of_ours_is_not_the_pods_fault(after_s: float) -> None:
    """The loop stands still past the deadline; what came meanwhile counts."""

    async def story() -> None:
        with pod_in_a_thread(OK) as address:
            asyncio.get_running_loop().call_later(after_s, time.sleep, 0.3)
            await check_of(HEALTH_CHECK="http")(address, 0.1)

    run(story())
