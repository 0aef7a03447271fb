"""Serves the webhook and its pages over HTTP; what becomes of a pod is decided in reviews."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from http import HTTPStatus

from aiohttp import web

from proxy.inject.order import Order
from proxy.injector.metrics import Metrics
from proxy.injector.reviews import BadReview, Result, Reviewed, review
from proxy.injector.sparing import Sparing
from proxy.model import Clock

log = logging.getLogger("headway.injector")

MOST_BYTES = 3 << 20  # the API server takes no larger object either
READ_WITHIN_S = 4.0  # the API server gives up after 5, by our manifest
HANDSHAKE_WITHIN_S = 5.0
FINISH_WITHIN_S = 5.0  # the API server has given up on a review by then
MOST_CONNECTIONS = 1000  # the API server needs one for each review under way
BACKLOG = 1024
REST_WITHIN_S = 1.0  # of a body whose sender has been answered already
SAYS = {Result.INJECTED: "the sidecar is added", Result.REFUSED: "refused"}


class Webhook:
    """The page that the API server posts to."""

    def __init__(self, defaults: Order | None, metrics: Metrics, clock: Clock) -> None:
        self._defaults = defaults
        self._metrics = metrics
        self._clock = clock
        self._lines = Sparing(clock)
        self._under_way = 0
        self._idle = asyncio.Event()
        self.ending = False

    async def finish(self) -> None:
        """Wait for the reviews that have begun; aiohttp would drop what still comes of their bodies."""
        self.ending = True
        if self._under_way:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), FINISH_WITHIN_S)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BYTES)
        app.add_routes([web.post("/inject", self._inject)])
        return app

    async def _inject(self, request: web.Request) -> web.Response:
        began = self._clock.now()
        self._under_way += 1
        self._idle.clear()
        try:
            response, result = await self._respond(request)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
        self._metrics.reviewed(result, self._clock.now() - began)
        if self.ending:
            response.force_close()  # whoever keeps the connection for its next review takes it elsewhere
        return response

    async def _respond(self, request: web.Request) -> tuple[web.Response, str]:
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                body = await request.read()
            reviewed = review(body, self._defaults)
        except web.HTTPRequestEntityTooLarge:
            return self._reject(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MOST_BYTES} bytes")
        except TimeoutError:
            return self._reject(HTTPStatus.REQUEST_TIMEOUT, f"the body took more than {READ_WITHIN_S:g} s")
        except BadReview as error:
            return self._reject(HTTPStatus.BAD_REQUEST, str(error))
        except Exception:
            # Ours to mend, but the next review must be answered, and this pod is best left to failurePolicy.
            self._say(logging.ERROR, "a review failed", exc_info=True)
            problem = "headway: this is a fault of the injector; its log has more\n"
            return web.Response(text=problem, status=HTTPStatus.INTERNAL_SERVER_ERROR), "failed"
        self._tell(reviewed)
        return web.Response(body=reviewed.body, content_type="application/json"), reviewed.result

    def _reject(self, status: HTTPStatus, problem: str) -> tuple[web.Response, str]:
        self._say(logging.WARNING, f"a request is rejected with {status.value}: {problem}")
        response = web.Response(text=f"headway: {problem}\n", status=status)
        if status is not HTTPStatus.BAD_REQUEST:
            response.force_close()  # the rest of the body is not read
        return response, "invalid"

    def _tell(self, reviewed: Reviewed) -> None:
        says = SAYS.get(reviewed.result) or (reviewed.reason and "left without a sidecar")
        if not says:
            return
        fields = {"for_namespace": reviewed.namespace, "for_pod": reviewed.pod, "dry_run": reviewed.dry_run}
        level = logging.WARNING if reviewed.reason else logging.INFO
        where = f"{reviewed.namespace}/{reviewed.pod}"
        reason = f": {reviewed.reason}" if reviewed.reason else ""
        self._say(level, f"{where}: {says}{reason}", fields={k: v for k, v in fields.items() if v})

    def _say(
        self, level: int, text: str, *, fields: dict[str, object] | None = None, exc_info: bool = False
    ) -> None:
        if (more := self._lines.may_say()) is not None:
            log.log(level, "%s%s", text, more, exc_info=exc_info, extra={"fields": fields or {}})


def pages(unready: Callable[[], str], render: Callable[[], bytes]) -> web.Application:
    """What the kubelet and Prometheus ask for; `unready` says why no review should come, or nothing."""

    async def livez(request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(request: web.Request) -> web.Response:
        reason = unready()
        return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)

    async def metrics(request: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=render(), headers=headers)

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return app


async def serve_tls(
    webhook: Webhook, socks: list[socket.socket], context: ssl.SSLContext, cleanup: AsyncExitStack
) -> None:
    """Serve on `socks` until `cleanup`, which finishes the reviews that have begun."""
    # The API server compresses nothing; a small body that becomes a large one is a stranger's.
    runner = web.AppRunner(
        webhook.application(),
        access_log=None,
        shutdown_timeout=1.0,
        lingering_time=REST_WITHIN_S,
        auto_decompress=False,
    )
    await runner.setup()
    cleanup.push_async_callback(runner.cleanup)
    cleanup.push_async_callback(webhook.finish)
    assert runner.server is not None
    for sock in socks:
        listening = await asyncio.get_running_loop().create_server(
            partial(_admit, runner.server),
            sock=sock,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_WITHIN_S,
            ssl_shutdown_timeout=FINISH_WITHIN_S,
            backlog=BACKLOG,
        )
        cleanup.callback(listening.close)


def _admit(server: web.Server) -> asyncio.Protocol:
    """The handler of one more connection; one too many pushes out the oldest, or strangers could keep all."""
    asyncio.get_running_loop().call_soon(_make_room, server)
    return server()


def _make_room(server: web.Server) -> None:
    for oldest in server.connections[:-MOST_CONNECTIONS]:
        if oldest.transport is not None:
            oldest.transport.abort()
