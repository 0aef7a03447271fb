"""The server of the pages, with clients that a well-meaning one is not."""

import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from proxy.admin.server import MOST_CONNECTIONS, serve
from proxy.bind import bind
from proxy.config import Listen
from tests.support import eventually, run

CLIENTS = 80


@pytest.mark.slow
def test_those_who_ask_and_never_read_make_room() -> None:
    """Their descriptors are free when others come, whatever was still to be sent to them."""
    asked = 0

    async def large(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(body=bytes(8 << 20))

    def heard(requests: int) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            return asked >= requests

        return look

    async def story() -> None:
        app = web.Application()
        app.add_routes([web.get("/", large)])
        async with AsyncExitStack() as cleanup:
            (listener,) = bind(Listen("127.0.0.1", 0), "ADMIN_LISTEN")
            await serve(app, [listener], cleanup)
            before = len(os.listdir("/proc/self/fd"))

            async def settled() -> bool:
                return len(os.listdir("/proc/self/fd")) - before - CLIENTS <= MOST_CONNECTIONS + 1

            for number in range(CLIENTS):
                client = cleanup.enter_context(socket.create_connection(listener.getsockname()))
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await eventually(heard(number + 1))

            await eventually(settled)
            assert len(os.listdir("/proc/self/fd")) - before - CLIENTS >= MOST_CONNECTIONS

    run(story())
