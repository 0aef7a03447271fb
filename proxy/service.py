"""Builds the parts of one service, and puts them to work together."""

import asyncio
import logging
import random
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from proxy.admin import views
from proxy.bind import NONE_INHERITED, bind_all, leads_to, listens_on
from proxy.clock import SystemClock
from proxy.config import SPREADING, HealthCheck, ReadyWhen, ServiceSettings, StaticTarget, hashes
from proxy.controlpath.checks import make_check
from proxy.controlpath.discovery import Discovery
from proxy.controlpath.lookup import make_lookup
from proxy.controlpath.prober import Prober
from proxy.controlpath.resolv_conf import ResolvConfFile
from proxy.controlpath.resolver import AresResolver
from proxy.datapath import engines
from proxy.datapath.connector import Connector
from proxy.datapath.listener import Listener
from proxy.datapath.queue import Queue
from proxy.datapath.relay import Relay, Timeouts
from proxy.datapath.session import Sessions
from proxy.datapath.slots import SharedSlots, Slots
from proxy.datapath.sockets import Tuning, tune_listener
from proxy.inherit import Inherited
from proxy.model import Answer, EndReason
from proxy.observe.counters import ServiceCounters
from proxy.observe.metrics import Snapshot
from proxy.policy.endpoint import State
from proxy.pool import Pool
from proxy.tasks import keep_running, spawn

if TYPE_CHECKING:
    from proxy.datapath.hash_key import KeyOf

log = logging.getLogger("headway")


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
        self.settings = settings
        self._clock = clock
        self._rng = random.Random()
        self.pool = Pool(settings, ServiceCounters(), clock, self._rng, pod)
        self._was_ready = False
        self.rest: Callable[[], None] = lambda: None  # end no connection for the sake of others any more
        tuning = Tuning(settings.tcp_keepalive_s, settings.tcp_user_timeout_s)
        self.relay = self._make_relay(engine, slots, tuning)
        self.queue = Queue(self.pool, settings.queue_size)
        sessions = Sessions(settings, self.pool, self.relay, slots, self.queue, clock, self._key_of(pod))
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
            self.prober = self._make_prober(check_room, tuning)
        self.resolver: AresResolver | None = None
        self.discovery: Discovery | None = None
        if not isinstance(settings.target, StaticTarget):
            self.resolver = AresResolver(settings.dns_servers, resolv_conf, settings.dns_timeout_s, clock)
            self.discovery = self._make_discovery(self.resolver, resolv_conf, socks)

    def _make_relay(self, engine: engines.Engine, slots: Slots, tuning: Tuning) -> Relay:
        """And those that close connections, or keep some ready; who does without them pays for none."""
        settings, pool, clock, rng = self.settings, self.pool, self._clock, self._rng
        timeouts = Timeouts(
            settings.idle_timeout_s, settings.half_close_timeout_s, settings.max_connection_age_s
        )
        relay = engine.make_relay(timeouts, tuning, pool.counters)
        if isinstance(slots, SharedSlots) and settings.spare_connections != 0:
            relay = engines.with_spares(relay, settings, pool, slots, tuning, clock, rng)
        pool.roster.on_replaced = partial(relay.abort, EndReason.IDENTITY_CHANGED)
        if settings.close_on_unhealthy:
            pool.on_unhealthy = partial(relay.abort, EndReason.UNHEALTHY)
        if settings.rebalance and settings.balancer in SPREADING:
            from proxy.datapath.rebalancer import Rebalancer

            self.rest = Rebalancer(settings, pool, relay, clock, rng).rest
        return relay

    def _key_of(self, pod: str) -> "KeyOf | None":
        if not hashes(self.settings.balancer):
            return None
        from proxy.datapath.hash_key import make_key_of

        return make_key_of(self.settings, pod, self._clock)

    def _make_prober(self, room: asyncio.Semaphore, tuning: Tuning) -> Prober:
        check = make_check(self.settings, Connector(tuning).connect)
        prober = Prober(self.settings, self.pool, check, room, self._clock, self._rng)
        self.pool.on_members_changed = prober.follow
        self.pool.on_suspect = prober.suspect
        return prober

    def _make_discovery(
        self, resolver: AresResolver, resolv_conf: ResolvConfFile, socks: list[socket.socket]
    ) -> Discovery:
        lookup = make_lookup(self.settings, resolver, self.pool, self._clock)
        leads_back = partial(leads_to, socks)
        discovery = Discovery(
            self.settings, lookup, resolv_conf, leads_back, self.pool, self._clock, self._rng
        )
        self.pool.request_resolve = discovery.poll_soon
        return discovery

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
