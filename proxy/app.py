"""Composition root: builds every part, with service.py, and starts and stops them in order."""

import asyncio
import gc
import logging
import random
import signal
import socket
import sys
from contextlib import AsyncExitStack
from typing import Any

import uvloop

from proxy import __version__, config, socket_file
from proxy.admin import server
from proxy.bind import bind, listens_on, unbind
from proxy.clock import SystemClock
from proxy.config import Loaded
from proxy.controlpath.fleet import make_fleet
from proxy.controlpath.resolv_conf import ResolvConfFile
from proxy.datapath import engines
from proxy.datapath.drain import Drain
from proxy.datapath.slots import SharedSlots, Slots
from proxy.errors import SettingsError, StartError
from proxy.inherit import Inherited, take_over
from proxy.limits import memory_limit, raise_descriptor_limit
from proxy.model import EndReason
from proxy.observe import logs
from proxy.observe.metrics import Snapshot
from proxy.policy import admission
from proxy.pool import balancer
from proxy.service import Service
from proxy.tasks import keep_running, spawn

log = logging.getLogger("headway")

ENDED, NOT_STARTED, WRONG_SETTINGS = 0, 1, 2
COLLECT_AFTER = 20_000  # new objects; Python's 700 means full collections of 40 ms in an answer of 4,000 pods


def main() -> int:
    """Run the sidecar until it is told to end; the exit status."""
    handed = config.handed_over()
    try:
        loaded = config.load({"balancer": balancer.problem_with, "relay": engines.problem_with})
        settings = loaded.settings
    except SettingsError as error:
        print(f"headway: {error}", file=sys.stderr)
        return WRONG_SETTINGS
    finish_logs = logs.set_up(settings.log_level, settings.log_format, settings.pod)
    try:
        try:
            return uvloop.run(App(loaded, take_over(handed)).run())
        finally:
            finish_logs()
    except StartError as error:
        print(f"headway: {error}", file=sys.stderr)
        return NOT_STARTED


class App:
    """The process. Also the Status that the pages ask."""

    def __init__(self, loaded: Loaded, inherited: Inherited) -> None:
        self._loaded = loaded
        self._settings = loaded.settings
        self._inherited = inherited
        self._clock = SystemClock()
        self._cap = admission.cap(loaded.settings.max_connections, raise_descriptor_limit(), memory_limit())
        spares = any(service.spare_connections != 0 for service in self._settings.services)
        self._slots = (SharedSlots if spares else Slots)(self._cap.connections, self._clock)
        drain = self._settings.drain_timeout_s, self._settings.drain_quiet_s
        self._drain = Drain(self._slots, *drain, self._clock, self._take_all, self._leave)
        self._services: list[Service] = []
        self._pages: list[str] = []  # where they are, for the log
        self._check_room = asyncio.Semaphore(admission.CHECKS_AT_ONCE)
        self._signals = 0

    async def run(self) -> int:
        """Serve until told to end. Raises StartError."""
        loop = asyncio.get_running_loop()

        def hear(number: int, frame: object) -> None:
            loop.call_soon_threadsafe(self._signalled, signal.Signals(number))

        async with AsyncExitStack() as cleanup:
            for number in (signal.SIGTERM, signal.SIGINT):
                # Not the loop's own way: when the loop ends, that lets a late signal kill the process.
                signal.signal(number, hear)
                cleanup.callback(signal.signal, number, signal.SIG_IGN)
            self._bind(cleanup)
            await self._serve_pages(cleanup)
            self._inherited.refuse_rest()
            for service in self._services:
                service.start()
            calm_collector()
            pages = "; ".join(self._pages)
            if said := engines.remark(self._settings.relay):
                log.warning("%s", said)
            log.info("headway %s is up, room for %d connections (%s); %s", __version__, *self._cap, pages)
            await self._drain.run()
            self._end()
        return ENDED

    def _bind(self, cleanup: AsyncExitStack) -> None:
        resolv_conf = ResolvConfFile()
        pod = self._settings.pod_name or socket.gethostname()  # Kubernetes names the host after the pod
        engine = engines.start(self._settings, self._clock, cleanup)
        shared = resolv_conf, self._slots, self._check_room, self._clock, pod, engine, self._inherited
        for settings in self._settings.services:
            service = Service(settings, *shared)
            self._services.append(service)
            for listener in service.listeners:
                cleanup.callback(listener.close)
        if self._settings.fleet is not None:
            probers = [service.prober for service in self._services if service.prober is not None]
            fleet = make_fleet(self._settings, resolv_conf, probers, self._clock, random.Random())
            spawn(keep_running(fleet.run, self._clock), name="size of the fleet")

    async def _serve_pages(self, cleanup: AsyncExitStack) -> None:
        pages = (
            (self._settings.telemetry_listen, "TELEMETRY_LISTEN", server.telemetry),
            (self._settings.admin_listen, "ADMIN_LISTEN", server.admin),
        )
        for listen, variable, pages_of in pages:
            if listen is None:
                continue
            socks = bind(listen, variable, self._inherited)
            for sock in socks:
                cleanup.callback(unbind, sock)
            self._pages.append(f"{pages_of.__name__} on {', '.join(map(listens_on, socks))}")
            await server.serve(pages_of(self), socks, cleanup, listen.backlog)
            for sock in socks:
                cleanup.callback(socket_file.remove, sock)  # while it is no stale one

    def _signalled(self, number: signal.Signals) -> None:
        log.info("got %s", number.name)
        if self._signals:
            self.quit()
        self._signals += 1
        self.drain()

    def _take_all(self) -> None:
        for service in self._services:
            for listener in service.listeners:
                listener.take_all()

    def _leave(self) -> bool:
        """Accept nobody any more where somebody else will. Whether that is everywhere."""
        listeners = (listener for service in self._services for listener in service.listeners)
        return all([listener.leave() for listener in listeners])

    def _end(self) -> None:
        for service in self._services:
            for listener in service.listeners:
                listener.close()
            service.queue.close()
            service.relay.part(EndReason.DRAINED)

    # --- the pages' Status ----------------------------------------------------------------------

    def unready(self) -> str:
        if self._drain.progress:
            return self._drain.progress
        return next(filter(None, (service.unready() for service in self._services)), "")

    def snapshots(self) -> tuple[int, list[Snapshot]]:
        return self._slots.cap, [service.snapshot() for service in self._services]

    def endpoints(self) -> dict[str, Any]:
        return {"services": [service.overview() for service in self._services]}

    def why(self) -> dict[str, Any]:
        return {"services": [service.why() for service in self._services]}

    def dns(self) -> dict[str, Any]:
        return {"services": [service.dns() for service in self._services]}

    def config(self) -> dict[str, Any]:
        return {row.variable: {"value": row.value, "origin": row.origin} for row in self._loaded.rows}

    def drain(self) -> None:
        self._drain.ask()
        for service in self._services:
            service.rest()

    def quit(self) -> None:
        self._drain.ask_at_once()


def calm_collector() -> None:
    """What start-up made stays for good: no later collection walks over it. Nor is there much to collect."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
