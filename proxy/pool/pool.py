"""Owns the endpoints of one service: answers and verdicts change them, the data path takes leases on them.

Everything here runs between two awaits.
"""

from collections import deque
from collections.abc import Callable, Collection, Sequence, Set

from msgspec.structs import replace

from proxy.config import HealthCheck, ServiceSettings
from proxy.errors import AllFull, ConnectError, NoEndpoint
from proxy.model import Answer, Clock, Identity, Rng
from proxy.observe.counters import ServiceCounters
from proxy.policy import subset
from proxy.policy.endpoint import Endpoint, State
from proxy.policy.membership import Membership, Trust
from proxy.policy.pickers import Pick, PickInfo
from proxy.policy.retry import RetryBudget
from proxy.policy.sliding import SlidingCount
from proxy.pool.lease import Lease
from proxy.pool.picked import LENGTH, Picked
from proxy.pool.roster import Roster
from proxy.pool.snapshots import Snapshots
from proxy.pool.tiers import DOUBTFUL, STANDBY, Chosen, Tiers, tier_of
from proxy.pool.verdicts import Verdicts

MANY = 1 << 30
MINUTE_SLOTS = (10.0, 6)  # in which recent picks are counted


class Pool:
    """Its snapshots are replaced whole whenever the set of usable endpoints changes. `pod`: who we are."""

    def __init__(
        self, settings: ServiceSettings, counters: ServiceCounters, clock: Clock, rng: Rng, pod: str = ""
    ) -> None:
        self.name = settings.name
        self.counters = counters
        checked = settings.health_check is not HealthCheck.OFF
        trust = Trust(settings.dns_hold_s, settings.dns_shrink_guard)
        self.roster = Roster(self.name, trust, checked, clock)
        self.verdicts = Verdicts(settings, counters, clock, rng, self)
        self.roster.on_joined = self.verdicts.warm
        self.active: tuple[Endpoint, ...] = ()  # the members in use: all of them, or a subset
        self.on_members_changed: Callable[[], None] = lambda: None
        self.on_states_changed: Callable[[], None] = lambda: None  # nor is who is in use the same
        self.on_suspect: Callable[[Endpoint], None] = lambda endpoint: None  # a check would tell more
        self.on_unhealthy: Callable[[Endpoint], None] = lambda endpoint: None  # its checks fail now
        self.on_newcomer: Callable[[Endpoint], None] = lambda endpoint: None  # it may be used from now on
        self.on_room: Callable[[int], None] = lambda count: None  # for so many more connections, perhaps
        self.request_resolve: Callable[[], None] = lambda: None  # DNS may already know better
        self.picked: deque[Picked] = deque(maxlen=LENGTH)

        self._snapshots = Snapshots(settings, counters, clock, rng, self.verdicts)
        self._clock = clock
        self._rng = rng
        self._pod = pod
        self._subset_size = settings.subset_size
        self._retries = RetryBudget(settings.retry_budget)

        self._order: Sequence[Endpoint] = ()  # of the members, this pod's own, where it uses a subset of them
        self._standby: Sequence[Endpoint] = ()  # members that are not in use, the next one first
        self._most = settings.max_connections_per_endpoint  # 0: no cap
        self._full: set[Endpoint] = set()  # those that have as many, members or not

    def __repr__(self) -> str:
        states = self.states()
        return f"<pool {self.name}: " + ", ".join(f"{n} {state}" for state, n in states.items() if n) + ">"

    # --- what others see ------------------------------------------------------------------------

    @property
    def members(self) -> tuple[Endpoint, ...]:
        return self.roster.members

    @property
    def tiers(self) -> Tiers:
        return self._snapshots.tiers

    @property
    def membership(self) -> Membership:
        return self.roster.membership

    @property
    def endpoints(self) -> list[Endpoint]:
        """Members, and those gone that still have connections."""
        return self.roster.endpoints

    @property
    def held(self) -> Set[Identity]:
        return self.roster.membership.held

    @property
    def resolved(self) -> bool:
        """Whether a first answer came, whatever it said."""
        return self.roster.last_good_at is not None

    def answer_age_s(self) -> float | None:
        """Since when discovery has learned nothing; None before the first answer."""
        at = self.roster.last_good_at
        return None if at is None else self._clock.now() - at

    def states(self) -> dict[State, int]:
        """How many endpoints are in each state."""
        self._snapshots.refresh(self._clock.now())
        counts = dict.fromkeys(State, 0)
        for endpoint in self.endpoints:
            counts[endpoint.state] += 1
        return counts

    def serving(self) -> list[Endpoint]:
        """Those that are used by right, as of now; none while others are used for want of them."""
        self._snapshots.refresh(self._clock.now())
        if self.tiers.field.panic:
            return []
        return [each for each in self.active if each.usable and tier_of(each, self.held, ()) < DOUBTFUL]

    # --- discovery ------------------------------------------------------------------------------

    def apply(self, answer: Answer) -> None:
        """Let the membership follow `answer`, as far as policy lets it."""
        if self.roster.apply(answer):
            self._follow_members()

    def _follow_members(self) -> None:
        self.verdicts.recount()
        if self._subset_size:
            for endpoint in self.members:
                endpoint.rank = endpoint.rank or subset.rank(self._pod, endpoint.identity)
            self._order = subset.in_order(self.members)
        self._choose(anew=True)
        self._snapshots.follow(self.active, self.held)

    def _choose(self, *, anew: bool = False) -> None:
        """Take the members into use: all of them, or the first ones in this pod's order."""
        chosen = tuple(subset.choose(self._order, self._subset_size)) if self._subset_size else self.members
        changed = chosen != self.active
        if self._subset_size and (changed or anew):
            used = set(chosen)
            self._standby = [each for each in self._order if each not in used]
            for endpoint in self._order:
                endpoint.standby = endpoint not in used
        if changed:
            before, self.active = self.active, chosen
            self._snapshots.follow(self.active, self.held)
            self.on_members_changed()
            self.on_states_changed()
            self.on_room(MANY)
            if self._subset_size and before:
                for endpoint in set(chosen).difference(before):
                    self.on_newcomer(endpoint)

    def drop(self, endpoint: Endpoint) -> None:
        self.roster.drop(endpoint)
        self._follow_members()

    def state_changed(self) -> None:
        self._snapshots.outdate()
        self.on_states_changed()
        self.on_room(MANY)
        if self._subset_size:
            self._choose()

    # --- checks and connections -----------------------------------------------------------------

    def observe_check(
        self,
        endpoint: Endpoint,
        passed: bool,
        why: str = "",
        began: float | None = None,
        answered: bool = False,
    ) -> None:
        """The result of an active check that began then, or a moment ago; `why` it failed; whether the pod
        answered so.
        """
        began = self._clock.now() if began is None else began
        self.verdicts.check(endpoint, passed, why, began, answered)

    def connected(self, lease: Lease) -> None:
        took_s = lease.connect_s
        if took_s is not None and not self.verdicts.connected(lease.endpoint, lease.taken_at, took_s):
            lease.reported = True  # that it works in the end is no credit

    def connection_succeeded(self, lease: Lease, waited_s: float | None) -> None:
        """The pod of `lease` sent its first byte, `waited_s` after the client's, or ended well without."""
        known = waited_s is not None and lease.connect_s is not None
        answer_s = lease.connect_s + waited_s if known else None  # type: ignore[operator]
        self.verdicts.succeeded(lease.endpoint, lease.taken_at, answer_s)

    def connection_failed(self, lease: Lease, error: ConnectError) -> None:
        """The connection of `lease` failed, by a fault of the pod's."""
        if self.verdicts.failed(lease.endpoint, lease.taken_at, error):
            lease.endpoint.turn_from(lease.address)
            self.request_resolve()

    def connection_unanswered(self, lease: Lease) -> None:
        """The pod of `lease` ended it without a byte, after its client had sent some."""
        self.verdicts.unanswered(lease.endpoint)

    # --- the data path --------------------------------------------------------------------------

    def lease(self, tried: Collection[Endpoint], key: int = 0) -> Lease:
        """A lease on the best endpoint that is not among `tried`. Raises AllFull or NoEndpoint."""
        now = self._clock.now()
        snapshots = self._snapshots
        snapshots.refresh(now)
        info = PickInfo(tried, now, self._rng, key)
        chosen = (
            (tried and self._pick_again(info)) or snapshots.pick(info, self._full) or self._pick_last(info)
        )
        if chosen is None and self._full and any(_is_left(each, tried) for each in self._full):
            raise AllFull(f"each has {self._most} connections")
        if not tried:
            self._retries.connection(now)
        if chosen is None:
            raise NoEndpoint(f"{len(tried)} of {len(self.members)} endpoints tried")
        endpoint = chosen.pick.endpoint
        self.picked.append(Picked(now, tuple(tried), chosen, snapshots.tiers.field))
        probe_since = self._begin_probe(endpoint, now) if endpoint.on_probation else None
        endpoint.in_flight += 1
        endpoint.picks += 1
        if self._most and endpoint.in_flight >= self._most:
            self._full.add(endpoint)
        if endpoint.recent_picks is None:
            endpoint.recent_picks = SlidingCount(*MINUTE_SLOTS)
        endpoint.recent_picks.add(now)
        return Lease(self, endpoint, endpoint.address, now, probe_since)

    def _pick_again(self, info: PickInfo) -> Chosen | None:
        """A retry goes to an endpoint that proved itself when it was last used, if one is left; else to one
        that nothing speaks against, from outside the subset if need be: not to the next of those that fail.
        """
        left = [each for each in self.active if each not in info.tried]
        return (
            self._pick_of([each for each in left if each.proven], info)
            or self._pick_of([each for each in left if not each.failing], info)
            or self._stand_in({*info.tried, *self._full})
        )

    def _pick_last(self, info: PickInfo) -> Chosen | None:
        """Nobody in use is left: one from outside the subset, unless those left are only full."""
        if any(_is_left(each, info.tried) for each in self._full if not each.standby):
            return None
        return self._stand_in({*info.tried, *self._full})

    def _pick_of(self, wanted: Sequence[Endpoint], info: PickInfo) -> Chosen | None:
        if not wanted:
            return None  # a picker may have to look at all it knows to find that out
        return self._snapshots.pick(replace(info, tried=set(self.active).difference(wanted)), self._full)

    def _begin_probe(self, endpoint: Endpoint, now: float) -> float:
        """This connection shows what an ejected endpoint is worth; nobody else goes there meanwhile."""
        endpoint.probe_since = now
        self._snapshots.outdate()
        return now

    def release(self, lease: Lease) -> None:
        lease.endpoint.in_flight -= 1
        if self._most and lease.endpoint.in_flight < self._most:
            self._full.discard(lease.endpoint)
            self.on_room(1)
        if not lease.reported and lease.probe_since == lease.endpoint.probe_since is not None:
            lease.endpoint.probe_since = None  # it proved nothing: the next connection may probe again
            self._snapshots.outdate()

    def has_hope(self, tried: Collection[Endpoint]) -> bool:
        """Whether an endpoint is left that nothing speaks against."""
        hopeful = any(each.usable and not each.failing and each not in tried for each in self.active)
        return hopeful or self._stand_in(tried) is not None

    def may_retry(self, tried: Collection[Endpoint]) -> bool:
        """Whether another endpoint may be tried: one that is known to be alive, or any within the budget."""
        if any(each.proven and each not in tried for each in self.active):
            return True
        if (stand_in := self._stand_in(tried)) is not None and stand_in.pick.endpoint.proven:
            return True
        allowed = self._retries.spend(self._clock.now())
        if not allowed:
            self.counters.sheds["retry_budget"] += 1
        return allowed

    def has_other_than(self, tried: Collection[Endpoint]) -> bool:
        return any(each not in tried for each in self.active) or self._stand_in(tried) is not None

    def _stand_in(self, tried: Collection[Endpoint]) -> Chosen | None:
        """One from outside the subset, when all of that were tried: the same one until it fails as well."""
        left = (each for each in self._standby if each not in tried and not each.failing)
        endpoint = next(left, None)
        return None if endpoint is None else Chosen(STANDBY, Pick(endpoint))


def _is_left(endpoint: Endpoint, tried: Collection[Endpoint]) -> bool:
    return endpoint.gone_at is None and endpoint not in tried
