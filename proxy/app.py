"""Composition root: builds every part, starts and stops them in order. The only file that knows them all."""

import asyncio
import gc
import logging
import random
import signal
import socket
import sys
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import uvloop

from proxy import __version__, config, socket_file
from proxy.admin import server, views
from proxy.bind import NONE_INHERITED, bind, bind_all, leads_to, listens_on, unbind
from proxy.clock import SystemClock
from proxy.config import SPREADING, HealthCheck, Loaded, ReadyWhen, ServiceSettings, StaticTarget
from proxy.controlpath.checks import make_check
from proxy.controlpath.discovery import Discovery
from proxy.controlpath.fleet import make_fleet
from proxy.controlpath.lookup import make_lookup
from proxy.controlpath.prober import Prober
from proxy.controlpath.resolv_conf import ResolvConfFile
from proxy.controlpath.resolver import AresResolver
from proxy.datapath import engines
from proxy.datapath.connector import Connector
from proxy.datapath.drain import Drain
from proxy.datapath.hash_key import make_key_of
from proxy.datapath.listener import Listener, SharedSlots, Slots
from proxy.datapath.queue import Queue
from proxy.datapath.relay import Timeouts
from proxy.datapath.session import Sessions
from proxy.datapath.sockets import Tuning, tune_listener
from proxy.errors import SettingsError, StartError
from proxy.inherit import Inherited, take_over
from proxy.limits import memory_limit, raise_descriptor_limit
from proxy.model import Answer, EndReason
from proxy.observe import logs
from proxy.observe.counters import ServiceCounters
from proxy.observe.metrics import Snapshot
from proxy.policy import admission
from proxy.policy.endpoint import State
from proxy.pool import Pool, balancer
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


class Service:
    """One service at work: its pool, what feeds it and what serves from it."""

    def __init__(
        self,
        settings: ServiceSettings,
        resolv_conf: ResolvConfFile,
        slots: Slots,
        check_room: asyncio.Semaphore,
        clock: SystemClock,
        pod: str,
        engine: engines.Engine,
        inherited: Inherited = NONE_INHERITED,
    ) -> None:
        rng = random.Random()
        self.settings = settings
        self.pool = Pool(settings, ServiceCounters(), clock, rng, pod)
        self._clock = clock
        self._was_ready = False
        tuning = Tuning(settings.tcp_keepalive_s, settings.tcp_user_timeout_s)
        connector = Connector(tuning)
        timeouts = Timeouts(
            settings.idle_timeout_s, settings.half_close_timeout_s, settings.max_connection_age_s
        )
        self.relay = engine.make_relay(timeouts, tuning, self.pool.counters)
        if isinstance(slots, SharedSlots) and settings.spare_connections != 0:
            self.relay = engines.with_spares(self.relay, settings, self.pool, slots, tuning, clock, rng)
        self.pool.roster.on_replaced = partial(self.relay.abort, EndReason.IDENTITY_CHANGED)
        if settings.close_on_unhealthy:
            self.pool.on_unhealthy = partial(self.relay.abort, EndReason.UNHEALTHY)
        if settings.rebalance and settings.balancer in SPREADING:
            from proxy.datapath.rebalancer import Rebalancer  # who does without pays nothing for it

            Rebalancer(settings, self.pool, self.relay, clock, rng)
        key_of = make_key_of(settings, pod, clock)
        self.queue = Queue(self.pool, settings.queue_size)
        sessions = Sessions(settings, self.pool, self.relay, slots, self.queue, clock, key_of)
        socks = bind_all(settings.listen, settings.prefix + "LISTEN", inherited)
        self.listens_on = ", ".join(map(listens_on, socks))
        for sock in socks:
            tune_listener(sock, tuning)
        self.listeners = [
            Listener(settings.name, sock, slots, sessions, settings.connect_deadline_s, engine.accept)
            for sock in socks
        ]
        self.prober: Prober | None = None
        if settings.health_check is not HealthCheck.OFF:
            check = make_check(settings, connector.connect)
            self.prober = Prober(settings, self.pool, check, check_room, clock, rng)
            self.pool.on_members_changed = self.prober.follow
            self.pool.on_suspect = self.prober.suspect
        self.resolver: AresResolver | None = None
        self.discovery: Discovery | None = None
        if not isinstance(settings.target, StaticTarget):
            self.resolver = AresResolver(settings.dns_servers, resolv_conf, settings.dns_timeout_s, clock)
            lookup = make_lookup(settings, self.resolver, self.pool, clock)
            self.discovery = Discovery(
                settings, lookup, resolv_conf, partial(leads_to, socks), self.pool, clock, rng
            )
            self.pool.request_resolve = self.discovery.poll_soon

    def start(self) -> None:
        """Serve. Connections that come before the first endpoint is known wait for it."""
        name, target = self.settings.name, self.settings.target
        if isinstance(target, StaticTarget):
            self.pool.apply(Answer.in_order(target.addresses, detail="static"))
        elif self.discovery is not None:
            spawn(keep_running(self.discovery.run, self._clock), name=f"discovery of {name}")
        for listener in self.listeners:
            listener.start()
        log.info("%s: %s -> %s (%s)", name, self.listens_on, target, self.settings.balancer)

    def unready(self) -> str:
        """Why READY_WHEN has not come true yet. Once it has, it stays: later trouble is not the kubelet's."""
        if not self._was_ready:
            missing = {
                ReadyWhen.LISTENING: "",
                ReadyWhen.RESOLVED: "" if self.pool.resolved else "no answer from DNS yet",
                ReadyWhen.ENDPOINT: "" if self.pool.states()[State.READY] else "no usable endpoint yet",
            }[self.settings.ready_when]
            if missing:
                return f"{self.settings.name}: {missing}"
            self._was_ready = True
        return ""

    def snapshot(self) -> Snapshot:
        self.relay.account()
        return views.snapshot(self.settings, self.pool)

    def overview(self) -> dict[str, Any]:
        return views.overview(self.settings, self.pool, self.listens_on, self._clock.now())

    def why(self) -> dict[str, Any]:
        return views.why(self.settings, self.pool, self._clock)

    def dns(self) -> dict[str, Any]:
        servers = self.resolver.servers_and_troubles() if self.resolver is not None else {}
        return views.dns(self.settings, self.pool, servers, self._clock)


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
        self._drain = Drain(self._slots, *drain, self._clock, self._take_all)
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

    def quit(self) -> None:
        self._drain.ask_at_once()


def calm_collector() -> None:
    """What start-up made stays for good: no later collection walks over it. Nor is there much to collect."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
