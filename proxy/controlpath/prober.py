"""Checks each endpoint in use now and then, and tells the pool."""

import asyncio

from proxy.config import HealthCheck, ServiceSettings
from proxy.controlpath.checks import Check
from proxy.errors import CheckFailed, ConnectError
from proxy.model import Address, Clock, Rng
from proxy.policy import probing
from proxy.policy.endpoint import Endpoint
from proxy.policy.probing import Crowd, ProbeRule
from proxy.pool import Pool
from proxy.tasks import spawn

BUSY = float("-inf")


class _Watch:
    """`due_at`: when its timer runs out that may still be changed; BUSY from then until it has been checked.

    `proof_until`: how long its connections may stand for a check.
    """

    __slots__ = ("due_at", "proof_until", "timer")

    def __init__(self, proof_until: float) -> None:
        self.due_at = BUSY
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

    def follow(self) -> None:
        """Begin with endpoints that come into use, end with those that are not any more."""
        active = self._pool.active
        for endpoint in self._watches.keys() - set(active):
            self._watches.pop(endpoint).stop()
        self._keep_pace()
        now = self._clock.now()
        for endpoint in active:
            if endpoint not in self._watches:
                until = probing.first_proof_until(self._rule, self._usual_s, now, self._rng)
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
            sooner_s = probing.sooner_s(endpoint, self._rule, due_in_s, self._rng)
            if sooner_s < due_in_s:
                self._later(endpoint, watch, sooner_s)

    def _keep_pace(self) -> None:
        """Let the interval follow the numbers. Timers that were set for quite another one are set anew."""
        crowd = Crowd(len(self._pool.active), len(self._pool.members), self._sidecars)
        before, self._usual_s = self._usual_s, probing.interval_s(self._rule, crowd)
        if probing.alike(before, self._usual_s):
            return
        for endpoint, watch in self._watches.items():
            if watch.due_at > self._clock.now() and probing.at_usual_pace(endpoint):
                self._first(endpoint, watch)

    def _first(self, endpoint: Endpoint, watch: _Watch) -> None:
        self._later(endpoint, watch, probing.first_s(endpoint, self._rule, self._usual_s, self._rng))

    def _later(self, endpoint: Endpoint, watch: _Watch, delay_s: float) -> None:
        watch.stop()
        watch.due_at = self._clock.now() + delay_s
        watch.timer = asyncio.get_running_loop().call_later(delay_s, self._look, endpoint, watch)

    def _look(self, endpoint: Endpoint, watch: _Watch) -> None:
        """Check it, unless its connections make that needless, when the budget allows it."""
        now = self._clock.now()
        until = watch.proof_until
        spared_s = probing.spared_s(endpoint, self._rule, self._usual_s, until, now, self._rng)
        if spared_s > 0:
            self._pool.counters.health_checks["skipped"] += 1
            self._later(endpoint, watch, spared_s)
            return
        watch.due_at = BUSY
        begin, self._free_at = probing.slot(self._free_at, now, self._rule)
        if begin > now:
            loop = asyncio.get_running_loop()
            watch.timer = loop.call_later(begin - now, self._begin, endpoint, watch)
        else:
            self._begin(endpoint, watch)

    def _begin(self, endpoint: Endpoint, watch: _Watch) -> None:
        watch.timer = None
        spawn(self._examine(endpoint, watch), name=f"check {endpoint.label}")

    async def _examine(self, endpoint: Endpoint, watch: _Watch) -> None:
        address = endpoint.address
        try:
            error = await self._try(address)
            if error is not None and error.source != "upstream":
                self._pool.counters.health_checks["error"] += 1  # ours: it says nothing about the pod
            elif self._awaited(endpoint, watch):
                if error is not None:
                    endpoint.turn_from(address)
                self._pool.observe_check(endpoint, error is None, _why(error))
        finally:  # after a crash too: an endpoint that is never checked again keeps its status for good
            if self._awaited(endpoint, watch):
                now = self._clock.now()
                watch.proof_until = probing.proof_until(self._rule, self._usual_s, now, self._rng)
                pause_s = probing.pause_s(endpoint, self._rule, self._usual_s, self._rng)
                self._later(endpoint, watch, pause_s)

    def _awaited(self, endpoint: Endpoint, watch: _Watch) -> bool:
        """Whether it is neither gone meanwhile, nor gone and back with a watch of its own."""
        return self._watches.get(endpoint) is watch

    async def _try(self, address: Address) -> ConnectError | None:
        async with self._room:
            try:
                await self._check(address, self._timeout_s)
            except ConnectError as error:
                return error
        return None


def _why(error: ConnectError | None) -> str:
    """What the log says of a failed check."""
    if error is None:
        return ""
    return str(error) if isinstance(error, CheckFailed) else error.reason
