"""Builds the injector, runs it until it is told to end, and ends it so that no review is lost."""

import asyncio
import contextlib
import gc
import logging
import random
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from proxy import __version__
from proxy.admin.server import serve
from proxy.bind import bind, listens_on
from proxy.clock import SystemClock
from proxy.config import Listen, LogFormat, LogLevel
from proxy.errors import StartError
from proxy.inject.order import DOMAIN, Order, ordered
from proxy.inject.pod import Refusal, inject
from proxy.injector.api import Place
from proxy.injector.certificates import Certificates
from proxy.injector.metrics import Metrics
from proxy.injector.server import Webhook, pages, serve_tls
from proxy.observe import logs
from proxy.tasks import keep_running, spawn

log = logging.getLogger("headway.injector")

ENDED, NOT_STARTED, WRONG_OPTIONS = 0, 1, 2


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line said. `place`: where to keep a self-signed certificate, if there shall be one."""

    defaults: Order
    listen: Listen
    telemetry: Listen
    certificates: Path
    place: Place | None
    drain_s: float
    log_level: LogLevel
    log_format: LogFormat
    pod: Mapping[str, str]


def main(options: Options) -> int:
    """Run the injector until it is told to end; the exit status."""
    try:
        check(options.defaults)
    except Refusal as error:
        print(f"headway: no pod could have this sidecar: {error}", file=sys.stderr)
        return WRONG_OPTIONS
    finish_logs = logs.set_up(options.log_level, options.log_format, options.pod)
    try:
        # Python's own loop: its TLS closes a connection without waiting for the other side (uvloop#471).
        return asyncio.run(Injector(options).run())
    except StartError as error:
        print(f"headway: {error}", file=sys.stderr)
        return NOT_STARTED
    finally:
        finish_logs()


def check(defaults: Order) -> None:
    """See whether a plain pod could have it. Raises Refusal."""
    target = {} if {"TARGET", "SERVICES"} & defaults.settings.keys() else {f"{DOMAIN}target": "orders:8080"}
    order = ordered(target, defaults)
    assert order is not None
    inject({"metadata": {}, "spec": {"containers": [{"name": "app"}]}}, order)


class Injector:
    """The process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._clock = SystemClock()
        self._metrics = Metrics()
        self._certificates = Certificates(options.certificates, self._clock)
        self._webhook = Webhook(options.defaults, self._metrics, self._clock)
        self._end_asked, self._at_once = asyncio.Event(), asyncio.Event()

    async def run(self) -> int:
        """Serve until told to end. Raises StartError."""
        async with AsyncExitStack() as cleanup:
            self._hear_signals(cleanup)
            telemetry = _bind(self._options.telemetry, "--telemetry")
            await serve(pages(self._unready, self._render), telemetry, cleanup)
            tls = _bind(self._options.listen, "--listen")
            await serve_tls(self._webhook, tls, self._certificates.context, cleanup)
            self._start(cleanup)
            gc.collect()
            gc.freeze()  # what start-up made stays: no collection walks over it while a pod waits
            where = [", ".join(map(listens_on, socks)) for socks in (tls, telemetry)]
            log.info("headway injector %s is up on %s; telemetry on %s", __version__, *where)
            await self._end_asked.wait()
            await self._drain()
        return ENDED

    def _hear_signals(self, cleanup: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()

        def hear(number: int, frame: object) -> None:
            loop.call_soon_threadsafe(self._signalled, signal.Signals(number))

        for number in (signal.SIGTERM, signal.SIGINT):
            # Not the loop's own way: when the loop ends, that lets a late signal kill the process.
            signal.signal(number, hear)
            cleanup.callback(signal.signal, number, signal.SIG_IGN)

    def _signalled(self, number: signal.Signals) -> None:
        log.info("got %s", number.name)
        if self._end_asked.is_set():
            self._at_once.set()
        self._end_asked.set()

    def _start(self, cleanup: AsyncExitStack) -> None:
        loops: list[tuple[Callable[[], Awaitable[None]], str]] = [
            (self._certificates.follow, "reload of the certificate")
        ]
        if (place := self._options.place) is not None:
            bootstrap = _bootstrap(place, self._options.certificates, self._clock, self._metrics)
            loops.append((bootstrap, "care for the self-signed certificate"))
        for loop, name in loops:
            task = spawn(keep_running(loop, self._clock), name=name)
            cleanup.callback(task.cancel)

    async def _drain(self) -> None:
        """Unready, but serving: it takes a while until the Service leads nobody here any more."""
        self._webhook.ending = True
        log.info("draining for %g s", self._options.drain_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._at_once.wait(), self._options.drain_s)
        log.info("ending")

    def _unready(self) -> str:
        return "draining" if self._end_asked.is_set() else self._certificates.unready()

    def _render(self) -> bytes:
        return self._metrics.render(self._certificates.ends)


def _bootstrap(
    place: Place, directory: Path, clock: SystemClock, metrics: Metrics
) -> Callable[[], Awaitable[None]]:
    try:
        from proxy.injector.bootstrap import Bootstrap
    except ImportError as error:
        raise StartError(f"{error}. For --self-signed it takes: pip install 'headway[injector]'") from error
    return Bootstrap(place, directory, clock, random.Random(), metrics.api_failed).run


def _bind(listen: Listen, option: str) -> list[socket.socket]:
    try:
        return bind(listen, option)
    except StartError as error:  # it names a variable of the proxy, which is not what was set here
        cause = error.__cause__
        problem = cause.strerror if isinstance(cause, OSError) else cause
        raise StartError(f"cannot listen on {listen}: {problem}. Choose another {option}.") from error
