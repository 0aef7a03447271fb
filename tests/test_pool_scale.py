"""What a service of a thousand pods costs. Each bound is far above what the machine at hand needs."""

from collections.abc import Callable
from time import perf_counter

import pytest

from proxy.errors import Refused
from tests.support.fleet import Stage, answer

PODS = 1_000


def best_of(attempts: int, work: Callable[[], object]) -> float:
    """Seconds of the quickest of several runs: what others do on the machine does not count."""

    def once() -> float:
        began = perf_counter()
        work()
        return perf_counter() - began

    return min(once() for _ in range(attempts))


def picking_s(pods: int, balancer: str) -> float:
    stage = Stage(pods, BALANCER=balancer)
    stage.next_one()
    return best_of(5, lambda: [stage.next_one() for _ in range(200)])


@pytest.mark.slow
def test_an_answer_that_changes_little() -> None:
    """Ten of a thousand pods are replaced: the data path waits less than 5 ms, the next pick included."""
    stage = Stage(PODS)
    answers = iter([answer(*range(10 * step, PODS + 10 * step)) for step in range(1, 9)])

    def follow() -> None:
        stage.pool.apply(next(answers))
        stage.next_one()

    assert best_of(8, follow) < 0.005


@pytest.mark.slow
@pytest.mark.parametrize("balancer", ["p2c", "random", "round_robin"])
def test_a_pick_costs_the_same_in_any_crowd(balancer: str) -> None:
    """A connection to a service of a thousand pods is given its pod as fast as one of ten."""
    assert picking_s(PODS, balancer) < 5 * picking_s(10, balancer)


@pytest.mark.slow
def test_a_storm_of_failures() -> None:
    """Every pod fails at once: each failure costs well below a millisecond, the next pick included."""
    stage = Stage(PODS)

    def a_hundred() -> None:
        for _ in range(100):
            with stage.pool.lease([]) as lease:
                lease.failed(Refused())

    assert best_of(3, a_hundred) < 100 * 0.001
