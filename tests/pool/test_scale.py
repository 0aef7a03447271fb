"""What a service of a thousand pods costs beside one of a hundred: the quickest of several runs each."""

from collections.abc import Callable
from time import perf_counter

import pytest

from proxy.errors import Refused
from tests.support.fleet import Stage, answer

FEW, MANY = 100, 1_000
LINEAR = 3 * MANY / FEW  # what is quadratic costs a hundred times as much

pytestmark = pytest.mark.slow


def best_of(attempts: int, work: Callable[[], object]) -> float:
    """Seconds of the quickest run: what others do on the machine does not count."""

    def once() -> float:
        began = perf_counter()
        work()
        return perf_counter() - began

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
    return best_of(5, lambda: [stage.next_one() for _ in range(200)])


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


@pytest.mark.parametrize("balancer", ["p2c", "random", "round_robin"])
def test_a_pick_costs_the_same_in_any_crowd(balancer: str) -> None:
    """A connection to a service of a thousand pods is given its pod as fast as one of ten."""
    assert picking_s(MANY, balancer) < 5 * picking_s(10, balancer)
