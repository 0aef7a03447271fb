"""How long an endpoint makes its clients wait: up at once, down slowly, forgotten in the end."""

from math import exp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.load import DECAY_S, FORGOTTEN_AFTER_S, PeakEwma, is_unanswered


def after(*samples: tuple[float, float]) -> PeakEwma:
    """`samples`: when, and how many seconds."""
    load = PeakEwma()
    for now, seconds in samples:
        load.observe(seconds, now)
    return load


@pytest.mark.parametrize(
    "samples,now,want",
    [
        ([(0, 0.1)], 0, 0.1),
        ([(0, 0.1), (0, 0.4)], 0, 0.4),
        ([(0, 0.4), (0, 0.1)], 0, 0.4),
        ([(0, 0.4), (DECAY_S, 0.1)], DECAY_S, 0.1 + 0.3 * exp(-1)),
        ([(0, 0.4), (DECAY_S, 0.5)], DECAY_S, 0.5),
        ([(0, 0.4)], DECAY_S, 0.4 * exp(-1)),
        ([(0, 9.0), (FORGOTTEN_AFTER_S, 0.1)], FORGOTTEN_AFTER_S, 0.1),
        ([(0, 9.0), (29.9, 0.1)], 29.9, 0.1 + 8.9 * exp(-2.99)),
    ],
)
def test_estimate(samples: list[tuple[float, float]], now: float, want: float) -> None:
    """A longer wait replaces it, a shorter one moves it by the time that has passed, and so does silence."""
    assert after(*samples).read(now) == pytest.approx(want)


@pytest.mark.parametrize("age,known", [(0, True), (29.9, True), (30, False), (1e9, False)])
def test_forgotten(age: float, known: bool) -> None:
    """Half a minute without a connection, and nothing is known."""
    assert (after((100, 0.1)).read(100 + age) is not None) == known


@pytest.mark.parametrize(
    "to_pod,from_pod,pod_first,unanswered",
    [
        (7, 0, True, True),
        (7, 0, False, False),  # the client was the first to end it: only clients speak, or it gave up
        (7, 1, True, False),
        (0, 0, True, False),  # nothing was asked
        (0, 5, True, False),
    ],
)
def test_unanswered(to_pod: int, from_pod: int, pod_first: bool, unanswered: bool) -> None:
    """The pod took something and ended it in silence."""
    assert is_unanswered(to_pod, from_pod, pod_first) is unanswered


@pytest.mark.parametrize("age,penalty", [(0, True), (29.9, True), (30, False)])
def test_a_penalty(age: float, penalty: bool) -> None:
    """It counts as a wait; as long as most of the estimate comes from it, it is known as what it is."""
    load = after((0, 0.01))
    assert not load.is_penalty(0)
    load.penalise(1.0, 0)
    load.observe(0.01, 0)

    assert load.read(0) == 1.0
    assert load.is_penalty(age) is penalty


def test_nothing_is_known_at_first() -> None:
    """Not even that it is fast."""
    assert PeakEwma().read(0.0) is None


def test_reading_changes_nothing() -> None:
    """However often somebody looks, the next sample meets the same estimate."""
    looked_at, other = after((0, 0.4)), after((0, 0.4))
    for now in range(25):
        looked_at.read(now)
    looked_at.observe(0.1, 25)
    other.observe(0.1, 25)

    assert looked_at.read(25) == other.read(25)


stories = st.lists(st.tuples(st.floats(0, 40), st.floats(1e-4, 100)), min_size=1, max_size=30)


@settings(derandomize=True, deadline=None)
@given(stories, st.floats(0, 40))
def test_never_above_what_was_seen(story: list[tuple[float, float]], later: float) -> None:
    """Never higher than the highest sample nor lower than the last, and only down from there."""
    load, now, estimate = PeakEwma(), 0.0, None
    for pause, seconds in story:
        now += pause
        load.observe(seconds, now)
        estimate = load.read(now)
        assert estimate is not None
        assert seconds * (1 - 1e-9) <= estimate <= max(each for _, each in story) * (1 + 1e-9)
    assert estimate is not None
    assert 0 < (load.read(now + later) or estimate) <= estimate


@settings(derandomize=True, deadline=None)
@given(st.floats(1e-4, 100), st.floats(0, 29), st.floats(1e-4, 100))
def test_a_sample_never_makes_it_better(before: float, pause: float, seconds: float) -> None:
    """A wait that is longer than nothing at all leaves the estimate no lower than silence would have."""
    load = after((0, before))
    silent = load.read(pause)
    load.observe(seconds, pause)
    estimate = load.read(pause)

    assert silent is not None and estimate is not None
    assert estimate >= silent * (1 - 1e-9)
