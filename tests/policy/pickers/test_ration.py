"""No more than twice its share of the connections, in any row of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.pickers.ration import BURST, Ration
from tests.policy.pickers.weighing import shares, weigh, weighted
from tests.support.fleet import fleet


@settings(derandomize=True, deadline=None)
@given(
    st.lists(st.floats(0.1, 10.0), min_size=3, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(1, 20)), max_size=30),
)
def test_in_any_row(weights: list[float], wishes: list[tuple[int, int]]) -> None:
    """Whoever is wished for, and whenever: in each row of connections it has twice its share and five."""
    endpoints = weighted(*weights)
    ration, got = Ration(endpoints, None), []
    for number, times in wishes:
        wanted = endpoints[number % len(endpoints)]
        for _ in range(times):
            other = next(each for each in [wanted, *endpoints] if ration.allows(each))
            ration.take(other)
            got.append(other)

    for endpoint, share in zip(endpoints, shares(endpoints), strict=True):
        places = [place for place, each in enumerate(got) if each is endpoint]
        for first in range(len(places)):
            for last in range(first, len(places)):
                row = places[last] - places[first] + 1
                assert last - first + 1 <= 2 * share * row + BURST + 1e-6


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=12), st.integers(0, 11), st.integers(0, 200))
def test_somebody_is_always_allowed(weights: list[float], wanted: int, count: int) -> None:
    """However one-sided the wishes, there is another to turn to; who has half of all weight may have all."""
    endpoints = weighted(*weights)
    ration, favourite = Ration(endpoints, None), endpoints[wanted % len(weights)]
    for _ in range(count):
        allowed = [each for each in endpoints if ration.allows(each)]
        assert allowed
        assert favourite in allowed or favourite.weight < sum(each.weight for each in endpoints) / 2
        ration.take(favourite if favourite in allowed else allowed[0])


def test_five_in_a_row() -> None:
    """An endpoint that had few is filled up at once, up to five; then it must wait for its turns."""
    endpoints = fleet(20)
    ration = Ration(endpoints, None)
    row = []
    for number in range(60):
        row.append(ration.allows(endpoints[0]))
        ration.take(endpoints[0] if row[-1] else endpoints[1 + number % 19])

    assert row[:6] == [True] * 5 + [False]
    assert sum(row[5:]) == pytest.approx(55 / 10, abs=1)


@pytest.mark.parametrize("weight", [1.0, 0.5, 2.0])
def test_a_new_snapshot(weight: float) -> None:
    """What it has had stays counted, as so many connections, whatever it weighs now; a stranger had none."""
    before, stranger = fleet(10), fleet(1)
    ration = Ration(before, None)
    while ration.allows(before[0]):
        ration.take(before[0])
    weigh([*before, *stranger], [weight, *[1.0] * 10])
    ration = Ration([*stranger, *before], ration)

    assert not ration.allows(before[0])
    assert ration.allows(before[1])
    assert ration.allows(stranger[0])


def test_the_past_is_forgotten() -> None:
    """Those that earned what they had are as good as new."""
    endpoints = fleet(10)
    ration = Ration(endpoints, None)
    for _ in range(BURST):
        ration.take(endpoints[0])
    for number in range(90):
        ration.take(endpoints[1 + number % 9])
    ration = Ration(endpoints, ration)
    for _ in range(BURST):
        assert ration.allows(endpoints[0])
        ration.take(endpoints[0])
