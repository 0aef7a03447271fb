"""Owns the endpoints of one service: answers and verdicts change them, the data path takes leases on them.

The one place where the control path and the data path meet. Everything here runs between two awaits.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import TracebackType

from proxy.config import HealthCheck, ServiceSettings
from proxy.errors import ConnectError, NoEndpoint
from proxy.model import Address, Answer, AnswerKind, Clock, Rng
from proxy.observe.counters import ServiceCounters
from proxy.policy import ejection, health
from proxy.policy.ejection import EjectionRule, Phase
from proxy.policy.endpoint import Endpoint, State
from proxy.policy.health import Health, HealthRule, Status
from proxy.policy.membership import Membership, decide
from proxy.policy.pickers import Picker, make_picker

log = logging.getLogger("headway.pool")

FORGET_AFTER_S = 60.0  # how long an endpoint that left discovery keeps its history, should it come back
NEVER = float("inf")


class Lease:
    """The right to use one endpoint for one connection. The count falls when the block ends, on every path.

    Ends with one of succeeded, failed, or neither: the client left before the pod showed what it is.
    """

    __slots__ = ("_pool", "endpoint", "probe_since", "reported")

    def __init__(self, pool: "Pool", endpoint: Endpoint, probe_since: float | None) -> None:
        self._pool = pool
        self.reported = False
        self.endpoint = endpoint
        self.probe_since = probe_since  # when this is the connection that probes it

    def __enter__(self) -> "Lease":
        return self

    def succeeded(self) -> None:
        if not self.reported:
            self.reported = True
            self._pool.connection_succeeded(self.endpoint)

    def failed(self, error: ConnectError) -> None:
        """Only a fault of the pod's counts; any other proves nothing, as if the client had left."""
        if not self.reported and error.source == "upstream":
            self.reported = True
            self._pool.connection_failed(self.endpoint, error)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._pool.release(self)


class Pool:
    """`picker` is replaced whole whenever the set of usable endpoints changes."""

    def __init__(self, settings: ServiceSettings, counters: ServiceCounters, clock: Clock, rng: Rng) -> None:
        self.name = settings.name
        self.counters = counters
        self.last_good_at: float | None = None  # when discovery last learned something
        self.members: tuple[Endpoint, ...] = ()  # the endpoints that discovery lists
        self.on_members_changed: Callable[[], None] = lambda: None
        self.request_resolve: Callable[[], None] = lambda: None  # DNS may already know better

        self._clock = clock
        self._rng = rng
        self._algorithm = settings.balancer.value
        self._checked = settings.health_check is not HealthCheck.OFF
        self._health_rule = HealthRule(settings.health_rise, settings.health_fall)
        self._ejection_rule = EjectionRule(
            settings.eject_after, settings.eject_base_s, settings.eject_max_s, settings.eject_share
        )
        self._hold_s = settings.dns_hold_s
        self._probe_patience_s = settings.connect_deadline_s

        self._known: dict[Address, Endpoint] = {}  # members, and those that still have leases or history
        self._membership = Membership()
        self._first_answer = False  # whether endpoints come that have no peers yet, or only just got them
        self._has_members = asyncio.Event()
        self._probing: list[Endpoint] = []
        self._stale = False  # whether the snapshots below are behind the endpoints' states
        self._next_transition_at = NEVER  # when time alone will change a state
        self.picker: Picker = make_picker(self._algorithm, (), rng, None)
        self._fallback: Picker = make_picker(self._algorithm, (), rng, None)

    def __repr__(self) -> str:
        states = self.states()
        return f"<pool {self.name}: " + ", ".join(f"{n} {state}" for state, n in states.items() if n) + ">"

    # --- what others see ------------------------------------------------------------------------

    @property
    def endpoints(self) -> list[Endpoint]:
        """Members, and those gone that still have connections."""
        return [each for each in self._known.values() if each.gone_at is None or each.in_flight]

    @property
    def reason(self) -> str:
        """Why the membership is what it is."""
        return self._membership.reason

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
        before = self._membership
        failing = {each.address for each in self.members if each.failing}
        self._membership = decide(before, answer, failing, self._hold_s, now)
        added = self._membership.members - before.members
        removed = before.members - self._membership.members
        if not before.members:
            self._first_answer = True
        for address in added:
            self._add(address)
        self._first_answer &= answer.partial
        for address in removed:
            self._known[address].gone_at = now
        self._forget(now)
        if added or removed:
            self._follow_membership()
            self._tell(added, removed, answer)
        elif self._membership.reason != before.reason:
            level = logging.INFO if answer.is_whole else logging.WARNING
            log.log(level, "%s: answer %s: %s", self.name, answer, self._membership.reason)

    def _add(self, address: Address) -> None:
        # Endpoints that come all at once have no proven peer to be preferred to: they are used at once.
        status = Status.ASSUMED if self._first_answer or not self._checked else Status.UNCHECKED
        endpoint = self._known.setdefault(address, Endpoint(address, Health(status)))
        endpoint.gone_at, endpoint.health = None, Health(status)

    def _forget(self, now: float) -> None:
        for address, endpoint in list(self._known.items()):
            gone = endpoint.gone_at is not None and now - endpoint.gone_at > FORGET_AFTER_S
            if gone and not endpoint.in_flight:
                del self._known[address]

    def _follow_membership(self) -> None:
        self.members = tuple(self._known[address] for address in self._membership.members)
        (self._has_members.set if self.members else self._has_members.clear)()
        self._stale = True
        self.on_members_changed()

    def _tell(self, added: Collection[Address], removed: Collection[Address], answer: Answer) -> None:
        changes = (("added", added), ("removed", removed))
        parts = [f"{verb} {', '.join(map(str, sorted(some)))}" for verb, some in changes if some]
        level = logging.INFO if answer.kind is AnswerKind.ENDPOINTS else logging.WARNING
        log.log(level, "%s: %s (answer %s: %s)", self.name, "; ".join(parts), answer, self._membership.reason)

    # --- checks and connections -----------------------------------------------------------------

    def observe_check(self, endpoint: Endpoint, passed: bool, why: str = "") -> None:
        """The result of one active check; `why` it failed."""
        self.counters.health_checks["passed" if passed else "failed"] += 1
        with self._noting(endpoint, f"check failed: {why}" if why else "check passed"):
            endpoint.health = health.observe(endpoint.health, passed, self._health_rule)
            if passed:
                endpoint.ejection = ejection.may_return(endpoint.ejection, self._clock.now(), checked=True)

    def connection_succeeded(self, endpoint: Endpoint) -> None:
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
        self.request_resolve()

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
        endpoint = (
            probed
            or self.picker.pick(tried, self._rng)
            or self._fallback.pick(tried, self._rng)  # never everything out: a doubtful pod beats none
        )
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
        usable = [each for each in self.members if each.usable]
        unusable = [each for each in self.members if not each.usable]
        self.picker = make_picker(self._algorithm, usable, self._rng, self.picker)
        self._fallback = make_picker(self._algorithm, unusable, self._rng, self._fallback)
        self._probing = [each for each in unusable if each.ejection.phase is Phase.PROBING]
        self._next_transition_at = min((self._due(each) for each in unusable), default=NEVER)
        self._stale = False

    def _due(self, endpoint: Endpoint) -> float:
        """When time alone will change `endpoint`."""
        if endpoint.ejection.phase is Phase.EJECTED:
            return endpoint.ejection.until
        return NEVER if endpoint.probe_since is None else endpoint.probe_since + self._probe_patience_s
