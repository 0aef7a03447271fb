"""Keeps what the data path picks from in step with the endpoints and the clock, as often as it is worth."""

import logging
from collections.abc import Collection, Sequence, Set

from proxy.config import ServiceSettings
from proxy.model import Clock, Identity, Rng
from proxy.observe.counters import ServiceCounters
from proxy.policy import slow_start
from proxy.policy.ejection import Phase
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import PickInfo
from proxy.pool.balancer import factory_of
from proxy.pool.tiers import Chosen, Tiers
from proxy.pool.verdicts import Verdicts

log = logging.getLogger("headway.pool")

NEVER = float("inf")
ALL_FAILED = "all_failed"
RESTS = 9  # times as long as a snapshot takes to make: a storm of failures costs a tenth of the time at most


class Snapshots:
    """Made anew at the next pick, not at the change: a thousand changes are no thousand snapshots."""

    def __init__(
        self,
        settings: ServiceSettings,
        counters: ServiceCounters,
        clock: Clock,
        rng: Rng,
        verdicts: Verdicts,
    ) -> None:
        self.tiers = Tiers(factory_of(settings), settings.panic_threshold, rng)
        self._name = settings.name
        self._counters = counters
        self._clock = clock
        self._verdicts = verdicts
        self._slow_start_s = settings.slow_start_s
        self._probe_patience_s = settings.connect_deadline_s

        self._active: Sequence[Endpoint] = ()
        self._held: Set[Identity] = frozenset()
        self._moving: list[Endpoint] = []  # those that time alone may change
        self._stale = False  # whether the tiers are behind the endpoints' states
        self._next_transition_at = NEVER  # when time alone will change a state
        self._rests_until = 0.0

    def follow(self, active: Sequence[Endpoint], held: Set[Identity]) -> None:
        """These are in use from now on."""
        self._active, self._held = active, held
        self._stale, self._rests_until = True, 0.0

    def outdate(self) -> None:
        self._stale = True

    def refresh(self, now: float) -> None:
        """Catch up: being idle needs no timer."""
        if now < self._rests_until:
            return
        if self._stale:
            self._publish(now)  # before the look at the clock: it finds out when to look
        if now >= self._next_transition_at:
            self._let_time_pass(now)
            self._publish(now)

    def pick(self, info: PickInfo, full: Collection[Endpoint] = ()) -> Chosen | None:
        chosen = self.tiers.pick(info, full)
        if self._stale and self._is_doubtful(chosen, full):
            self._publish(info.now)
            chosen = self.tiers.pick(info, full)
        return chosen

    def _is_doubtful(self, chosen: Chosen | None, full: Collection[Endpoint]) -> bool:
        """Whether newer snapshots might know a better one."""
        return bool(full) if chosen is None else not self.tiers.still_first(chosen, self._held)

    def _let_time_pass(self, now: float) -> None:
        for endpoint in self._moving:
            if endpoint.probe_since is not None and now >= endpoint.probe_since + self._probe_patience_s:
                self._verdicts.credit(endpoint)  # its probing connection stands
            self._verdicts.let_return(endpoint, now)

    def _publish(self, now: float) -> None:
        began = self._clock.now()
        self._moving = [each for each in self._active if not each.usable or each.warming_since is not None]
        for endpoint in self._moving:
            self._ramp(endpoint, now)
        before = self.tiers.field.panic
        self.tiers.publish(self._active, self._held, self._verdicts.pardoned())
        panic = self.tiers.field.panic
        if panic not in ("", before, ALL_FAILED):  # of which the verdicts have told
            self._counters.panics[panic] += 1
            usable, whole = self.tiers.counted
            log.warning("%s: %d of %d endpoints are usable: all are used", self._name, usable, whole)
        self._next_transition_at = min((self._due(each, now) for each in self._moving), default=NEVER)
        self._stale = False
        ended = self._clock.now()
        self._rests_until = ended + RESTS * (ended - began)

    def _ramp(self, endpoint: Endpoint, now: float) -> None:
        if endpoint.warming_since is not None:
            endpoint.ramp = slow_start.ramp(now - endpoint.warming_since, self._slow_start_s)
            if endpoint.ramp == 1.0:
                endpoint.warming_since = None

    def _due(self, endpoint: Endpoint, now: float) -> float:
        """When time alone will change `endpoint`."""
        if endpoint.ejection.phase is Phase.EJECTED:
            return endpoint.ejection.until
        if endpoint.probe_since is not None:
            return endpoint.probe_since + self._probe_patience_s
        return NEVER if endpoint.warming_since is None else now + slow_start.next_step_s(self._slow_start_s)
