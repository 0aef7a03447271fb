"""Checks a pod by grpc.health.v1 over a cleartext HTTP/2 connection of its own."""

import asyncio
import socket
from contextlib import suppress

from proxy.controlpath.exchange import LINGER_S, Connect, connected, within
from proxy.controlpath.grpc_call import HealthCall
from proxy.errors import CheckFailed
from proxy.model import Address

CHUNK = 1 << 14


class GrpcCheck:
    """Passes when the pod says that `service`, or the whole server for "", is SERVING."""

    def __init__(self, connect: Connect, service: str) -> None:
        self._connect = connect
        self._service = service

    async def __call__(self, address: Address, host: str, timeout_s: float) -> None:
        async with connected(self._connect, address, timeout_s) as (sock, left_s):
            call = HealthCall(host, self._service, left_s)
            async with within(left_s):
                failure = await _converse(sock, call)
            await _finish(sock, call)
        if failure is not None:
            raise failure


async def _converse(sock: socket.socket, call: HealthCall) -> CheckFailed | None:
    loop = asyncio.get_running_loop()
    serving = False
    while not serving:
        await loop.sock_sendall(sock, call.to_send())
        chunk = await loop.sock_recv(sock, CHUNK)
        try:
            serving = call.receive(chunk)
        except CheckFailed as failure:
            return failure
    return None


async def _finish(sock: socket.socket, call: HealthCall) -> None:
    """Let the pod end it too: to close with bytes unread would be a reset, which pods log."""
    call.close()
    loop = asyncio.get_running_loop()
    with suppress(OSError):  # a TimeoutError too: what the pod said stands
        async with asyncio.timeout(LINGER_S):
            await loop.sock_sendall(sock, call.to_send())
            sock.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(sock, CHUNK):
                pass
