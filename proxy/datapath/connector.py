"""Connects to one endpoint, or says why not."""

import asyncio
import socket

from proxy.datapath.sockets import Tuning, tune
from proxy.errors import ConnectTimeout, connect_error
from proxy.model import Address


class Connector:
    """Never binds before it connects: that would take a source port from every pod at once (cilium#36427)."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning

    async def connect(self, address: Address, timeout_s: float) -> socket.socket:
        """A connected, non-blocking socket. Raises ConnectError."""
        family = socket.AF_INET6 if ":" in address.ip else socket.AF_INET
        sock = None
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            tune(sock, self._tuning)
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().sock_connect(sock, address)
        except BaseException as error:
            if sock is not None:
                sock.close()
            if isinstance(error, TimeoutError) and error.errno is None:
                raise ConnectTimeout(f"no answer within {timeout_s:g} s") from None
            if isinstance(error, OSError):
                raise connect_error(error) from error
            raise
        return sock

    async def check(self, address: Address, timeout_s: float) -> None:
        """A health check: whether the endpoint accepts. Ends it cleanly, so that no pod logs a reset."""
        (await self.connect(address, timeout_s)).close()
