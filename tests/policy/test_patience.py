"""Who waits in a line that nobody can look into: nobody for too long, nobody turned away too soon."""

from collections import deque
from random import Random

import pytest

from proxy.policy.patience import Patience


def test_a_burst_that_nobody_serves() -> None:
    """After three looks everybody who was there at the first has to go, and nobody else."""
    patience = Patience(4.0)

    assert patience.look(10, 0.0) == 0
    assert patience.look(15, 1.0) == 0
    assert patience.look(15, 2.0) == 0
    assert patience.look(17, 3.0) == 10
    patience.took(10)
    assert patience.look(7, 4.0) == 5


def test_more_at_once_than_one_cares_to_turn_away() -> None:
    """Those that are left have to go at the next look, however soon."""
    patience = Patience(4.0)
    patience.look(10, 0.0)
    assert patience.look(10, 3.0) == 10
    patience.took(6)

    assert patience.look(4, 3.0) == 4


def test_who_is_served_in_time() -> None:
    """A line that moves fast enough loses nobody, however long it stays."""
    patience = Patience(4.0)
    for second in range(100):
        assert patience.look(30, float(second)) == 0
        patience.took(10)


@pytest.mark.parametrize("seed", range(20))
def test_any_line(seed: int) -> None:
    """Whatever comes and is served: who goes has waited for 3/4 of it, who stays for less than all."""
    rng, patience = Random(seed), Patience(4.0)
    line: deque[float] = deque()
    for second in range(200):
        line.extend(second - rng.random() for _ in range(rng.randrange(20)))
        for _ in range(patience.look(len(line), float(second))):
            assert second - line.popleft() >= 3.0
            patience.took(1)
        assert all(second - came < 4.0 for came in line)
        served = min(len(line), rng.randrange(15))
        for _ in range(served):
            line.popleft()
        patience.took(served)
