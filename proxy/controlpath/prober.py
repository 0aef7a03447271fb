"""Checks each endpoint in use now and then, and tells the pool."""

import asyncio

from proxy.config import HealthCheck, ServiceSettings
from proxy.controlpath.checks import Check
from proxy.errors import CheckFailed, ConnectError
from proxy.model import Address, Clock, Rng
from proxy.policy import pacing
from proxy.policy.endpoint import Endpoint
from proxy.policy.pacing import Crowd, ProbeRule
from proxy.pool import Pool
from proxy.tasks import spawn

BUSY = float("-inf")


class _Watch:
    """`due_at`: when its timer runs out that may still be changed; BUSY from then until it has been checked.
    `waits_from`: since when it waits for the budget.

    `proof_until`: how long its connections may stand for a check.
    """

    __slots__ = ("due_at", "proof_until", "timer", "waits_from")

    def __init__(self, proof_until: float) -> None:
        self.due_at = self.waits_from = BUSY
        self.proof_until = proof_until
        self.timer: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


class Prober:
    """`room` is the process's: how many checks may be under way."""

    def __init__(
        self,
        settings: ServiceSettings,
        pool: Pool,
        check: Check,
        room: asyncio.Semaphore,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self._rule = ProbeRule(
            settings.health_interval_s,
            settings.health_budget,
            settings.health_passive_first,
            settings.health_check is not HealthCheck.TCP or settings.health_port is not None,
        )
        self._timeout_s = settings.health_timeout_s
        self._pool = pool
        self._check = check
        self._clock = clock
        self._rng = rng
        self._room = room
        self._sidecars = 0
        self._usual_s = settings.health_interval_s
        self._free_at = BUSY  # when the budget allows the next check
        self._watches: dict[Endpoint, _Watch] = {}
        self._waiting: dict[Endpoint, _Watch] = {}  # for the budget
        self._queue_timer: asyncio.TimerHandle | None = None  # runs while any does

    def follow(self) -> None:
        """Begin with endpoints that come into use, end with those that are not any more."""
        active = self._pool.active
        for endpoint in self._watches.keys() - set(active):
            self._watches.pop(endpoint).stop()
            self._waiting.pop(endpoint, None)
        self._keep_pace()
        now = self._clock.now()
        for endpoint in active:
            if endpoint not in self._watches:
                until = pacing.first_proof_until(self._rule, self._usual_s, now, self._rng)
                self._watches[endpoint] = _Watch(until)
                self._first(endpoint, self._watches[endpoint])

    def follow_fleet(self, sidecars: int) -> None:
        """So many sidecars check these endpoints."""
        self._sidecars = sidecars
        self._keep_pace()

    def suspect(self, endpoint: Endpoint) -> None:
        """Look at it soon: a connection failed, or its state is open again."""
        if (watch := self._watches.get(endpoint)) is not None:
            due_in_s = watch.due_at - self._clock.now()
            sooner_s = pacing.sooner_s(endpoint, self._rule, due_in_s, self._rng)
            if sooner_s < due_in_s:
                self._later(endpoint, watch, sooner_s)

    def _keep_pace(self) -> None:
        """Let the interval follow the numbers. Timers that were set for quite another one are set anew."""
        crowd = Crowd(len(self._pool.active), len(self._pool.members), self._sidecars)
        before, self._usual_s = self._usual_s, pacing.interval_s(self._rule, crowd)
        if pacing.alike(before, self._usual_s):
            return
        for endpoint, watch in self._watches.items():
            if watch.due_at > self._clock.now() and pacing.at_usual_pace(endpoint):
                self._first(endpoint, watch)

    def _first(self, endpoint: Endpoint, watch: _Watch) -> None:
        self._later(endpoint, watch, pacing.first_s(endpoint, self._rule, self._usual_s, self._rng))

    def _later(self, endpoint: Endpoint, watch: _Watch, delay_s: float) -> None:
        watch.stop()
        watch.due_at = self._clock.now() + delay_s
        watch.timer = asyncio.get_running_loop().call_later(delay_s, self._look, endpoint, watch)

    def _look(self, endpoint: Endpoint, watch: _Watch) -> None:
        """Check it, unless its connections make that needless, when the budget allows it."""
        now = self._clock.now()
        until = watch.proof_until
        spared_s = pacing.spared_s(endpoint, self._rule, self._usual_s, until, now, self._rng)
        if spared_s > 0:
            self._pool.counters.health_checks["skipped"] += 1
            self._later(endpoint, watch, spared_s)
            return
        watch.due_at, watch.waits_from, watch.timer = BUSY, now, None
        self._waiting[endpoint] = watch
        if self._queue_timer is None:
            self._begin()

    def _begin(self) -> None:
        """Begin the checks that the budget allows now; who has left the queue meanwhile costs it nothing."""
        self._queue_timer = None
        while self._waiting:
            now = self._clock.now()
            begin, free_at = pacing.slot(self._free_at, now, self._rule)
            if begin > now:
                self._queue_timer = asyncio.get_running_loop().call_later(begin - now, self._begin)
                return
            self._free_at = free_at
            endpoint = (
                min(self._waiting, key=self._turn) if len(self._waiting) > 1 else next(iter(self._waiting))
            )
            watch = self._waiting.pop(endpoint)
            spawn(self._examine(endpoint, watch), name=f"check {endpoint.label}")

    def _turn(self, endpoint: Endpoint) -> float:
        return pacing.turn(endpoint, self._waiting[endpoint].waits_from, self._usual_s)

    async def _examine(self, endpoint: Endpoint, watch: _Watch) -> None:
        address = endpoint.address
        try:
            began, error = await self._try(address)
            if error is not None and error.source != "upstream":
                self._pool.counters.health_checks["error"] += 1  # ours: it says nothing about the pod
            elif self._awaited(endpoint, watch):
                if error is not None:
                    endpoint.turn_from(address)
                answered = isinstance(error, CheckFailed)
                self._pool.observe_check(endpoint, error is None, _why(error), began, answered)
        finally:  # after a crash too: an endpoint that is never checked again keeps its status for good
            if self._awaited(endpoint, watch):
                now = self._clock.now()
                watch.proof_until = pacing.proof_until(self._rule, self._usual_s, now, self._rng)
                pause_s = pacing.pause_s(endpoint, self._rule, self._usual_s, self._rng)
                self._later(endpoint, watch, pause_s)

    def _awaited(self, endpoint: Endpoint, watch: _Watch) -> bool:
        """Whether it is neither gone meanwhile, nor gone and back with a watch of its own."""
        return self._watches.get(endpoint) is watch

    async def _try(self, address: Address) -> tuple[float, ConnectError | None]:
        """When the check began, and how it failed."""
        async with self._room:
            began = self._clock.now()
            try:
                await self._check(address, self._timeout_s)
            except ConnectError as error:
                return began, error
        return began, None


def _why(error: ConnectError | None) -> str:
    """What the log says of a failed check."""
    if error is None:
        return ""
    return str(error) if isinstance(error, CheckFailed) else error.reason
