"""Connects to one endpoint, or says why not."""

import asyncio
import errno
import os
import socket

from proxy.bind import family_of
from proxy.datapath.sockets import Tuning, tune
from proxy.errors import ConnectTimeout, connect_error
from proxy.model import Address


class Connector:
    """Never binds before it connects: that would take a source port from every pod at once (cilium#36427).

    Does without loop.sock_connect(): uvloop 0.23 sends each address through getaddrinfo() in a thread.
    """

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning

    async def connect(self, address: Address, timeout_s: float) -> socket.socket:
        """A connected, non-blocking socket. Raises ConnectError."""
        sock = begin(address, self._tuning)
        try:
            if code := await _outcome(sock, timeout_s):
                raise OSError(code, os.strerror(code))
        except OSError as error:
            sock.close()
            raise connect_error(error) from error
        except BaseException:
            sock.close()
            raise
        return sock

    async def check(self, address: Address, timeout_s: float) -> None:
        """A health check: whether the endpoint accepts. Ends with a FIN, unless the pod spoke first."""
        (await self.connect(address, timeout_s)).close()


def begin(address: Address, tuning: Tuning) -> socket.socket:
    """A non-blocking socket that is being connected. Raises ConnectError."""
    try:
        sock = socket.socket(family_of(address.ip), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise connect_error(error) from error
    try:
        tune(sock, tuning, loopback=address.is_loopback)
        code = sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
    except OSError as error:
        sock.close()
        raise connect_error(error) from error
    except BaseException:  # an address that is none
        sock.close()
        raise
    return sock


async def _outcome(sock: socket.socket, timeout_s: float) -> int:
    """The errno of the connect under way, 0 when it is established. Raises ConnectTimeout."""
    loop = asyncio.get_running_loop()
    settled: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not settled.done():
            settled.set_result(None)

    loop.add_writer(sock, settle)
    timer = loop.call_later(timeout_s, settle)
    try:
        await settled
    finally:
        timer.cancel()
        loop.remove_writer(sock)
    # The kernel is asked, whoever woke us: after a stall of the loop its timers run first, and pods that
    # answered in time would be ejected for our own slowness.
    if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        return code
    try:
        sock.getpeername()
    except OSError:
        raise ConnectTimeout(f"no answer within {timeout_s:g} s") from None
    return 0
