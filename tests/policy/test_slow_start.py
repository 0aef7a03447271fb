"""What share a new or recovered endpoint has, step by step."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.slow_start import LEAST, STEPS, floor, next_step_s, ramp


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


# --- many at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ramps,want",
    [
        ([1.0] * 10, 0),
        ([1.0] * 9 + [0.1], 0),  # a newcomer among ten: all of its slow start
        ([1.0] * 5 + [0.1] * 5, 0),  # a service that doubles: the same
        ([1.0] + [0.1] * 7, 3 / 7),  # one survivor: a quarter of the connections, twice its share
        ([1.0, 0.1, 0.1], 0.25),
        ([0.1] * 8, 0.5),  # all alike
        ([0.9] + [0.1] * 7, 3.1 / 7),
        ([0.6, 0.3, 0.3, 0.1], 1.4 / 3),
        ([0.9, 0.45, 0.45, 0.1], 0.2),  # only the last one is below it
        ([0.1], 0.5),
        ([], 0),
    ],
)
def test_floor(ramps: list[float], want: float) -> None:
    """Half of all weight counts, whoever is cold."""
    assert floor([(each, 1.0) for each in ramps]) == pytest.approx(want)


some = st.lists(
    st.tuples(st.sampled_from([0.1, 0.15, 0.5, 0.95, 1.0]), st.floats(0.1, 10)), min_size=1, max_size=30
)


@settings(derandomize=True, deadline=None)
@given(some)
def test_nobody_has_more_than_twice_its_share_for_others_cold(weighed: list[tuple[float, float]]) -> None:
    """With any ramps and weights; and the floor is no higher than that takes, and never above a half."""
    least = floor(weighed)
    whole = sum(weight for _, weight in weighed)
    counts = [max(ramp, least) * weight for ramp, weight in weighed]

    assert 0 <= least <= 0.5 + 1e-9
    for count, (_, weight) in zip(counts, weighed, strict=True):
        assert count / sum(counts) <= 2 * weight / whole * (1 + 1e-9)
    assert least == 0 or sum(counts) == pytest.approx(whole / 2)
