"""Closes old connections for endpoints that came later, as policy/rebalance.py says; else it is asleep."""

import asyncio
import logging

from proxy.config import ServiceSettings
from proxy.datapath.relay import Relay
from proxy.model import Clock, Rng
from proxy.policy import rebalance
from proxy.policy.endpoint import Endpoint
from proxy.policy.jitter import JITTER, jittered
from proxy.policy.rebalance import LOOK_EVERY_S, NOBODY, Rule
from proxy.pool import Pool

log = logging.getLogger("headway.rebalance")

REST_WITHIN_S = LOOK_EVERY_S * (1 - JITTER)  # until the next look at the earliest


class Rebalancer:
    """The one of a service."""

    def __init__(self, settings: ServiceSettings, pool: Pool, relay: Relay, clock: Clock, rng: Rng) -> None:
        self._rule = Rule(settings.rebalance, settings.slow_start_s, settings.max_connections_per_endpoint)
        self._pool = pool
        self._relay = relay
        self._clock = clock
        self._rng = rng
        self._stand = NOBODY
        self._came: dict[Endpoint, float] = {}  # since the last look, and when
        self._timer: asyncio.TimerHandle | None = None
        self._rests = False
        pool.on_newcomer = self.newcomer

    def newcomer(self, endpoint: Endpoint) -> None:
        """It may be used from now on."""
        if not self._pool.counters.active:
            return  # nobody is older
        self._came[endpoint] = self._clock.now()
        self._look_later()

    def rest(self) -> None:
        """From now on, for good: what the process still has will end with it."""
        self._rests = True

    def _look_later(self) -> None:
        """Once, whoever asks: somebody may come while we look, as the pool catches up with time then."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(jittered(LOOK_EVERY_S, self._rng), self._look)

    def _look(self) -> None:
        if self._rests:
            return
        self._timer = None
        before = rebalance.joined(self._stand, self._came, self._rng.random())
        self._came = {}
        self._stand, closings = rebalance.look(before, self._pool.serving(), self._rule, self._clock.now())
        if self._stand.newcomers:
            self._look_later()
        for endpoint in self._stand.takers - before.takers:
            log.info(
                "%s: %s has %d connections, few beside the others: older ones there are closed at rest",
                self._pool.name,
                endpoint.label,
                endpoint.in_flight,
            )
        if closings.counts:
            self._relay.retire(closings.counts, closings.before, REST_WITHIN_S)
