"""Checks a pod by one GET over a connection of its own. The only client of HTTP."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from proxy import __version__
from proxy.controlpath.exchange import LINGER_S, Connect, connected, within
from proxy.errors import CheckFailed, ResetEarly, connect_error
from proxy.model import Address

HEAD_MOST = 1 << 16
BODY_MOST = 1 << 16  # what is read of it to end the connection gently; kubelet takes 10 KiB


class HttpCheck:
    """Passes when the status is one of `statuses`. Follows no redirect: that would ask somebody else."""

    def __init__(self, connect: Connect, path: str, statuses: Sequence[range]) -> None:
        self._connect = connect
        self._url = URL(f"http://pod{path}", encoded=True)  # only its path is sent
        self._statuses = statuses

    async def __call__(self, address: Address, host: str, timeout_s: float) -> None:
        async with (
            connected(self._connect, address, timeout_s) as (sock, left_s),
            _client(sock, host) as client,
        ):
            async with within(left_s):
                answer = await client.get(self._url, allow_redirects=False)
            await _finish(answer)
        if not any(answer.status in each for each in self._statuses):
            raise CheckFailed(f"HTTP {answer.status}")


class _Given(aiohttp.BaseConnector):
    """Uses a connection that stands: aiohttp's own way has uvloop call getaddrinfo() in a thread."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(force_close=True)
        self._sock = sock

    async def _create_connection(self, *request: object) -> ResponseHandler:
        _, protocol = await self._loop.create_connection(self._factory, sock=self._sock)
        return protocol


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """In terms that aiohttp does not know: else it repeats a GET whose connection ends early."""
    try:
        return await handler(request)
    except aiohttp.ServerDisconnectedError as error:
        raise CheckFailed("closed without an HTTP answer") from error
    except aiohttp.ClientResponseError as error:
        raise CheckFailed("no HTTP answer") from error
    except OSError as error:
        raise (connect_error(error) if error.errno else ResetEarly(str(error))) from error


def _client(sock: socket.socket, host: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=_Given(sock),
        middlewares=(_once,),
        headers={"Host": host, "User-Agent": f"headway/{__version__}"},
        skip_auto_headers=("Accept-Encoding",),
        timeout=aiohttp.ClientTimeout(),
        auto_decompress=False,
        max_line_size=HEAD_MOST,
        max_field_size=HEAD_MOST,
    )


async def _finish(answer: aiohttp.ClientResponse) -> None:
    """Read a body of the usual size: to close with bytes unread would be a reset, which pods log."""
    left = BODY_MOST
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(LINGER_S):
            while left > 0 and (chunk := await answer.content.read(left)):
                left -= len(chunk)
