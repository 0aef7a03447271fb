"""What connections teach the pool beside success and failure: how long they take, how many are retries."""

from collections.abc import Collection

import pytest

from proxy.errors import ConnectError, Refused
from proxy.policy.endpoint import Endpoint
from proxy.policy.retry import is_over
from tests.support.fleet import Stage


def connect(stage: Stage, number: int, connect_s: float, waited_s: float | None = 0.01) -> None:
    with stage.lease(number) as lease:
        lease.connected(connect_s)
        lease.succeeded(waited_s)


# --- latency --------------------------------------------------------------------------------------


def test_latency_is_connect_and_first_byte() -> None:
    stage = Stage(2)
    connect(stage, 0, 0.02, 0.1)

    assert stage.pod(0).latency.read(stage.clock.now()) == pytest.approx(0.12)
    assert stage.pod(1).latency.read(stage.clock.now()) is None


def test_a_connection_without_a_byte_teaches_nothing() -> None:
    """It ended well, but nobody waited for a first byte."""
    stage = Stage(1)
    connect(stage, 0, 0.02, None)

    assert stage.pod(0).latency.read(stage.clock.now()) is None


def test_a_failure_costs_the_longest_wait() -> None:
    """A pod that refuses at once is not the quickest of all."""
    stage = Stage(2, CONNECT_TIMEOUT="2s")
    stage.fail(0)

    assert stage.pod(0).latency.read(stage.clock.now()) == pytest.approx(2.0)


def test_the_slow_one_gets_less() -> None:
    """With peak_ewma, a pod that answers ten times slower is left to those who find no other."""
    stage = Stage(5, BALANCER="peak_ewma")
    for number in range(5):
        connect(stage, number, 0.001, 0.1 if number == 0 else 0.01)

    assert stage.served_by() == {1, 2, 3, 4}


# --- slow connects --------------------------------------------------------------------------------


def test_connects_that_take_far_longer_eject() -> None:
    """Three in a row that took ten times what the others take: the pod is left alone for a while."""
    stage = Stage(5)
    for number in range(5):
        connect(stage, number, 0.02)
    for _ in range(3):
        connect(stage, 0, 0.3)

    assert stage.states() == ["ejected", *["ready"] * 4]
    assert stage.pool.counters.ejections == {"slow_connect": 1}


@pytest.mark.parametrize(
    "usual,slow,peers",
    [
        (0.001, 0.09, 4),  # ninety times as long, but nobody notices
        (0.1, 0.9, 4),  # all of them are far away
        (0.001, 0.9, 2),  # two are too few to tell what is usual
    ],
)
def test_what_is_no_outlier(usual: float, slow: float, peers: int) -> None:
    stage = Stage(peers + 1)
    for number in range(1, peers + 1):
        connect(stage, number, usual)
    for _ in range(5):
        connect(stage, 0, slow)

    assert stage.state(0) == "ready"


def test_a_fast_one_in_between() -> None:
    """Slow connects count like failures: in a row."""
    stage = Stage(5)
    for number in range(5):
        connect(stage, number, 0.02)
    for _ in range(4):
        connect(stage, 0, 0.3)
        connect(stage, 0, 0.3)
        connect(stage, 0, 0.02)

    assert stage.state(0) == "ready"


# --- retries --------------------------------------------------------------------------------------


def fails(stage: Stage) -> int:
    """A connection whose every attempt fails; how many there were."""
    tried: list[Endpoint] = []
    while True:
        with stage.pool.lease(tried) as lease:
            tried.append(lease.endpoint)
            lease.failed(Refused())
        if len(tried) == 3 or not stage.pool.may_retry(tried):
            return len(tried)


def test_a_dead_service_is_not_hammered() -> None:
    """Of 1,000 connections at once to a dead service, a fifth may retry, beside ten a second."""
    stage = Stage(10)
    attempts = sum(fails(stage) for _ in range(1_000))

    assert 1_000 + 250 < attempts <= 1_000 + 200 + 100
    assert stage.pool.counters.sheds["retry_budget"] > 500


def test_a_few_connections_may_always_retry() -> None:
    """Ten a second are allowed even where there is nothing to take a fifth of."""
    stage = Stage(3)

    assert [fails(stage) for _ in range(10)] == [3] * 10


def test_the_budget_comes_back() -> None:
    """After ten seconds what was spent is forgotten."""
    stage = Stage(10, RETRY_BUDGET="0%")
    while stage.pool.may_retry([]):
        pass
    stage.clock.advance(11)

    assert stage.pool.may_retry([])


def test_a_retry_where_it_helps_costs_nothing() -> None:
    """One of two pods is dead and nobody knows yet: everyone may try the other, which has proved itself."""
    stage = Stage(2, RETRY_BUDGET="0%")
    stage.succeed(1)
    assert all(stage.pool.may_retry([stage.pod(0)]) for _ in range(1_000))

    stage.fail(1)
    assert not all(stage.pool.may_retry([stage.pod(0)]) for _ in range(1_000))


def test_a_retry_goes_to_one_that_is_alive() -> None:
    """Nine of ten are dead and not found out yet: the second attempt is the last one."""
    stage = Stage(10, HEALTH_CHECK="off", EJECT_AFTER="0")
    stage.succeed(9)
    for number in range(9):
        stage.fail(number)

    for _ in range(100):
        with stage.pool.lease([stage.pod(0)]) as lease:
            assert lease.endpoint is stage.pod(9)


@pytest.mark.parametrize("health_check", ["off", "tcp"])
def test_half_of_the_pods_are_killed(health_check: str) -> None:
    """Five of ten refuse from one moment on, and no connection fails: a refusal costs nobody an attempt."""
    for seed in range(20):
        stage = Stage(10, seed, HEALTH_CHECK=health_check)
        for number in range(10):
            stage.succeed(number)
        assert all([serves(stage, dead=range(5)) for _ in range(200)])


def test_half_of_the_pods_were_never_there() -> None:
    """The same at the start, when nobody is known to work; the budget for retries in the dark is enough."""
    for seed in range(20):
        stage = Stage(10, seed, HEALTH_CHECK="off")
        assert all([serves(stage, dead=range(5)) for _ in range(50)])


def serves(stage: Stage, dead: Collection[int]) -> bool:
    """Whether a connection finds a pod, as a session looks for it."""
    failures: dict[Endpoint, ConnectError] = {}
    while True:
        with stage.pool.lease(failures) as lease:
            if stage.number(lease.endpoint) not in dead:
                lease.succeeded()
                return True
            failures[lease.endpoint] = Refused()
            lease.failed(Refused())
        pool = stage.pool
        if is_over(failures.values(), 3, pool.has_hope(failures)) or not pool.may_retry(failures):
            return False


def test_an_old_connection_says_nothing_of_new_ones() -> None:
    """A pod that takes no new connection stays out, though one from before still gets answers."""
    stage = Stage(3)
    with stage.lease(0) as old:
        stage.clock.advance(1)
        stage.fail(0, times=3)
        old.succeeded(0.1)

        assert stage.state(0) == "ejected"
