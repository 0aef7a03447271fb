"""A pod of the demo as a real process: it answers, and it crashes in the way that its docstring promises."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest

from proxy.demo.child import Child
from proxy.demo.ports import free_ports

IP = "127.0.0.61"
REQUEST = b"GET /7 HTTP/1.1\r\nHost: web\r\n\r\n"

pytestmark = pytest.mark.slow


def with_pod(test: Callable[[Child, int], Awaitable[None]]) -> None:
    async def run() -> None:
        (port,) = free_ports(1, [IP])
        listen = f"{IP}:{port}"
        pod = await Child.start("web-3", "-m", "proxy.demo.pod", "--listen", listen, "--name", "web-3")
        try:
            await pod.speaks()
            await test(pod, port)
        finally:
            await pod.stop()

    asyncio.run(run())


async def get(port: int) -> bytes:
    reader, writer = await asyncio.open_connection(IP, port)
    writer.write(REQUEST)
    answer = await reader.read()
    writer.close()
    return answer


def test_says_who_it_is() -> None:
    """Every answer tells which pod gave it and to which request, also with idle connections beside it."""

    async def test(pod: Child, port: int) -> None:
        _, idle = await asyncio.open_connection(IP, port)
        head, _, text = (await get(port)).partition(b"\r\n\r\n")
        idle.close()

        assert head.startswith(b"HTTP/1.1 200 OK")
        assert b"Content-Length: 20" in head
        assert text == b"web-3 127.0.0.61 /7\n"

    with_pod(test)


def test_a_health_check_does_not_disturb() -> None:
    """Connect-and-close, as the proxy's own checks do, leaves the pod answering and no connection open."""

    async def test(pod: Child, port: int) -> None:
        for _ in range(3):
            reader, writer = await asyncio.open_connection(IP, port)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 2) == b""
            writer.close()

        assert b"web-3" in await get(port)

    with_pod(test)


def test_a_request_in_two_pieces_is_one_request() -> None:
    """A proxy may cut the bytes wherever it likes; the pod waits for the rest."""

    async def test(pod: Child, port: int) -> None:
        reader, writer = await asyncio.open_connection(IP, port)
        writer.write(REQUEST[:9])
        await get(port)  # by its end the pod has read the first piece, too
        writer.write(REQUEST[9:])

        assert b"web-3 127.0.0.61 /7" in await reader.read()

        writer.close()

    with_pod(test)


@pytest.mark.parametrize("how,status", [(signal.SIGUSR1, -signal.SIGKILL), (signal.SIGTERM, 0)])
def test_a_crash_refuses_the_new_and_cuts_no_accepted_request(how: signal.Signals, status: int) -> None:
    """A crashed pod refuses connections at once; what it had accepted is answered before it dies."""

    async def test(pod: Child, port: int) -> None:
        reader, writer = await asyncio.open_connection(IP, port)
        pod.signal(how)
        while await is_listening(port):
            pass
        writer.write(REQUEST)

        assert b"web-3 127.0.0.61 /7" in await reader.read()
        assert await pod.wait() == status

        writer.close()

    with_pod(test)


async def is_listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(IP, port)
    except OSError:
        return False
    writer.transport.abort()
    return True
