"""What checks and connections show of endpoints, and what that makes of them."""

import logging
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Protocol

from proxy.config import HealthCheck, ServiceSettings
from proxy.errors import ConnectError, SlowConnect
from proxy.model import Clock, Identity, Rng
from proxy.observe.counters import ServiceCounters
from proxy.observe.seldom import Seldom
from proxy.policy import ejection, health, suspicion
from proxy.policy.ejection import EjectionRule, Phase
from proxy.policy.endpoint import NEVER, Endpoint, State
from proxy.policy.health import Health, HealthRule, Status
from proxy.policy.suspicion import SILENT_S, Usual

log = logging.getLogger("headway.pool")

PROVING = frozenset({State.UNCHECKED, State.UNHEALTHY, State.PROBING})  # what READY is a recovery from
USUAL_LASTS_S = 1.0  # in a large service it takes long to find out how long connects take


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
    @property
    def on_unhealthy(self) -> Callable[[Endpoint], None]: ...
    @property
    def on_newcomer(self) -> Callable[[Endpoint], None]: ...
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
        # A connection that works says all that a check would.
        self._plain_checks = self._same_port and settings.health_check is HealthCheck.TCP
        self._slow_start_s = settings.slow_start_s
        self._failure_costs_s = settings.connect_timeout_s
        self._interval_s = settings.health_interval_s
        self._worked_at = NEVER  # when any endpoint worked for the last time, or answered that it is not well
        self._well_from = NEVER  # when it was us for the last time: what began before is no endpoint's fault
        self._seldom = Seldom(clock)
        self._sick = False  # whether it seems to be us, as all endpoints fail
        self._usual, self._usual_until = Usual(0.0, 0), NEVER
        self._out = self._usable = 0  # how many members are ejected, and may be used
        self._counted = False  # whether these are right

    def recount(self) -> None:
        """The members have changed."""
        self._counted = False

    def check(self, endpoint: Endpoint, passed: bool, why: str, began: float, answered: bool) -> None:
        """The result of an active check that began then; `why` it failed, and whether the pod answered so."""
        now = self._clock.now()
        self._counters.health_checks["passed" if passed else "failed"] += 1
        if not passed and began < max(self._well_from, endpoint.worked_from if self._plain_checks else NEVER):
            return
        was = endpoint.health.status
        with self._noting(endpoint, f"check failed: {why}" if why else "check passed"):
            endpoint.health = health.observe(endpoint.health, passed, self._health_rule)
            if passed:
                endpoint.ejection = ejection.may_return(endpoint.ejection, now, checked=self._same_port)
        if passed and self._same_port:
            endpoint.passed_from = began
        self._learn(endpoint, began, alive=passed, patience_s=self._interval_s, answered=answered)
        # Not when it seems to be us: whoever has a connection may get over that with it.
        if endpoint.health.status is Status.UNHEALTHY is not was and not self._sick:
            self._pool.on_unhealthy(endpoint)

    def connected(self, endpoint: Endpoint, taken_at: float, connect_s: float) -> bool:
        """A pod took a connection that began then after `connect_s`; whether that was in good time."""
        slow = connect_s >= suspicion.SLOW_S and self._is_slow(endpoint, connect_s)
        endpoint.connect_s = connect_s
        if not slow:
            return True
        error = SlowConnect(f"after {connect_s:.3g} s")
        if news := self._is_news(endpoint, taken_at, error):
            self._blame(endpoint, error)
        return not news

    def succeeded(self, endpoint: Endpoint, taken_at: float, answer_s: float | None) -> None:
        """A connection that began at `taken_at` worked; the pod's first byte came after `answer_s`."""
        now = self._clock.now()
        if answer_s is not None:
            endpoint.latency.observe(answer_s, now)
        if taken_at >= endpoint.failed_from:  # else new connections fail since, whatever old ones do
            endpoint.succeeded_at = now
            endpoint.worked_from = max(endpoint.worked_from, taken_at)
            self.credit(endpoint)

    def failed(self, endpoint: Endpoint, taken_at: float, error: ConnectError) -> bool:
        """A connection that began at `taken_at` failed, by a fault of the pod's; whether that is news."""
        if not self._is_news(endpoint, taken_at, error):
            return False
        endpoint.latency.penalise(self._failure_costs_s, self._clock.now())
        self._blame(endpoint, error)
        self._learn(endpoint, taken_at, alive=False, patience_s=min(SILENT_S, self._interval_s))
        self._pool.on_suspect(endpoint)
        return True

    def unanswered(self, endpoint: Endpoint) -> None:
        """A pod ended a connection without a byte, after its client had sent some: a bad sign."""
        endpoint.latency.penalise(self._failure_costs_s, self._clock.now())

    def credit(self, endpoint: Endpoint) -> None:
        if endpoint.alive is not True:
            self._learn(endpoint, alive=True)
        else:
            self._worked(endpoint.succeeded_at)
        if self._plain_checks:
            endpoint.health = health.cleared(endpoint.health)
        if endpoint.ejection.failures == 0 and endpoint.ejection.phase is Phase.SERVING:
            return
        with self._noting(endpoint, "a connection to it worked"):
            endpoint.ejection = ejection.succeeded(endpoint.ejection)
        endpoint.probe_since = None

    def _is_news(self, endpoint: Endpoint, began: float, error: ConnectError) -> bool:
        return began >= self._well_from and endpoint.is_news(began, error.checkable)

    def _is_slow(self, endpoint: Endpoint, connect_s: float) -> bool:
        if (now := self._clock.now()) >= self._usual_until:
            self._usual, self._usual_until = suspicion.usual(self._pool.active), now + USUAL_LASTS_S
        return suspicion.is_slow(connect_s, endpoint, self._usual)

    def _has_room(self, endpoint: Endpoint) -> bool:
        """Whether it may be ejected, beside the others."""
        members = self._pool.members
        if not self._counted:
            self._out, self._usable = sum(map(_is_out, members)), sum(each.usable for each in members)
            self._counted = True
        is_member = endpoint.gone_at is None
        others_out = self._out - (is_member and _is_out(endpoint))
        others_usable = self._usable - (is_member and endpoint.usable) > 0
        return ejection.room_to_eject(self._ejection_rule, len(members), others_out, others_usable)

    def _blame(self, endpoint: Endpoint, error: ConnectError) -> None:
        room = self._has_room(endpoint)
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
        checks_fail = endpoint.health.status is Status.UNHEALTHY
        with self._noting(endpoint, "its ejection is over" + ", its checks fail" * checks_fail):
            endpoint.ejection = ejection.may_return(endpoint.ejection, now, checked=False)

    def _learn(
        self,
        endpoint: Endpoint,
        began: float = NEVER,
        *,
        alive: bool,
        patience_s: float = 0.0,
        answered: bool = False,
    ) -> None:
        """What a check or a connection that began then showed; decisive for one that DNS does not list.

        `patience_s`: how long after the last success there has been silence for long. `answered`: a pod that
        says itself that it is not well proves that all between us and it is, and shares no fault with others.
        """
        now = self._clock.now()
        changed = endpoint.alive is not alive
        endpoint.alive = alive
        if not alive:
            endpoint.failing_since = NEVER if answered else now if changed else endpoint.failing_since
            endpoint.failed_from = max(endpoint.failed_from, began)
        if changed and endpoint.identity in self._pool.held:
            self._pool.state_changed()
            if not alive:
                self._pool.drop(endpoint)
        if alive or answered:
            self._worked(now)
        elif not self._sick:
            silent = now - self._worked_at >= patience_s
            if (silent or changed) and suspicion.all_failed(self._pool.members, self._worked_at, silent):
                self._lift_ejections()

    def _worked(self, at: float) -> None:
        """Somebody is there."""
        before, self._worked_at = self._worked_at, max(self._worked_at, at)
        if self._sick:
            self._sick = False
            self._well_from = self._clock.now()
            self._use_again(self._turned_since(before))

    def pardoned(self) -> Set[Endpoint]:
        """Whom nothing is held against, as it seems to be us."""
        return set(self._turned_since(self._worked_at)) if self._sick else set()

    def _turned_since(self, worked_at: float) -> list[Endpoint]:
        """Who began to fail since anybody worked for the last time: who did before is to blame himself."""
        return [each for each in self._pool.members if each.failing_since >= worked_at]

    def _use_again(self, turned: Sequence[Endpoint]) -> None:
        """It was us: they get the benefit of the doubt. Nobody is cold for what we did not reach."""
        log.info("%s: an endpoint answers again, those that failed with it are used again", self._pool.name)
        for endpoint in turned:
            endpoint.ejection = ejection.succeeded(endpoint.ejection)
            endpoint.warming_since, endpoint.ramp = None, 1.0
            if endpoint.health.status is Status.UNHEALTHY:
                endpoint.health = Health(Status.ASSUMED)
                self._pool.on_suspect(endpoint)
        self.recount()
        self._pool.state_changed()

    def _lift_ejections(self) -> None:
        self._sick = True
        self._counters.panics["all_failed"] += 1
        if (more := self._seldom.may_say("all failed")) is not None:
            log.warning(
                "%s: connections or checks of %d of %d endpoints fail, and none has worked since: "
                "is it this pod, its network or its node? None is ejected until one works%s",
                self._pool.name,
                sum(each.alive is False for each in self._pool.members),
                len(self._pool.members),
                more,
            )
        for endpoint in self._turned_since(self._worked_at):
            endpoint.ejection, endpoint.probe_since = ejection.succeeded(endpoint.ejection), None
        self.recount()
        self._pool.state_changed()

    @contextmanager
    def _noting(self, endpoint: Endpoint, why: str) -> Iterator[None]:
        """Log a change of state, and have the picker made anew before the next pick."""
        before, on_probation = endpoint.state, endpoint.on_probation
        out, usable = _is_out(endpoint), endpoint.usable
        yield
        if endpoint.gone_at is None:
            self._out += _is_out(endpoint) - out
            self._usable += endpoint.usable - usable
        if (endpoint.on_probation, endpoint.usable) != (on_probation, usable):
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
        self._pool.on_newcomer(endpoint)


def _is_out(endpoint: Endpoint) -> bool:
    return endpoint.ejection.phase is not Phase.SERVING
