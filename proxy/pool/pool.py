"""Owns the endpoints of one service: answers and verdicts change them, the data path takes leases on them.

Everything here runs between two awaits.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from contextlib import contextmanager

from proxy.config import HealthCheck, ServiceSettings
from proxy.errors import ConnectError, NoEndpoint
from proxy.model import Address, Answer, AnswerKind, Clock, Identity, Rng
from proxy.observe.counters import ServiceCounters
from proxy.observe.seldom import Seldom
from proxy.policy import ejection, health
from proxy.policy.ejection import EjectionRule, Phase
from proxy.policy.endpoint import Endpoint, State
from proxy.policy.health import Health, HealthRule, Status
from proxy.policy.membership import Membership, Trust, decide, without
from proxy.pool.history import LENGTH, Heard, heard, kind_of, some
from proxy.pool.lease import Lease
from proxy.pool.tiers import Tiers

log = logging.getLogger("headway.pool")

FORGET_AFTER_S = 60.0  # how long an endpoint that left discovery keeps its history, should it come back
NEVER = float("inf")


class Pool:
    """Its snapshots are replaced whole whenever the set of usable endpoints changes."""

    def __init__(self, settings: ServiceSettings, counters: ServiceCounters, clock: Clock, rng: Rng) -> None:
        self.name = settings.name
        self.counters = counters
        self.last_good_at: float | None = None  # when discovery last learned something
        self.membership = Membership()
        self.members: tuple[Endpoint, ...] = ()  # its endpoints
        self.tiers = Tiers(settings.balancer.value, rng)
        self.on_members_changed: Callable[[], None] = lambda: None
        self.on_replaced: Callable[[Endpoint], None] = lambda endpoint: None  # another pod has its address
        self.request_resolve: Callable[[], None] = lambda: None  # DNS may already know better
        self.history: deque[Heard] = deque(maxlen=LENGTH)

        self._clock = clock
        self._seldom = Seldom(clock)
        self._rng = rng
        self._checked = settings.health_check is not HealthCheck.OFF
        self._health_rule = HealthRule(settings.health_rise, settings.health_fall)
        self._ejection_rule = EjectionRule(
            settings.eject_after, settings.eject_base_s, settings.eject_max_s, settings.eject_share
        )
        self._trust = Trust(settings.dns_hold_s, settings.dns_shrink_guard)
        self._probe_patience_s = settings.connect_deadline_s

        self._known: dict[Identity, Endpoint] = {}  # members, and those that still have leases or history
        self._first_answer = False  # whether endpoints come that have no peers yet, or only just got them
        self._has_members = asyncio.Event()
        self._probing: list[Endpoint] = []
        self._stale = False  # whether the tiers are behind the endpoints' states
        self._next_transition_at = NEVER  # when time alone will change a state

    def __repr__(self) -> str:
        states = self.states()
        return f"<pool {self.name}: " + ", ".join(f"{n} {state}" for state, n in states.items() if n) + ">"

    # --- what others see ------------------------------------------------------------------------

    @property
    def endpoints(self) -> list[Endpoint]:
        """Members, and those gone that still have connections."""
        return [each for each in self._known.values() if each.gone_at is None or each.in_flight]

    @property
    def resolved(self) -> bool:
        """Whether a first answer came, whatever it said."""
        return self.last_good_at is not None

    def answer_age_s(self) -> float | None:
        """Since when discovery has learned nothing; None before the first answer."""
        return None if self.last_good_at is None else self._clock.now() - self.last_good_at

    def states(self) -> dict[State, int]:
        """How many endpoints are in each state."""
        self._refresh()
        counts = dict.fromkeys(State, 0)
        for endpoint in self.endpoints:
            counts[endpoint.state] += 1
        return counts

    # --- discovery ------------------------------------------------------------------------------

    def apply(self, answer: Answer) -> None:
        """Let the membership follow `answer`, as far as policy lets it."""
        now = self._clock.now()
        if answer.kind is not AnswerKind.FAILED:
            self.last_good_at = now
        before = self.membership
        failing = {each.identity for each in self.members if each.failing}
        after = decide(before, answer, failing, self._trust, now)
        added = after.members.keys() - before.members.keys()
        removed = before.members.keys() - after.members.keys()
        if not before.members:
            self._first_answer = True
        self._change(after, added, removed)
        self._first_answer &= answer.partial
        if not answer.partial:
            self.history.append(heard(now, answer, after, added, removed))
        if added or removed:
            self._tell(added, removed, answer)
        elif after.reason != before.reason and (more := self._seldom.may_say(kind_of(after))) is not None:
            level = logging.INFO if answer.is_whole and not self.membership.held else logging.WARNING
            log.log(level, "%s: answer %s: %s%s", self.name, answer, after.reason, more)

    def _change(self, after: Membership, added: Set[Identity], removed: Set[Identity]) -> None:
        before, self.membership = self.membership, after
        for identity in removed:
            self._known[identity].gone_at = self._clock.now()
        for identity in added:
            self._add(identity)
        self._follow(before, after)
        self._stale |= after.members != before.members or after.held != before.held
        self._forget(self._clock.now())
        if added or removed:
            self.members = tuple(self._known[identity] for identity in after.members)
            (self._has_members.set if self.members else self._has_members.clear)()
            self.on_members_changed()

    def _follow(self, before: Membership, after: Membership) -> None:
        """Take over what the answer says of each member; whose its addresses were has lost them."""
        named: dict[Address, Identity] = {}
        for identity, listed in after.members.items():
            if before.members.get(identity) is not listed:
                self._known[identity].follow(listed)
                if identity.name:
                    named.update(dict.fromkeys(self._known[identity].addresses, identity))
        if named:
            self._replace(named)

    def _add(self, identity: Identity) -> None:
        # Endpoints that come all at once have no proven peer to be preferred to: they are used at once.
        status = Status.ASSUMED if self._first_answer or not self._checked else Status.UNCHECKED
        endpoint = self._known.get(identity)
        if endpoint is None or endpoint.replaced:
            endpoint = self._known[identity] = Endpoint(identity, Health(status))
        endpoint.gone_at, endpoint.health, endpoint.alive = None, Health(status), None

    def _replace(self, newcomers: Mapping[Address, Identity]) -> None:
        """End what another pod's predecessors at its address still have: it would talk to the wrong pod."""
        for endpoint in self._known.values():
            if endpoint.gone_at is None or endpoint.replaced:
                continue
            newcomer = next(filter(None, map(newcomers.get, endpoint.addresses)), None)
            if newcomer is not None and newcomer.name != endpoint.identity.name:
                endpoint.replaced = True
                log.warning("%s: %s is now %s", self.name, endpoint.identity, newcomer)
                self.on_replaced(endpoint)

    def _forget(self, now: float) -> None:
        for identity in self._known.keys() - self.membership.members.keys():
            endpoint = self._known[identity]
            gone = endpoint.gone_at is not None and now - endpoint.gone_at > FORGET_AFTER_S
            if (gone or endpoint.replaced) and not endpoint.in_flight:
                del self._known[identity]

    def _tell(self, added: Collection[Identity], removed: Collection[Identity], answer: Answer) -> None:
        parts = [f"{verb} {some(who)}" for verb, who in (("added", added), ("removed", removed)) if who]
        level = logging.INFO if answer.kind is AnswerKind.ENDPOINTS else logging.WARNING
        log.log(level, "%s: %s (answer %s: %s)", self.name, "; ".join(parts), answer, self.membership.reason)

    # --- checks and connections -----------------------------------------------------------------

    def observe_check(self, endpoint: Endpoint, passed: bool, why: str = "") -> None:
        """The result of one active check; `why` it failed."""
        self.counters.health_checks["passed" if passed else "failed"] += 1
        with self._noting(endpoint, f"check failed: {why}" if why else "check passed"):
            endpoint.health = health.observe(endpoint.health, passed, self._health_rule)
            if passed:
                endpoint.ejection = ejection.may_return(endpoint.ejection, self._clock.now(), checked=True)
        self._learn(endpoint, alive=passed)

    def connection_succeeded(self, endpoint: Endpoint) -> None:
        if endpoint.alive is not True:
            self._learn(endpoint, alive=True)
        if endpoint.ejection.failures == 0 and endpoint.ejection.phase is Phase.SERVING:
            return
        with self._noting(endpoint, "a connection to it worked"):
            endpoint.ejection = ejection.succeeded(endpoint.ejection)
        endpoint.probe_since = None

    def connection_failed(self, endpoint: Endpoint, error: ConnectError) -> None:
        """A connection to `endpoint` failed, by a fault of the pod's."""
        others = [each for each in self.members if each is not endpoint]
        others_out = sum(each.ejection.phase is not Phase.SERVING for each in others)
        others_usable = any(each.usable for each in others)
        room = ejection.room_to_eject(self._ejection_rule, len(self.members), others_out, others_usable)
        was_out = endpoint.ejection.phase is Phase.EJECTED
        with self._noting(endpoint, f"connection failed: {error.reason}"):
            endpoint.ejection = ejection.failed(
                endpoint.ejection, self._ejection_rule, self._clock.now(), room, error.checkable
            )
        if endpoint.ejection.phase is Phase.EJECTED and not was_out:
            self.counters.ejections[error.reason] += 1
        endpoint.probe_since = None
        self._learn(endpoint, alive=False)
        self.request_resolve()

    def _learn(self, endpoint: Endpoint, *, alive: bool) -> None:
        """What a check or a connection showed; decisive for an endpoint that DNS does not list."""
        changed = endpoint.alive is not alive
        endpoint.alive = alive
        if changed and endpoint.identity in self.membership.held:
            self._stale = True
            if not alive:
                after = without(self.membership, endpoint.identity)
                self._change(after, frozenset(), {endpoint.identity})
                log.warning("%s: %s", self.name, after.reason)

    @contextmanager
    def _noting(self, endpoint: Endpoint, why: str) -> Iterator[None]:
        """Log a change of state, and have the picker made anew before the next pick."""
        before = endpoint.state
        yield
        if endpoint.state is not before:
            self._stale = True
            level = logging.WARNING if endpoint.state.is_trouble else logging.INFO
            change = f"{endpoint.label} is {endpoint.state}, was {before}"
            log.log(level, "%s: %s (%s)", self.name, change, why)

    # --- the data path --------------------------------------------------------------------------

    def lease(self, tried: Collection[Endpoint]) -> Lease:
        """A lease on the best endpoint that is not among `tried`. Raises NoEndpoint."""
        self._refresh()
        probed = None if tried else self._probe()
        endpoint = probed or self.tiers.pick(tried)
        if endpoint is None:
            raise NoEndpoint(f"{len(tried)} of {len(self.members)} endpoints tried")
        endpoint.in_flight += 1
        endpoint.picks += 1
        return Lease(self, endpoint, endpoint.probe_since if probed else None)

    def release(self, lease: Lease) -> None:
        lease.endpoint.in_flight -= 1
        if not lease.reported and lease.probe_since == lease.endpoint.probe_since:
            lease.endpoint.probe_since = None  # it proved nothing: the next connection may probe again

    async def wait_for_endpoint(self) -> None:
        """Return once any endpoint is known."""
        if not self._has_members.is_set():
            self.request_resolve()
            await self._has_members.wait()

    def has_other_than(self, tried: Collection[Endpoint]) -> bool:
        return any(endpoint not in tried for endpoint in self.members)

    def _probe(self) -> Endpoint | None:
        """An ejected endpoint whose turn it is to prove itself with one connection.

        Not one whose checks fail: a client would pay for the attempt, and a success could not bring it back.
        """
        for endpoint in self._probing:
            if endpoint.probe_since is None and endpoint.health.usable:
                endpoint.probe_since = self._clock.now()
                self._next_transition_at = min(self._next_transition_at, self._due(endpoint))
                return endpoint
        return None

    # --- snapshots ------------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Catch up at each pick: being idle needs no timer, a thousand changes no thousand snapshots."""
        if self._stale:
            self._publish()  # before the look at the clock: it finds out when to look
        if self._clock.now() >= self._next_transition_at:
            self._let_time_pass(self._clock.now())
            self._publish()

    def _let_time_pass(self, now: float) -> None:
        for endpoint in self.members:
            if endpoint.probe_since is not None and now >= endpoint.probe_since + self._probe_patience_s:
                self.connection_succeeded(endpoint)  # its probing connection stands
            with self._noting(endpoint, "its ejection is over"):
                endpoint.ejection = ejection.may_return(endpoint.ejection, now, checked=False)

    def _publish(self) -> None:
        """Replace the snapshots that the data path picks from."""
        self.tiers.publish(self.members, self.membership.held)
        unusable = [each for each in self.members if not each.usable]
        self._probing = [each for each in unusable if each.ejection.phase is Phase.PROBING]
        self._next_transition_at = min((self._due(each) for each in unusable), default=NEVER)
        self._stale = False

    def _due(self, endpoint: Endpoint) -> float:
        """When time alone will change `endpoint`."""
        if endpoint.ejection.phase is Phase.EJECTED:
            return endpoint.ejection.until
        return NEVER if endpoint.probe_since is None else endpoint.probe_since + self._probe_patience_s
