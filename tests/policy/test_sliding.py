"""How much happened lately."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.sliding import SlidingCount


@pytest.mark.parametrize(
    "now,want", [(1000.0, 3), (1000.99, 3), (1008.9, 3), (1009.99, 3), (1010.0, 1), (1011.9, 1), (1012.0, 0)]
)
def test_total(now: float, want: int) -> None:
    """What happened in this second and the nine before it."""
    count = SlidingCount(1.0, 10)
    count.add(1000.0)
    count.add(1000.5)
    count.add(1002.9)

    assert count.total(now) == want


@pytest.mark.parametrize("pause_s", [60.0, 1e6])
def test_after_a_long_silence(pause_s: float) -> None:
    """All is forgotten, and counting goes on."""
    count = SlidingCount(10.0, 6)
    count.add(5.0, 7)

    assert count.total(5.0 + pause_s) == 0
    count.add(5.0 + pause_s, 2)
    assert count.total(5.0 + pause_s) == 2


def test_taken_back() -> None:
    """What was counted just now can be taken off again."""
    count = SlidingCount(1.0, 10)
    count.add(7.0, 5)
    count.add(7.5, -2)

    assert count.total(8.0) == 3


@settings(derandomize=True, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 40), st.integers(0, 5)), max_size=40),
    st.floats(0.1, 10),
    st.integers(1, 8),
)
def test_as_from_a_list(story: Sequence[tuple[float, int]], width_s: float, slots: int) -> None:
    """The same as if each event were kept, and looked for in the last slots."""
    count, kept, now = SlidingCount(width_s, slots), [], 100.0
    for pause, amount in story:
        now += pause
        count.add(now, amount)
        kept.append((int(now / width_s), amount))
        oldest = int(now / width_s) - slots + 1
        assert count.total(now) == sum(amount for slot, amount in kept if slot >= oldest)
