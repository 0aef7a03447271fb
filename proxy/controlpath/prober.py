"""Checks each endpoint of one service now and then, and tells the pool."""

import asyncio
from collections.abc import Awaitable, Callable

from proxy.config import ServiceSettings
from proxy.errors import ConnectError
from proxy.model import Address, Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.health import Status
from proxy.policy.jitter import jittered
from proxy.pool import Pool
from proxy.tasks import spawn

SOON = 0.1  # of the interval: when an endpoint is first checked that waits for it

Check = Callable[[Address, float], Awaitable[None]]


class Prober:
    """`check(address, timeout_s)` raises ConnectError when the endpoint is not well.

    `room` is the process's: how many checks may be under way.
    """

    def __init__(
        self, settings: ServiceSettings, pool: Pool, check: Check, room: asyncio.Semaphore, rng: Rng
    ) -> None:
        self._interval_s = settings.health_interval_s
        self._timeout_s = settings.health_timeout_s
        self._pool = pool
        self._check = check
        self._rng = rng
        self._room = room
        self._timers: dict[Endpoint, asyncio.TimerHandle | None] = {}  # None: being checked right now

    def follow(self) -> None:
        """Begin with endpoints that are new in the pool, end with those that are gone."""
        members = frozenset(self._pool.members)
        for endpoint in self._timers.keys() - members:
            if timer := self._timers.pop(endpoint):
                timer.cancel()
        for endpoint in members - self._timers.keys():
            # Spread over one interval, or a fleet that restarts checks in step for ever (envoy#10498).
            share = SOON if endpoint.health.status is Status.UNCHECKED else 1.0
            self._later(endpoint, self._interval_s * share * self._rng.random())

    def _later(self, endpoint: Endpoint, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._timers[endpoint] = loop.call_later(delay_s, self._begin, endpoint)

    def _begin(self, endpoint: Endpoint) -> None:
        self._timers[endpoint] = None
        spawn(self._examine(endpoint), name=f"check {endpoint.label}")

    async def _examine(self, endpoint: Endpoint) -> None:
        address = endpoint.address
        try:
            error = await self._try(address)
            if error is not None and error.source != "upstream":
                self._pool.counters.health_checks["error"] += 1  # ours: it says nothing about the pod
            elif self._awaited(endpoint):
                if error is not None:
                    endpoint.turn_from(address)
                self._pool.observe_check(endpoint, error is None, error.reason if error else "")
        finally:  # after a crash too: an endpoint that is never checked again keeps its status for good
            if self._awaited(endpoint):
                self._later(endpoint, jittered(self._interval_s, self._rng))

    def _awaited(self, endpoint: Endpoint) -> bool:
        """Whether it is neither gone meanwhile, nor gone and back with a timer of its own."""
        return self._timers.get(endpoint, self) is None

    async def _try(self, address: Address) -> ConnectError | None:
        async with self._room:
            try:
                await self._check(address, self._timeout_s)
            except ConnectError as error:
                return error
        return None
