"""Holds an exchange with a pod to its deadline, and puts its failures into ConnectErrors."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from proxy.errors import ConnectTimeout, connect_error
from proxy.model import Address

GRACE_S = 0.01
LINGER_S = 0.25  # how long the rest is awaited, so that the connection ends without a reset

Connect = Callable[[Address, float], Awaitable[socket.socket]]


@asynccontextmanager
async def connected(
    connect: Connect, address: Address, timeout_s: float
) -> AsyncIterator[tuple[socket.socket, float]]:
    """A connection to `address`, and how many of `timeout_s` are left for what is said over it."""
    loop = asyncio.get_running_loop()
    due = loop.time() + timeout_s
    sock = await connect(address, timeout_s)
    try:
        left_s = due - loop.time()
        # Established in time, says the kernel: when it is too late now, this process stood still.
        yield sock, left_s if left_s > 0 else timeout_s
    finally:
        sock.close()


@asynccontextmanager
async def within(left_s: float) -> AsyncIterator[None]:
    """Bounds the block; raises ConnectError for its end and for what the system says in it.

    Not at once: after a stall of the loop its timers run first, and pods that answered in time would pay for
    our own slowness. What has arrived is read before the verdict.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as deadline:
            timer = loop.call_later(left_s, lambda: deadline.reschedule(loop.time() + GRACE_S))
            try:
                yield
            finally:
                timer.cancel()
    except TimeoutError:
        raise ConnectTimeout("no answer in time") from None
    except OSError as error:
        raise connect_error(error) from error
