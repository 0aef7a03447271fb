"""How many tables are made: each stops the loop for milliseconds."""

from collections.abc import Sequence
from random import Random

import pytest

from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import Picker, PickInfo, maglev
from proxy.policy.pickers.maglev import Maglev
from proxy.policy.pickers.slots import SIZE, Slots
from tests.support.fleet import Stage, fleet

RNG = Random(7)


def owner(picker: Picker, key: int, now: float = 0.0) -> Endpoint:
    pick = picker.pick(PickInfo((), now, RNG, key))
    assert pick is not None
    return pick.endpoint


def counting(made: list[int]) -> type[Slots]:
    """Tables that are noted when they are made, with the number of their members."""

    class Counted(Slots):
        def __init__(self, names: Sequence[bytes], weights: Sequence[float]) -> None:
            made.append(len(names))
            super().__init__(names, weights)

    return Counted


@pytest.mark.slow
def test_failures_cost_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand pods that come and go one after the other, in snapshots that nobody may look at."""
    made: list[int] = []

    monkeypatch.setattr(maglev, "Slots", counting(made))
    endpoints, rng = fleet(1_000), Random(7)
    picker: Picker = Maglev(endpoints, RNG)
    for step in range(100):
        picker = Maglev([each for each in endpoints if rng.random() < 0.9], RNG, picker)
        owner(picker, rng.getrandbits(64), now=float(step))

    assert made == [1_000]


def test_newcomers_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ninety that pass their first checks one by one within three seconds: four tables, no more. At once if
    there is nobody else.
    """
    made: list[int] = []
    monkeypatch.setattr(maglev, "Slots", counting(made))
    endpoints, rng = fleet(100), Random(7)
    picker: Picker = Maglev(endpoints[:10], RNG)
    owner(picker, 0)
    for count in range(11, 101):
        picker = Maglev(endpoints[:count], RNG, picker)
        owner(picker, rng.getrandbits(64), now=count / 30)
    assert len(made) <= 4
    last = Maglev(endpoints, RNG, picker)
    assert {owner(last, key, now=9.0) for key in range(SIZE)} == set(endpoints)

    some = fleet(102)[100:]
    alone = Maglev(some, RNG, Maglev(endpoints, RNG, picker))
    assert owner(alone, 7, now=9.0) in some


# --- who is left ----------------------------------------------------------------------------------


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The slots that were looked at."""
    looked, owner_of = [], Maglev._owner

    def look(self: Maglev, place: int, now: float) -> Endpoint | None:
        looked.append(place)
        return owner_of(self, place, now)

    monkeypatch.setattr(Maglev, "_owner", look)
    return looked


@pytest.mark.parametrize("count", [1, 1_000])
def test_where_all_were_tried_no_slot_is_looked_at(count: int, looks: list[int]) -> None:
    """Nor is a table made for it."""
    endpoints = fleet(count + 1)
    first = Maglev(endpoints[:count], RNG)
    owner(first, 7)
    looks.clear()
    made: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maglev, "Slots", counting(made))
        for picker in (first, Maglev(endpoints, RNG, first)):
            assert picker.pick(PickInfo(endpoints, 0.0, RNG, 7)) is None

    assert (looks, made) == ([], [])


@pytest.mark.parametrize("proven", [0, 1_000])
def test_a_retry_looks_at_few_slots(proven: int, looks: list[int]) -> None:
    """One of a thousand refused: whether or not any of the others has proved itself, the next one is near."""
    stage = Stage(1_000, BALANCER="maglev")
    for endpoint in stage.pool.members[:proven]:
        endpoint.alive = True
    with stage.pool.lease([], key=7) as lease:
        looks.clear()
        with stage.pool.lease([lease.endpoint], key=7) as other:
            assert other.endpoint is not lease.endpoint

    assert len(looks) < 20
