"""Checks a sidecar's endpoints as controlpath/prober.py does: the same decisions, in simulated time."""

from random import Random

from loadtest.simulation.pods import Mode
from loadtest.simulation.timeline import Process
from loadtest.simulation.world import World
from proxy.config import HealthCheck
from proxy.policy import pacing
from proxy.policy.endpoint import Endpoint
from proxy.policy.pacing import Crowd, ProbeRule
from proxy.pool import Pool

BUSY = float("-inf")


class Watch:
    """`due_at`: when it is looked at next; whoever sleeps for another time has been overtaken. `waits_from`:
    since when it waits for the budget.
    """

    __slots__ = ("due_at", "proof_until", "waits_from")

    def __init__(self, proof_until: float) -> None:
        self.due_at = self.waits_from = BUSY
        self.proof_until = proof_until


class Checks:
    """`sidecars`: how many the fleet is known to have; 0 = nobody knows."""

    def __init__(self, world: World, pool: Pool, rng: Random, sidecars: int) -> None:
        settings = world.settings
        self._rule = ProbeRule(
            settings.health_interval_s,
            settings.health_budget,
            settings.health_passive_first,
            settings.health_check is not HealthCheck.TCP or settings.health_port is not None,
        )
        self._timeout_s = settings.health_timeout_s
        self._world = world
        self._timeline = world.timeline
        self._pool = pool
        self._rng = rng
        self._sidecars = sidecars
        self._usual_s = settings.health_interval_s
        self._free_at = BUSY
        self._watches: dict[Endpoint, Watch] = {}
        self._waiting: dict[Endpoint, Watch] = {}  # for the budget
        self._queueing = False  # whether somebody looks after those

    def follow(self) -> None:
        active = dict.fromkeys(self._pool.active)
        for endpoint in [each for each in self._watches if each not in active]:
            del self._watches[endpoint]
            self._waiting.pop(endpoint, None)
        self._keep_pace()
        for endpoint in active:
            if endpoint not in self._watches:
                until = pacing.first_proof_until(self._rule, self._usual_s, self._timeline.time, self._rng)
                self._watches[endpoint] = watch = Watch(until)
                self._first(endpoint, watch)

    def suspect(self, endpoint: Endpoint) -> None:
        if (watch := self._watches.get(endpoint)) is not None:
            due_in_s = watch.due_at - self._timeline.time
            sooner_s = pacing.sooner_s(endpoint, self._rule, due_in_s, self._rng)
            if sooner_s < due_in_s:
                self._later(endpoint, watch, sooner_s)

    def _keep_pace(self) -> None:
        crowd = Crowd(len(self._pool.active), self._world.names.listed, self._sidecars)
        before, self._usual_s = self._usual_s, pacing.interval_s(self._rule, crowd)
        if pacing.alike(before, self._usual_s):
            return
        for endpoint, watch in self._watches.items():
            if watch.due_at > self._timeline.time and pacing.at_usual_pace(endpoint):
                self._first(endpoint, watch)

    def _first(self, endpoint: Endpoint, watch: Watch) -> None:
        self._later(endpoint, watch, pacing.first_s(endpoint, self._rule, self._usual_s, self._rng))

    def _later(self, endpoint: Endpoint, watch: Watch, delay_s: float) -> None:
        self._timeline.begin(self._look_after(endpoint, watch, delay_s))

    def _look_after(self, endpoint: Endpoint, watch: Watch, delay_s: float) -> Process:
        """Check it when it is due, unless it is gone or another timer was set."""
        while delay_s > 0:
            watch.due_at = due_at = self._timeline.time + delay_s
            yield delay_s
            if watch.due_at != due_at or self._watches.get(endpoint) is not watch:
                return
            now, until = self._timeline.time, watch.proof_until
            delay_s = pacing.spared_s(endpoint, self._rule, self._usual_s, until, now, self._rng)
        watch.due_at, watch.waits_from = BUSY, self._timeline.time
        self._waiting[endpoint] = watch
        if not self._queueing:
            self._timeline.begin(self._serve_queue())

    def _serve_queue(self) -> Process:
        """Begin the checks that wait, as the budget allows."""
        self._queueing = True
        while self._waiting:
            now = self._timeline.time
            begin, free_at = pacing.slot(self._free_at, now, self._rule)
            if begin > now:
                yield begin - now
                continue
            self._free_at = free_at
            endpoint = min(self._waiting, key=self._turn)
            self._timeline.begin(self._examine(endpoint, self._waiting.pop(endpoint)))
        self._queueing = False

    def _turn(self, endpoint: Endpoint) -> float:
        return pacing.turn(endpoint, self._waiting[endpoint].waits_from, self._usual_s)

    def _examine(self, endpoint: Endpoint, watch: Watch) -> Process:
        began = self._timeline.time
        pod = self._world.pods[endpoint.address]
        pod.probes_per_s[int(began)] += 1
        if pod.mode is Mode.SILENT:
            yield self._timeout_s
        if self._watches.get(endpoint) is watch:
            passed = pod.passes_checks
            self._pool.observe_check(endpoint, passed, "" if passed else "refused", began)
        if self._watches.get(endpoint) is watch:
            now = self._timeline.time
            watch.proof_until = pacing.proof_until(self._rule, self._usual_s, now, self._rng)
            self._later(endpoint, watch, pacing.pause_s(endpoint, self._rule, self._usual_s, self._rng))
