"""Whether a connection that failed may try another endpoint."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import ConnectError, ConnectTimeout, Refused, ResetEarly
from proxy.policy.retry import FLOOR_PER_S, TRIED_MOST, WINDOW_S, RetryBudget, is_over

FLOOR = FLOOR_PER_S * WINDOW_S


def spent(budget: RetryBudget, now: float, wishes: int = 10_000) -> int:
    """How many of so many retries are allowed."""
    return sum(budget.spend(now) for _ in range(wishes))


@pytest.mark.parametrize(
    "share,connections,want",
    [(0.2, 0, 100), (0.2, 1_000, 300), (0.2, 3, 101), (0.0, 1_000, 100), (1.0, 1_000, 1_100), (10.0, 7, 170)],
)
def test_budget(share: float, connections: int, want: int) -> None:
    """A share of the connections of ten seconds, and ten a second for quiet services."""
    budget = RetryBudget(share)
    for number in range(connections):
        budget.connection(100.0 + 9 * number / connections)

    assert spent(budget, 109.5) == want


@pytest.mark.parametrize("later,want", [(9.9, 0), (10.0, 100), (1e6, 100)])
def test_it_comes_back(later: float, want: int) -> None:
    """Ten seconds after it was spent it is there again."""
    budget = RetryBudget(0.2)
    assert spent(budget, 100.0) == FLOOR

    assert spent(budget, 100.0 + later) == want


def test_a_dead_service() -> None:
    """Of a thousand connections a second that all fail one in five is retried, instead of each twice."""
    budget, retries = RetryBudget(0.2), 0
    for step in range(30_000):
        now = 100.0 + step / 1_000
        budget.connection(now)
        retries += budget.spend(now) + budget.spend(now)

    assert retries == pytest.approx(0.2 * 30_000 + 30 * FLOOR_PER_S, rel=0.1)


@settings(derandomize=True, deadline=None)
@given(
    st.floats(0, 2),
    st.lists(st.tuples(st.sampled_from(["connection", "retry"]), st.floats(0, 3)), max_size=200),
)
def test_never_above_the_budget(share: float, story: list[tuple[str, float]]) -> None:
    """Whatever happens when: in ten seconds no more than the floor, and the share of the last twenty."""
    budget, now = RetryBudget(share), 100.0
    connections: list[float] = []
    retries: list[float] = []
    for what, pause in story:
        now += pause
        if what == "connection":
            budget.connection(now)
            connections.append(now)
        elif all([budget.spend(now) for _ in range(20)]):
            retries += [now] * 20
        lately = sum(when > now - WINDOW_S + 1 for when in retries)
        assert lately <= FLOOR + 20 + share * sum(when > now - 2 * WINDOW_S for when in connections)


# --- how many endpoints one connection tries ------------------------------------------------------


NO, LATE, CUT = Refused(), ConnectTimeout(), ResetEarly()


@pytest.mark.parametrize(
    "failures,attempts,hopeful,over",
    [
        ([LATE], 3, True, False),
        ([LATE, CUT], 3, True, False),
        ([LATE, CUT, LATE], 3, True, True),  # each of these took time, or a connection
        ([NO] * 3, 3, True, False),
        ([NO] * 3, 3, False, True),  # nobody left but those that fail
        ([NO] * 10 + [LATE] * 2, 3, True, False),
        ([NO] * 10 + [LATE] * 3, 3, True, True),
        ([NO] * (TRIED_MOST - 1), 3, True, False),
        ([NO] * TRIED_MOST, 3, True, True),
        ([NO] * 49, 50, True, False),  # who asks for more has it
        ([NO] * 50, 50, True, True),
        ([NO], 1, True, True),  # no retries means none
    ],
)
def test_when_a_connection_has_had_its_attempts(
    failures: list[ConnectError], attempts: int, hopeful: bool, over: bool
) -> None:
    """Refusals are not counted while there is hope, up to twenty endpoints."""
    assert is_over(failures, attempts, hopeful) is over
