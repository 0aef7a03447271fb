"""Any story of answers, checks, connections and time: what always holds of a pool."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from proxy.errors import NoEndpoint, OutOfDescriptors, Refused
from proxy.model import Answer
from proxy.policy.ejection import Phase
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import PICKERS, PickInfo
from proxy.pool import Lease, Pool
from tests.support.fleet import EMPTY, FAILED, NXDOMAIN, Stage

PODS = st.integers(0, 5)


class PoolMachine(RuleBasedStateMachine):
    leases: Bundle[Lease] = Bundle("leases")

    @initialize(
        balancer=st.sampled_from(sorted(PICKERS)),
        checks=st.sampled_from(["tcp", "off"]),
        after=st.integers(0, 2),
        share=st.sampled_from(["0%", "50%", "100%"]),
        guard=st.sampled_from(["0%", "50%", "100%"]),
        seed=st.integers(0, 99),
    )
    def begin(self, balancer: str, checks: str, after: int, share: str, guard: str, seed: int) -> None:
        ejection = {"EJECT_AFTER": str(after), "EJECT_SHARE": share}
        chosen = {"BALANCER": balancer, "HEALTH_CHECK": checks, "DNS_SHRINK_GUARD": guard}
        self.stage = Stage(0, seed, **ejection, **chosen)
        self.held: list[Lease] = []
        self.probes: dict[Endpoint, Lease] = {}

    @property
    def pool(self) -> Pool:
        return self.stage.pool

    def is_good(self, endpoint: Endpoint) -> bool:
        """Whether it may be used while others may be, too: DNS lists it, or it has just proved alive."""
        held = endpoint.identity in self.pool.membership.held
        return endpoint.proven if held else endpoint.usable or endpoint.on_probation

    # --- what may happen --------------------------------------------------------------------------

    @rule(numbers=st.sets(PODS, min_size=1))
    def dns_lists(self, numbers: set[int]) -> None:
        self.stage.answer(*numbers)
        assert numbers <= self.stage.numbers(self.pool.members)
        held = {each for each in self.pool.members if each.identity in self.pool.membership.held}
        assert self.stage.numbers(self.pool.members) - numbers == self.stage.numbers(held)

        self.stage.answer(*numbers)
        assert self.stage.numbers(self.pool.members) == numbers

    @rule()
    def dns_fails(self) -> None:
        before = self.pool.members
        self.pool.apply(FAILED)

        assert self.pool.members == before

    @rule(denial=st.sampled_from([NXDOMAIN, EMPTY]))
    def dns_denies(self, denial: Answer) -> None:
        before, failing = set(self.pool.members), {each for each in self.pool.members if each.failing}
        self.pool.apply(denial)

        assert set(self.pool.members) in (before - failing, set())

    @rule(seconds=st.sampled_from([0.5, 5.0, 29.0, 61.0, 301.0]))
    def time_passes(self, seconds: float) -> None:
        self.stage.clock.advance(seconds)

    @rule(number=PODS, passed=st.booleans(), times=st.integers(1, 3))
    def checked(self, number: int, passed: bool, times: int) -> None:
        for _ in range(times):
            if number in self.stage.numbers(self.pool.members):
                self.stage.check(number, passed)

    @rule(target=leases, tried=st.sets(PODS))
    def connect(self, tried: set[int]) -> Lease | MultipleResults[Lease]:
        """Members that were not tried are enough to get one of them."""
        known = [each for each in self.pool.members if self.stage.number(each) in tried]
        left = set(self.pool.members) - set(known)
        self.pool.states()
        usable = set(filter(self.is_good, left))
        on_probation = {each for each in left if each.on_probation}
        try:
            lease = self.pool.lease(known)
        except NoEndpoint:
            assert not left
            return multiple()
        assert lease.endpoint in left
        self.held.append(lease)
        assert not usable or lease.endpoint in usable
        if lease.endpoint in on_probation:  # one at a time
            assert lease.endpoint not in self.probes
            self.probes[lease.endpoint] = lease
        return lease

    @rule(lease=leases)
    def works(self, lease: Lease) -> None:
        if lease in self.held:
            lease.succeeded()

    @rule(lease=consumes(leases), how=st.sampled_from(["works", "fails", "own fault", "client left"]))
    def ends(self, lease: Lease, how: str) -> None:
        self.pool.states()
        usable = {each for each in self.pool.members if each.usable}
        out = [each for each in self.pool.members if each.ejection.phase is not Phase.SERVING]
        with lease:
            if how == "works":
                lease.succeeded()
            elif how == "fails":
                lease.failed(Refused())
            elif how == "own fault":
                lease.failed(OutOfDescriptors())
        self.held.remove(lease)
        self.probes = {each: probe for each, probe in self.probes.items() if probe is not lease}
        if lease.endpoint in usable and not lease.endpoint.usable:
            assert how == "fails"
            assert usable - {lease.endpoint}, "the last usable one was ejected"
            share = self.stage.settings.eject_share
            assert len(out) + 1 <= max(1, int(len(self.pool.members) * share))

    # --- what always holds ------------------------------------------------------------------------

    @invariant()
    def each_held_lease_is_counted_once(self) -> None:
        counts = Counter(lease.endpoint for lease in self.held)
        for endpoint in {*self.pool.endpoints, *counts}:
            assert endpoint.in_flight == counts[endpoint]

    @invariant()
    def nobody_with_a_connection_is_forgotten(self) -> None:
        assert {lease.endpoint for lease in self.held} <= set(self.pool.endpoints)

    @invariant()
    def decided_probes_are_over(self) -> None:
        probing = {each for each in self.probes if each.ejection.phase is Phase.PROBING}
        self.probes = {each: self.probes[each] for each in probing}

    @invariant()
    def the_picker_knows_the_usable_members(self) -> None:
        assert sum(self.pool.states().values()) == len(self.pool.endpoints)
        picked: list[Endpoint] = []
        while chosen := self.pool.tiers.pick(PickInfo(picked, self.stage.clock.now(), self.stage.rng)):
            picked.append(chosen.pick.endpoint)
        assert len(picked) == len(set(picked))
        assert set(picked) == set(self.pool.members)
        good = list(map(self.is_good, picked))
        assert good == sorted(good, reverse=True)

    @invariant()
    def someone_always_serves(self) -> None:
        if self.pool.members:
            with self.pool.lease([]) as lease:
                assert lease.endpoint in self.pool.members


@pytest.mark.slow
def test_any_story() -> None:
    """Whatever happens: counts are right, a usable pod is never refused, a probed one never flooded."""
    run_state_machine_as_test(
        PoolMachine,
        settings=settings(derandomize=True, deadline=None, max_examples=80, stateful_step_count=40),
    )
