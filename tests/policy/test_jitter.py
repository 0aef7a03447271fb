"""Intervals of a fleet that started at once drift apart."""

from random import Random
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.jitter import jittered


@settings(derandomize=True, deadline=None)
@given(st.floats(0, 1e6), st.integers())
def test_stays_within_its_share(seconds: float, seed: int) -> None:
    """No wait is more than a fifth shorter or longer than asked for."""
    assert 0.8 * seconds <= jittered(seconds, Random(seed)) * (1 + 1e-9)
    assert jittered(seconds, Random(seed)) <= 1.2 * seconds * (1 + 1e-9)


def test_is_fair_and_wide() -> None:
    """The mean is what was asked for, and the whole range is used: two sidecars soon poll apart."""
    rng = Random(7)
    waits = [jittered(5.0, rng) for _ in range(10_000)]

    assert mean(waits) == pytest.approx(5.0, abs=0.02)
    assert (min(waits), max(waits)) == pytest.approx((4.0, 6.0), abs=0.01)


def test_share() -> None:
    """Another share can be asked for; none at all is exact."""
    assert jittered(10.0, Random(7), share=0.0) == 10.0
    assert 9.0 <= jittered(10.0, Random(7), share=0.1) <= 11.0
