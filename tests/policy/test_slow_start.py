"""What share a new or recovered endpoint has, step by step."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.slow_start import LEAST, STEPS, next_step_s, ramp


@pytest.mark.parametrize(
    "age_s,window_s,want",
    [
        (0, 10, 0.1), (0.99, 10, 0.1), (1, 10, 0.1), (1.49, 10, 0.1), (1.5, 10, 0.15), (2, 10, 0.2),
        (5, 10, 0.5), (9.49, 10, 0.9), (9.5, 10, 0.95), (9.99, 10, 0.95), (10, 10, 1.0), (1e9, 10, 1.0),
        (0, 0, 1.0), (7, 0, 1.0), (30, 60, 0.5), (-1, 10, 0.1),
    ],
)  # fmt: skip
def test_ramp(age_s: float, window_s: float, want: float) -> None:
    """A tenth at once, then a twentieth more with each twentieth of the time; all of it when that is over."""
    assert ramp(age_s, window_s) == pytest.approx(want)


windows = st.floats(0.1, 3600)


@settings(derandomize=True, deadline=None)
@given(windows, st.floats(0, 1), st.floats(0, 1))
def test_it_only_rises(window_s: float, one: float, other: float) -> None:
    """From a tenth to all, never down, whatever the window."""
    early, late = sorted((one, other))

    assert LEAST <= ramp(early * window_s, window_s) <= ramp(late * window_s, window_s) <= 1.0


@settings(derandomize=True, deadline=None)
@given(windows, st.integers(0, 2 * STEPS))
def test_a_step_at_a_time(window_s: float, step: int) -> None:
    """Who looks once a step, give or take rounding, misses none of them and sees no jump but the first."""
    before, after = (ramp((each + 0.01) * next_step_s(window_s), window_s) for each in (step, step + 1))

    assert after - before == pytest.approx(1 / STEPS if 1 <= step < STEPS and after > LEAST else 0.0)
