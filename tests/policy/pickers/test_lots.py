"""Drawing endpoints by weight: one, or two to compare."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.pickers.base import Lots
from tests.policy.pickers.weighing import shares, weighted

MANY = 40_000


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (1, 2, 3, 4), (100, 1, 100, 1), (10, 1, 1), (0.3,) * 7])
def test_each_of_the_two_is_drawn_by_weight(weights: tuple[float, ...]) -> None:
    """The first as well as the second: that is why nobody can get more than twice its share."""
    endpoints, rng = weighted(*weights), Random(7)
    lots = Lots.of(endpoints)
    pairs = [lots.draw_two(rng) for _ in range(MANY)]

    for side in (0, 1):
        drawn = Counter(pair[side] for pair in pairs)
        assert [drawn[each] / MANY for each in range(len(weights))] == pytest.approx(
            shares(endpoints), abs=0.01
        )


@pytest.mark.parametrize(
    "weights,alone", [((3, 1), 0.5), ((10, 1), 9 / 11), ((10, 1, 1), 8 / 12), ((1, 1, 2), 0.0), ((1, 1), 0.0)]
)
def test_two_different_ones(weights: tuple[float, ...], alone: float) -> None:
    """One is compared with itself only if it has more than half of all weight, and no more than it must."""
    lots, rng = Lots.of(weighted(*weights)), Random(7)
    same = sum(first == second for first, second in (lots.draw_two(rng) for _ in range(MANY)))

    assert same / MANY == pytest.approx(alone, abs=0.01)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(1.0, 3.0), min_size=6, max_size=50), st.integers())
def test_neighbours_too(weights: list[float], seed: int) -> None:
    """Whatever the weights: both are there, and differ while nobody has half."""
    lots, rng = Lots.of(weighted(*weights)), Random(seed)
    for _ in range(50):
        first, second = lots.draw_two(rng)
        assert 0 <= first < len(weights)
        assert 0 <= second < len(weights)
        assert first != second


def test_many_pairs() -> None:
    """Each is compared with nearly all others, not with a few of them only: the load evens out over all."""
    lots, rng = Lots.of(weighted(1, 2, 3, 2, count=20)), Random(7)
    pairs = {lots.draw_two(rng) for _ in range(MANY)}

    for one in range(20):
        assert sum((one, other) in pairs for other in range(20)) >= 16


@pytest.mark.parametrize("count", [2, 3, 10])
def test_equal_pairs(count: int) -> None:
    """Among equals each pair is as likely as the next."""
    lots, rng = Lots.of(weighted(*[1] * count)), Random(7)
    pairs = Counter(lots.draw_two(rng) for _ in range(MANY))

    assert len(pairs) == count * (count - 1)
    assert list(pairs.values()) == pytest.approx([MANY / len(pairs)] * len(pairs), rel=0.2)


@pytest.mark.parametrize("point", [0.0, 1 - 2**-53])
@pytest.mark.parametrize("weights", [(1, 1, 1), (0.1, 0.2, 0.3), (0.7, 0.1, 0.1, 0.1)])
def test_the_ends_of_the_line(point: float, weights: tuple[float, ...]) -> None:
    """The least and the greatest of all random numbers draw somebody, too."""

    class Ends(Random):
        def random(self) -> float:
            return point

    lots = Lots.of(weighted(*weights))
    assert lots.draw(Ends()) in (0, len(weights) - 1)
    assert max(lots.draw_two(Ends())) < len(weights)


def test_weights_as_they_were() -> None:
    """A slow start counts, as far as it was when the snapshot was made."""
    endpoints, rng = weighted(1, 1), Random(7)
    endpoints[0].ramp = 0.25
    lots = Lots.of(endpoints)
    endpoints[0].ramp = 1.0
    drawn = Counter(lots.draw(rng) for _ in range(MANY))

    assert drawn[0] / MANY == pytest.approx(0.2, abs=0.01)
