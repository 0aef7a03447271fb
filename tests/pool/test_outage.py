"""The network is gone for a moment and comes back: nobody pays for it afterwards, whatever the algorithm."""

import heapq
from collections import Counter
from contextlib import ExitStack
from itertools import count
from typing import Literal

import pytest

from proxy.errors import ConnectTimeout, Unreachable
from proxy.policy.endpoint import Endpoint
from proxy.pool import Lease
from tests.support.fleet import Stage
from tests.support.traffic import SHARING

PODS, RATE = 8, 200
BEGINS = 10.0
RTT_S, TIMEOUT_S = 0.001, 1.0
MOST = 2.5  # times its share: twice, and what chance adds to the 50 connections that are twice a second's

sharing = pytest.mark.parametrize("balancer", SHARING)


class Service:
    """Eight pods with 200 connections a second, in played time. During the outage packets are dropped, so
    that an attempt fails after a second, or come back as unreachable at once. `got`: who served, and when.
    """

    def __init__(self, lasts_s: float, how: Literal["dropped", "unreachable"], **settings: str) -> None:
        self.stage = Stage(PODS, 7, **{"HEALTH_CHECK": "off"} | settings)
        self.ends, self.how = BEGINS + lasts_s, how
        self.born = self.stage.clock.now()
        self.got: list[tuple[float, Endpoint]] = []
        self._order = count()
        self._events: list[tuple[float, int, Lease | None, list[Endpoint]]] = []

    @property
    def time(self) -> float:
        return self.stage.clock.now() - self.born

    def run(self, until: float) -> None:
        if not self._events:
            self._at(0.0, None, [])
        while self._events[0][0] <= until:
            moment, _, lease, tried = heapq.heappop(self._events)
            self.stage.clock.advance(moment - self.time)
            if lease is None:
                self._at(moment + 1 / RATE, None, [])
                self._connect([])
            else:
                self._hears(lease, tried)
        self.stage.clock.advance(until - self.time)

    def _at(self, moment: float, lease: Lease | None, tried: list[Endpoint]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), lease, tried))

    def _connect(self, tried: list[Endpoint]) -> None:
        lease = self.stage.pool.lease(tried, key=self.stage.rng.getrandbits(64))
        lost = self.how == "dropped" and BEGINS <= self.time < self.ends
        self._at(self.time + (TIMEOUT_S if lost else RTT_S), lease, tried)

    def _hears(self, lease: Lease, tried: list[Endpoint]) -> None:
        """What became of an attempt; a connection that fails is tried elsewhere."""
        began = lease.taken_at - self.born
        with lease:
            if not BEGINS <= began < self.ends:
                self.got.append((began, lease.endpoint))
                lease.connected(RTT_S)
                lease.succeeded(0.0)
                return
            lease.failed(ConnectTimeout() if self.how == "dropped" else Unreachable())
        tried = [*tried, lease.endpoint]
        if len(tried) < 3 and self.stage.pool.may_retry(tried):
            self._connect(tried)

    def shares(self, begins: float, lasts_s: float) -> list[float]:
        """How many times its fair share each pod got in this time."""
        got = Counter(who for moment, who in self.got if begins <= moment < begins + lasts_s)
        return [got[each] / got.total() * PODS for each in self.stage.pool.members]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["dropped", "unreachable"])
@pytest.mark.parametrize("lasts_s", [1.5, 3.0, 8.0])
@sharing
def test_all_come_back(balancer: str, lasts_s: float, how: Literal["dropped", "unreachable"]) -> None:
    """Afterwards nobody is out, nobody warms up, and each pod has its share from the first second on."""
    service = Service(lasts_s, how, BALANCER=balancer)
    service.run(service.ends)
    ejections = service.stage.pool.counters.ejections.total()
    service.run(service.ends + 8.0)

    pool = service.stage.pool
    assert (
        pool.counters.ejections.total() == ejections
    )  # what fails late says nothing of the network that is back
    assert service.stage.states() == ["ready"] * PODS
    for second in range(8):
        assert max(service.shares(service.ends + second, 1.0)) < MOST
    assert min(service.shares(service.ends, 8.0)) > 0.6
    assert pool.counters.panics["all_failed"] == 1
    assert all(each.ramp == 1.0 for each in pool.members)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["dropped", "unreachable"])
@sharing
def test_a_moment_that_nobody_notices(balancer: str, how: Literal["dropped", "unreachable"]) -> None:
    """Half a second of it may eject some before it is known whose fault it is; still nobody is flooded."""
    service = Service(0.5, how, BALANCER=balancer)
    service.run(service.ends + 20.0)

    for second in range(20):
        assert max(service.shares(service.ends + second, 1.0)) < 1.2 * MOST  # half of them may be out
    assert service.stage.states() == ["ready"] * PODS


@pytest.mark.slow
@sharing
def test_one_that_is_really_dead_is_still_found_out(balancer: str) -> None:
    """The network is back, but one pod is not: it is ejected like any other day."""
    service = Service(3.0, "dropped", BALANCER=balancer)
    service.run(service.ends + 1.0)
    service.stage.fail(3, times=3)

    assert service.stage.state(3) == "ejected"


# --- nobody is cold -------------------------------------------------------------------------------


def test_nobody_warms_up_after_it_was_us() -> None:
    """Those ejected before it was found out, and those that had just come back, have all of their share."""
    stage = Stage(6, HEALTH_CHECK="off")
    stage.succeed(5)
    stage.fail(0, times=3)
    stage.clock.advance(6)
    stage.succeed(0)
    assert stage.pod(0).warming_since is not None
    stage.clock.advance(1)
    for number in range(6):
        stage.fail(number, times=3)
    assert stage.pool.counters.panics == {"all_failed": 1}
    stage.clock.advance(1)
    stage.succeed(3)

    assert stage.states() == ["ready"] * 6
    assert [each.effective_weight for each in stage.pool.members] == [1.0] * 6
    assert all(each.ejection.failures == 0 for each in stage.pool.members)


def test_where_there_is_traffic_a_second_tells() -> None:
    """A second without any success, and everyone fails: connections need not wait for a whole interval."""
    stage = Stage(4, HEALTH_INTERVAL="1m")
    stage.succeed(0)
    stage.clock.advance(0.9)
    for number in range(4):
        stage.fail(number)
    assert stage.pool.counters.panics == {}
    stage.clock.advance(0.1)
    stage.fail(0)

    assert stage.pool.counters.panics == {"all_failed": 1}


def test_checks_alone_take_an_interval() -> None:
    """They are seldom: five of ten that fail one after the other may be the five that are dead."""
    stage = Stage(10)
    stage.check(9, True)
    stage.clock.advance(2)
    for number in range(5):
        stage.check(number, False)
    assert stage.pool.counters.panics == {}
    stage.clock.advance(3)
    stage.check(0, False)

    assert stage.pool.counters.panics == {"all_failed": 1}


def test_ejections_are_counted_anew() -> None:
    """Half of the pods were out before it was us; afterwards there is room for the next ones, and no more."""
    stage = Stage(6, HEALTH_CHECK="off")
    stage.succeed(5)
    for number in range(3):
        stage.fail(number, times=3)
    assert stage.states().count("ejected") == 3
    for number in range(3, 6):
        stage.fail(number)
    stage.clock.advance(1)
    stage.fail(5)
    stage.succeed(0)
    assert stage.states() == ["ready"] * 6
    for number in range(2, 6):
        stage.succeed(0)
        stage.fail(number, times=3)

    assert stage.states() == ["ready", "ready", "ejected", "ejected", "ejected", "ready"]


def test_usable_ones_are_counted_anew() -> None:
    """Checks had called all of them dead; now that they are used again, one that fails may be ejected."""
    stage = Stage(3)
    for number in range(3):
        stage.check(number, False, False, False)
    stage.fail(0)
    stage.check(2, True)
    assert stage.states() == ["ready"] * 3
    stage.fail(1, times=3)

    assert stage.states() == ["ready", "ejected", "ready"]


@sharing
def test_checks_that_fail_one_by_one_leave_nobody_alone(balancer: str) -> None:
    """While all seem to fail, the one whose third check has not failed yet does not get everything."""
    stage = Stage(PODS, 7, BALANCER=balancer, HEALTH_FALL="3", SLOW_START="0")
    pods = stage.pool.members
    for pod in pods:
        with stage.pool.lease([each for each in pods if each is not pod]) as lease:
            lease.succeeded(0.0)
    stage.clock.advance(2.0)
    for _ in range(3):
        for pod in pods[:-1]:
            stage.pool.observe_check(pod, False, "refused")
    stage.pool.observe_check(pods[-1], False, "refused")
    assert sum(pod.usable for pod in pods) == 1

    with ExitStack() as held:
        for _ in range(200):
            held.enter_context(stage.pool.lease([], key=stage.rng.getrandbits(64)))
        got = [pod.in_flight / 200 * PODS for pod in pods]

    assert max(got) <= MOST
