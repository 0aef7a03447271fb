"""What checks and connections show of endpoints, and what that makes of them."""

import logging
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from typing import Protocol

from proxy.config import ServiceSettings
from proxy.errors import ConnectError, SlowConnect
from proxy.model import Clock, Identity, Rng
from proxy.observe.counters import ServiceCounters
from proxy.observe.seldom import Seldom
from proxy.policy import ejection, health, suspicion
from proxy.policy.ejection import EjectionRule, Phase
from proxy.policy.endpoint import Endpoint, State
from proxy.policy.health import Health, HealthRule, Status

log = logging.getLogger("headway.pool")

PROVING = frozenset({State.UNCHECKED, State.UNHEALTHY, State.PROBING})  # what READY is a recovery from


class Surroundings(Protocol):
    """What one endpoint's verdict depends on and changes; the pool is it."""

    @property
    def name(self) -> str: ...
    @property
    def members(self) -> tuple[Endpoint, ...]: ...
    @property
    def active(self) -> tuple[Endpoint, ...]: ...
    @property
    def held(self) -> Set[Identity]: ...
    @property
    def on_suspect(self) -> Callable[[Endpoint], None]: ...
    def drop(self, endpoint: Endpoint) -> None: ...
    def state_changed(self) -> None: ...


class Verdicts:
    def __init__(
        self,
        settings: ServiceSettings,
        counters: ServiceCounters,
        clock: Clock,
        rng: Rng,
        pool: Surroundings,
    ) -> None:
        self._pool = pool
        self._counters = counters
        self._clock = clock
        self._rng = rng
        self._health_rule = HealthRule(settings.health_rise, settings.health_fall)
        self._ejection_rule = EjectionRule(
            settings.eject_after, settings.eject_base_s, settings.eject_max_s, settings.eject_share
        )
        self._same_port = settings.health_port is None  # checks meet what connections meet
        self._slow_start_s = settings.slow_start_s
        self._failure_costs_s = settings.connect_timeout_s
        self._sick_after_s = settings.health_interval_s  # without a success, while endpoints fail
        self._worked_at = float("-inf")  # when any endpoint showed for the last time that it is alive
        self._seldom = Seldom(clock)
        self._sick = False  # whether it seems to be us, as all endpoints fail

    def check(self, endpoint: Endpoint, passed: bool, why: str = "") -> None:
        """The result of one active check; `why` it failed."""
        now = self._clock.now()
        self._counters.health_checks["passed" if passed else "failed"] += 1
        with self._noting(endpoint, f"check failed: {why}" if why else "check passed"):
            endpoint.health = health.observe(endpoint.health, passed, self._health_rule)
            if passed:
                endpoint.ejection = ejection.may_return(endpoint.ejection, now, checked=self._same_port)
        self._learn(endpoint, alive=passed)

    def connected(self, endpoint: Endpoint, connect_s: float) -> bool:
        """A pod took a connection after `connect_s`; whether that was in good time."""
        slow = suspicion.is_slow(connect_s, endpoint, self._pool.active)
        endpoint.connect_s = connect_s
        if slow:
            self._blame(endpoint, SlowConnect(f"after {connect_s:.3g} s"))
        return not slow

    def succeeded(self, endpoint: Endpoint, taken_at: float, answer_s: float | None) -> None:
        """A connection that began at `taken_at` worked; the pod's first byte came after `answer_s`."""
        now = self._clock.now()
        if answer_s is not None:
            endpoint.latency.observe(answer_s, now)
        if taken_at >= endpoint.failed_at:  # else new connections fail since, whatever old ones do
            endpoint.succeeded_at = now
            self.credit(endpoint)

    def failed(self, endpoint: Endpoint, error: ConnectError) -> None:
        """A connection to `endpoint` failed, by a fault of the pod's."""
        endpoint.latency.observe(self._failure_costs_s, self._clock.now())
        self._blame(endpoint, error)
        self._learn(endpoint, alive=False)
        self._pool.on_suspect(endpoint)

    def credit(self, endpoint: Endpoint) -> None:
        if endpoint.alive is not True:
            self._learn(endpoint, alive=True)
        else:
            self._worked(endpoint.succeeded_at)
        if endpoint.ejection.failures == 0 and endpoint.ejection.phase is Phase.SERVING:
            return
        with self._noting(endpoint, "a connection to it worked"):
            endpoint.ejection = ejection.succeeded(endpoint.ejection)
        endpoint.probe_since = None

    def _blame(self, endpoint: Endpoint, error: ConnectError) -> None:
        others = [each for each in self._pool.members if each is not endpoint]
        others_out = sum(each.ejection.phase is not Phase.SERVING for each in others)
        others_usable = any(each.usable for each in others)
        room = ejection.room_to_eject(self._ejection_rule, len(self._pool.members), others_out, others_usable)
        was_out = endpoint.ejection.phase is Phase.EJECTED
        luck, checkable = self._rng.random(), error.checkable
        with self._noting(endpoint, f"connection failed: {error.reason}"):
            endpoint.ejection = ejection.failed(
                endpoint.ejection,
                self._ejection_rule,
                self._clock.now(),
                room and not self._sick,
                checkable,
                luck,
            )
        if endpoint.ejection.phase is Phase.EJECTED and not was_out:
            self._counters.ejections[error.reason] += 1
        endpoint.probe_since = None

    def let_return(self, endpoint: Endpoint, now: float) -> None:
        with self._noting(endpoint, "its ejection is over"):
            endpoint.ejection = ejection.may_return(endpoint.ejection, now, checked=False)

    def _learn(self, endpoint: Endpoint, *, alive: bool) -> None:
        """What a check or a connection showed; decisive for an endpoint that DNS does not list."""
        now = self._clock.now()
        changed = endpoint.alive is not alive
        endpoint.alive = alive
        if not alive:
            endpoint.failing_since = now if changed else endpoint.failing_since
            endpoint.failed_at = now
        if changed and endpoint.identity in self._pool.held:
            self._pool.state_changed()
            if not alive:
                self._pool.drop(endpoint)
        if alive:
            self._worked(now)
        elif self._is_overdue(now) and suspicion.all_failed(self._pool.members, self._worked_at):
            self._lift_ejections()

    def _is_overdue(self, now: float) -> bool:
        """Whether it is so long that nobody worked that it is worth to look whether all fail."""
        return not self._sick and now - self._worked_at >= self._sick_after_s

    def _worked(self, now: float) -> None:
        """Somebody is alive. If all had failed, it was us: the others get the benefit of the doubt."""
        self._worked_at = now
        if self._sick:
            self._sick = False
            log.info("%s: an endpoint answers again, all that failed are used again", self._pool.name)
            for endpoint in self._pool.members:
                if endpoint.health.status is Status.UNHEALTHY:
                    endpoint.health = Health(Status.ASSUMED)
                    self._pool.on_suspect(endpoint)
            self._pool.state_changed()

    def _lift_ejections(self) -> None:
        self._sick = True
        self._counters.panics["all_failed"] += 1
        if (more := self._seldom.may_say("all failed")) is not None:
            log.warning(
                "%s: endpoints fail and none of %d answers: is it this pod, its network or its node? "
                "None is ejected until one does%s",
                self._pool.name,
                len(self._pool.members),
                more,
            )
        for endpoint in self._pool.members:
            endpoint.ejection, endpoint.probe_since = ejection.succeeded(endpoint.ejection), None
        self._pool.state_changed()

    @contextmanager
    def _noting(self, endpoint: Endpoint, why: str) -> Iterator[None]:
        """Log a change of state, and have the picker made anew before the next pick."""
        before, on_probation = endpoint.state, endpoint.on_probation
        yield
        if endpoint.on_probation is not on_probation:
            self._pool.state_changed()
        if endpoint.state is not before:
            endpoint.why = why
            if endpoint.state is State.READY and before in PROVING:
                self.warm(endpoint)
            level = logging.WARNING if endpoint.state.is_trouble else logging.INFO
            change = f"{endpoint.label} is {endpoint.state}, was {before}"
            log.log(level, "%s: %s (%s)", self._pool.name, change, why)
            self._pool.state_changed()

    def warm(self, endpoint: Endpoint) -> None:
        """Its share rises from now on."""
        if self._slow_start_s:
            endpoint.warming_since = self._clock.now()
