"""Closes held connections for pods that came later as datapath/rebalancer.py does: the same decisions."""

from random import Random

from loadtest.simulation.timeline import Process
from loadtest.simulation.world import World
from proxy.policy import rebalance
from proxy.policy.endpoint import Endpoint
from proxy.policy.jitter import jittered
from proxy.policy.rebalance import LOOK_EVERY_S, NOBODY, Rule
from proxy.pool import Pool


class Moves:
    """All that is held is at rest. `closed`: how many were."""

    def __init__(self, world: World, pool: Pool, rng: Random) -> None:
        settings = world.settings
        self.closed = 0
        self._rule = Rule(settings.rebalance, settings.slow_start_s, settings.max_connections_per_endpoint)
        self._timeline = world.timeline
        self._pool = pool
        self._rng = rng
        self._stand = NOBODY
        self._came: dict[Endpoint, float] = {}
        self._looking = False
        self._held: dict[Endpoint, dict[Process, float]] = {}  # the oldest first, and when each began
        pool.on_newcomer = self._newcomer

    def holds(self, endpoint: Endpoint, process: Process) -> None:
        self._held.setdefault(endpoint, {})[process] = self._timeline.time

    def lets_go(self, endpoint: Endpoint, process: Process) -> None:
        del self._held[endpoint][process]

    def _newcomer(self, endpoint: Endpoint) -> None:
        self._came[endpoint] = self._timeline.time
        if not self._looking:
            self._timeline.begin(self._look())

    def _look(self) -> Process:
        self._looking = True
        while self._stand.newcomers or self._came:
            yield jittered(LOOK_EVERY_S, self._rng)
            serving, now = self._pool.serving(), self._timeline.time
            stand, self._came = rebalance.joined(self._stand, self._came, self._rng.random()), {}
            self._stand, closings = rebalance.look(stand, serving, self._rule, now)
            for endpoint, count in closings.counts.items():
                self._close(endpoint, count, closings.before)
        self._looking = False

    def _close(self, endpoint: Endpoint, count: int, before: float) -> None:
        held = self._held.get(endpoint, {})
        for process in [each for each, began in held.items() if began < before][:count]:
            self.closed += 1
            self._timeline.wake(process)
