"""What a service of a thousand pods costs beside one of a hundred: the quickest of several runs each."""

from collections.abc import Callable
from time import thread_time
from typing import Any

import pytest

from proxy.errors import Refused
from proxy.observe.counters import ServiceCounters
from proxy.pool import Pool
from proxy.pool.tiers import Tiers
from tests.support import FakeClock
from tests.support.fleet import Stage, answer

FEW, MANY = 100, 1_000
LINEAR = 3 * MANY / FEW  # what is quadratic costs a hundred times as much

pytestmark = pytest.mark.slow


def best_of(attempts: int, work: Callable[[], object]) -> float:
    """Seconds of the quickest run: what others do on the machine does not count."""

    def once() -> float:
        began = thread_time()
        work()
        return thread_time() - began

    return min(once() for _ in range(attempts))


def following_s(pods: int) -> float:
    """An answer that replaces ten pods, and the next pick."""
    stage = Stage(pods)
    answers = iter([answer(*range(10 * step, pods + 10 * step)) for step in range(1, 9)])

    def follow() -> None:
        stage.pool.apply(next(answers))
        stage.next_one()

    return best_of(8, follow)


def picking_s(pods: int, balancer: str) -> float:
    stage = Stage(pods, BALANCER=balancer)
    stage.next_one()
    return best_of(50, lambda: [stage.next_one() for _ in range(20)])


def failing_s(pods: int) -> float:
    """A hundred failures in a row, each with the next pick."""
    stage = Stage(pods)

    def a_hundred() -> None:
        for _ in range(100):
            with stage.pool.lease([]) as lease:
                lease.failed(Refused())

    return best_of(3, a_hundred)


def test_an_answer_that_changes_little() -> None:
    """Ten pods are replaced: the cost grows with the number of pods, not with its square."""
    assert following_s(MANY) < LINEAR * following_s(FEW)


def test_a_storm_of_failures() -> None:
    """Every pod fails at once: a failure's cost grows with the number of pods, not with its square."""
    assert failing_s(MANY) < LINEAR * failing_s(FEW)


class Passing(FakeClock):
    """Time goes by as the work is done."""

    def now(self) -> float:
        return self.time + thread_time()


@pytest.mark.parametrize("balancer", ["p2c", "maglev", "least_connections"])
def test_a_storm_is_no_storm_of_snapshots(balancer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,500 failures of 400 in a thousand pods: snapshots take a tenth of the time, not more."""
    publish, took = Tiers.publish, [0.0]

    def timed(self: Tiers, *arguments: Any) -> None:
        began = thread_time()
        publish(self, *arguments)
        took[0] += thread_time() - began

    stage = Stage(0, BALANCER=balancer)
    stage.clock = Passing()
    stage.pool = Pool(stage.settings, ServiceCounters(), stage.clock, stage.rng)
    stage.answer(*range(MANY))
    dead = {each for each in stage.pool.members if stage.number(each) < 400}
    stage.next_one()
    monkeypatch.setattr(Tiers, "publish", timed)
    began, failed = stage.clock.now(), 0
    while failed < 1_500:
        stage.clock.advance(0.001)
        with stage.pool.lease([], key=stage.rng.getrandbits(64)) as lease:
            if lease.endpoint in dead:
                failed += 1
                lease.failed(Refused())
            else:
                lease.succeeded()

    assert took[0] < 0.2 * (stage.clock.now() - began)


def far_s(pods: int) -> float:
    """A thousand connects that take longer than a tenth of a second."""
    stage = Stage(pods)
    for number, endpoint in enumerate(stage.pool.members):
        endpoint.connect_s = 0.2 + number % 7 / 100
    taken = [stage.pool.lease([]) for _ in range(1_000)]

    def connect() -> None:
        for lease in taken:
            lease.connected(0.2)

    return best_of(3, connect)


def test_far_pods_cost_the_same_in_any_crowd() -> None:
    """Each connect is compared with what is usual; that is not found out anew each time."""
    assert far_s(MANY) < 3 * far_s(10)


@pytest.mark.parametrize("balancer", ["p2c", "random", "round_robin"])
def test_a_pick_costs_the_same_in_any_crowd(balancer: str) -> None:
    """A connection to a service of a thousand pods is given its pod as fast as one of ten."""
    assert picking_s(MANY, balancer) < 5 * picking_s(10, balancer)
