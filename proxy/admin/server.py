"""Serves the telemetry and admin pages; knows HTTP, and asks a Status for everything else."""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Protocol

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from proxy.observe.metrics import Snapshot, render

log = logging.getLogger("headway.admin")

STOP_WITHIN_S = 1.0
MOST_CONNECTIONS = 24  # of each server: they come out of the reserve of descriptors
BACKLOG = 16


class Status(Protocol):
    """What the pages show and do; the app is one."""

    def unready(self) -> str:
        """Why the process is not ready yet, or nothing."""

    def snapshots(self) -> tuple[int, list[Snapshot]]:
        """How many connections there is room for, and the services."""

    def endpoints(self) -> Any: ...
    def why(self) -> Any: ...
    def dns(self) -> Any: ...
    def config(self) -> Any: ...
    def drain(self) -> None: ...
    def quit(self) -> None: ...


def _is_our_fault(record: logging.LogRecord) -> bool:
    """A stranger's broken request got its 400; it is no error of ours with a traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


logging.getLogger("aiohttp.server").addFilter(_is_our_fault)


def telemetry(status: Status) -> web.Application:
    """Read-only, for every address of the pod."""
    app = web.Application()
    app.add_routes(_telemetry_routes(status))
    return app


def admin(status: Status) -> web.Application:
    """All of telemetry and what may change something: for localhost."""
    app = web.Application()
    app.add_routes(_telemetry_routes(status))
    app.add_routes(
        [
            web.get("/endpoints", _shows(status.endpoints)),
            web.get("/why", _shows(status.why)),
            web.get("/dns", _shows(status.dns)),
            web.get("/config", _shows(status.config)),
            web.post("/drain", _does(status.drain, "draining")),
            web.post("/quit", _does(status.quit, "quitting")),
        ]
    )
    return app


async def serve(
    app: web.Application,
    socks: list[socket.socket],
    cleanup: AsyncExitStack,
    backlog: int | None = None,
) -> None:
    """Serve on `socks` until `cleanup`."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_WITHIN_S)
    await runner.setup()
    cleanup.push_async_callback(runner.cleanup)
    assert runner.server is not None
    for sock in socks:
        admit = partial(_admit, runner.server)
        listening = await asyncio.get_running_loop().create_server(
            admit, sock=sock, backlog=BACKLOG if backlog is None else backlog
        )
        cleanup.callback(listening.close)


def _admit(server: web.Server) -> asyncio.Protocol:
    """The handler of one more connection; the oldest make room for it.

    Whoever reaches the pod could otherwise take its every descriptor by connecting and saying nothing.
    """
    asyncio.get_running_loop().call_soon(_make_room, server)
    return server()


def _make_room(server: web.Server) -> None:
    for oldest in server.connections[:-MOST_CONNECTIONS]:
        if oldest.transport is not None:
            oldest.transport.abort()  # not close(): that waits for a peer who never reads


def _telemetry_routes(status: Status) -> list[web.RouteDef]:
    async def livez(request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(request: web.Request) -> web.Response:
        reason = status.unready()
        return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)

    async def metrics(request: web.Request) -> web.Response:
        # In a thread: rendering a thousand endpoints on the loop would hold up every connection.
        body = await asyncio.to_thread(render, *status.snapshots())
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    return [web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)]


def _shows(what: Callable[[], Any]) -> Callable[[web.Request], Any]:
    async def show(request: web.Request) -> web.Response:
        body = msgspec.json.format(msgspec.json.encode(what()))
        return web.Response(body=body + b"\n", content_type="application/json")

    return show


def _does(action: Callable[[], None], word: str) -> Callable[[web.Request], Any]:
    async def do(request: web.Request) -> web.Response:
        log.info("%s, as POST %s asks", word, request.path)
        # After the reply is out: whoever asked should hear of it.
        asyncio.get_running_loop().call_later(0.05, action)
        return web.Response(text=f"{word}\n")

    return do
