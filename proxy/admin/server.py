"""Serves the telemetry and admin pages; knows HTTP, and asks a Status for everything else."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from aiohttp import web

from proxy.observe.metrics import Snapshot, render

STOP_WITHIN_S = 1.0


class Status(Protocol):
    """What the pages show and do; the app is one."""

    def unready(self) -> str:
        """Why the process is not ready yet, or nothing."""

    def snapshots(self) -> list[Snapshot]: ...
    def endpoints(self) -> Any: ...
    def config(self) -> Any: ...
    def drain(self) -> None: ...
    def quit(self) -> None: ...


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
            web.get("/config", _shows(status.config)),
            web.post("/drain", _does(status.drain, "draining")),
            web.post("/quit", _does(status.quit, "quitting")),
        ]
    )
    return app


async def serve(app: web.Application, socks: list[socket.socket]) -> web.AppRunner:
    """Start serving on `socks`; the caller cleans the runner up."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_WITHIN_S)
    await runner.setup()
    for sock in socks:
        await web.SockSite(runner, sock).start()
    return runner


def _telemetry_routes(status: Status) -> list[web.RouteDef]:
    async def livez(request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(request: web.Request) -> web.Response:
        reason = status.unready()
        return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)

    async def metrics(request: web.Request) -> web.Response:
        # In a thread: rendering a thousand endpoints on the loop would hold up every connection.
        body = await asyncio.to_thread(render, status.snapshots())
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    return [web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)]


def _shows(what: Callable[[], Any]) -> Callable[[web.Request], Any]:
    async def show(request: web.Request) -> web.Response:
        body = msgspec.json.format(msgspec.json.encode(what()))
        return web.Response(body=body + b"\n", content_type="application/json")

    return show


def _does(action: Callable[[], None], word: str) -> Callable[[web.Request], Any]:
    async def do(request: web.Request) -> web.Response:
        # After the reply is out: whoever asked should hear of it.
        asyncio.get_running_loop().call_later(0.05, action)
        return web.Response(text=f"{word}\n")

    return do
