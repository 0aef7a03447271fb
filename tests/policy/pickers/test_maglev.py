"""The endpoint that a key belongs to, as long as it is there and not overloaded."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from random import Random
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.model import Identity
from proxy.policy.endpoint import Endpoint
from proxy.policy.health import Health, Status
from proxy.policy.pickers import Picker, PickInfo, maglev
from proxy.policy.pickers.maglev import BOUND, SIZE, Maglev
from tests.policy.pickers.weighing import shares, weigh, weighted
from tests.support.fleet import address, fleet

RNG = Random(7)


def owner(picker: Picker, key: int, *tried: Endpoint) -> Endpoint:
    pick = picker.pick(PickInfo(tried, 0.0, RNG, key))
    assert pick is not None
    return pick.endpoint


def owners(picker: Picker) -> list[Endpoint]:
    """Whose each slot is: keys go round and round over the slots."""
    return [owner(picker, key) for key in range(SIZE)]


def busy_with(endpoints: Sequence[Endpoint], bound: float = BOUND) -> Maglev:
    """A picker that has seen more than one key: a single one is not held to the bound."""
    picker = Maglev(endpoints, RNG, bound=bound)
    owner(picker, SIZE // 2), owner(picker, 1 + SIZE // 2)
    return picker


def moved(before: list[Endpoint], after: list[Endpoint]) -> float:
    return sum(one is not other for one, other in zip(before, after, strict=True)) / len(before)


# --- the table ----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [0, 1, SIZE - 1, SIZE, 2**64 - 1])
def test_a_key_sticks(key: int) -> None:
    """The same key is at the same endpoint each time, whatever the dice say; 0 is a key like any other."""
    endpoints = fleet(10)
    picker = Maglev(endpoints, Random(7))

    assert len({owner(picker, key) for _ in range(100)}) == 1


@pytest.mark.parametrize("weights", [(1,), (1, 2, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_sidecars_agree(seed: int, weights: tuple[float, ...]) -> None:
    """Two that know the same pods send each key to the same one, in whatever order DNS told them."""
    mine, theirs = weighted(*weights, count=10), weighted(*weights, count=10)
    listed = list(theirs)
    Random(seed).shuffle(listed)
    one, other = Maglev(mine, Random(1)), Maglev(listed, Random(2))

    assert all(owner(one, key).label == owner(other, key).label for key in range(1_000))


@pytest.mark.parametrize("scale", [0.7, 1 / 3])
def test_proportions_count(scale: float) -> None:
    """A sidecar that counts other pods in has other weights for the same ones, and the same table."""
    endpoints = weighted(1, 2, 3, count=30)
    want = owners(Maglev(endpoints, RNG))
    for endpoint in endpoints:
        endpoint.weight *= scale

    assert owners(Maglev(endpoints, RNG)) == want


def test_versions_agree() -> None:
    """While sidecars are updated old and new ones send each key to the same pod: the table is as it was."""
    tables = [owners(Maglev(pods, RNG)) for pods in (fleet(10), weighted(1, 2, 3, count=10))]
    rows = ["".join(each.address.ip[-1] for each in table) for table in tables]

    assert [row[:20] for row in rows] == ["01894102516193730429", "81894802516153532429"]
    assert [crc32(row.encode()) for row in rows] == [1374389928, 2426998231]


@pytest.mark.parametrize("name", ["web-0.web", "web-1.web"])
def test_a_name_is_part_of_who_it_is(name: str) -> None:
    """An address that another pod has taken over has another place in the table."""
    others = fleet(5)[1:]
    unnamed = Endpoint(Identity(address(0)), Health(Status.HEALTHY))
    named = Endpoint(Identity(address(0), name), Health(Status.HEALTHY))
    before, after = owners(Maglev([unnamed, *others], RNG)), owners(Maglev([named, *others], RNG))

    assert [each is unnamed for each in before] != [each is named for each in after]


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 10, 100, 1_000])
@pytest.mark.parametrize("number", [0, -1])
def test_one_of_many_leaves(count: int, number: int) -> None:
    """Its keys go to the others, and of theirs at most two in a hundred move; or back, when it comes."""
    endpoints = fleet(count)
    gone = endpoints[number]
    before = owners(Maglev(endpoints, RNG))
    after = owners(Maglev([each for each in endpoints if each is not gone], RNG))

    assert moved(before, after) <= 1 / count + 0.02
    assert gone not in after
    assert before.count(gone) / SIZE == pytest.approx(1 / count, abs=1 / SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("count", [10, 100])
@pytest.mark.parametrize("leaves", [0, 1, 2])
def test_one_of_unequal_weights_leaves(count: int, leaves: int) -> None:
    """The same, whatever its weight: it takes no more along than it had."""
    endpoints = weighted(1, 2, 3, count=count)
    gone, share = endpoints[leaves], shares(endpoints)[leaves]
    before = owners(Maglev(endpoints, RNG))
    left = [each for each in endpoints if each is not gone]
    weigh(left, [each.weight for each in left])  # 1 on average again
    after = owners(Maglev(left, RNG))

    assert moved(before, after) <= share + 0.02


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 10, 100])
def test_slow_start(count: int) -> None:
    """With each step a newcomer takes over what its share grows by, and hardly any other key moves."""
    endpoints = fleet(count)
    picker: Picker | None = None
    before = owners(Maglev(endpoints[1:], RNG))
    for ramp in (0.1, 0.3, 0.6, 1.0):
        share = before.count(endpoints[0]) / SIZE
        endpoints[0].ramp = ramp
        picker = Maglev(endpoints, RNG, picker)
        after = owners(picker)
        assert after.count(endpoints[0]) / SIZE == pytest.approx(shares(endpoints)[0], abs=2 / SIZE)
        assert moved(before, after) <= shares(endpoints)[0] - share + 0.02
        before = after


@pytest.mark.parametrize("weights", [(1_000_000, 1), (1, *[1_000_000] * 99)])
def test_everyone_has_a_slot(weights: tuple[float, ...]) -> None:
    """However light: a session that tried all others still gets there."""
    endpoints = weighted(*weights)
    lightest = min(endpoints, key=lambda each: each.weight)
    picker = Maglev(endpoints, RNG)

    assert lightest in owners(picker)
    assert owner(picker, 7, *[each for each in endpoints if each is not lightest]) is lightest


@pytest.mark.parametrize("change", ["nothing", "order", "other objects"])
def test_the_table_is_kept(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot of the same endpoints with the same weights costs no milliseconds: it has the same table."""
    endpoints = weighted(1, 2, count=10)
    before = Maglev(endpoints, RNG)
    want = [each.label for each in owners(before)]
    others = weighted(1, 2, count=10)
    again = {"nothing": endpoints, "order": endpoints[::-1], "other objects": others}[change]
    monkeypatch.delattr(maglev, "_table")
    after = owners(Maglev(again, RNG, before))

    assert [each.label for each in after] == want
    assert set(after) == set(again)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["weight", "ramp", "member"])
def test_the_table_is_made_anew(change: str) -> None:
    """Whatever changes, it is the table that a sidecar has that starts now."""
    endpoints = weighted(1, 2, count=10)
    before = Maglev(endpoints, RNG)
    if change == "weight":
        weigh(endpoints, [2, 1] * 5)
    elif change == "ramp":
        endpoints[0].ramp = 0.5
    else:
        endpoints = endpoints[1:]

    assert owners(Maglev(endpoints, RNG, before)) == owners(Maglev(endpoints, RNG)) != owners(before)


# --- the bound ----------------------------------------------------------------------------------


@st.composite
def loads(draw: st.DrawFn) -> tuple[list[Endpoint], list[Endpoint], float, int]:
    """Endpoints with weights and loads, those tried, the bound, a key."""
    weights = draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    endpoints = weighted(*weights)
    for endpoint in endpoints:
        endpoint.in_flight = draw(st.integers(0, 12))
    tried = [each for each in endpoints if draw(st.integers(0, 3)) == 0]
    return endpoints, tried, draw(st.sampled_from([1.0, 1.25, 1.5, 2.0])), draw(st.integers(0, 2**64 - 1))


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=60)
@given(loads())
def test_nobody_above_the_bound_while_another_is_below(
    given_: tuple[list[Endpoint], list[Endpoint], float, int],
) -> None:
    """With one more it has at most its bound; when that is so of none, the key's own one is taken."""
    endpoints, tried, bound, key = given_
    left = [each for each in endpoints if each not in tried]
    pick = busy_with(endpoints, bound).pick(PickInfo(tried, 0.0, RNG, key))
    total = sum(each.in_flight for each in endpoints) + 1
    whole = sum(Fraction(each.weight).limit_denominator(1000) for each in endpoints)
    roomy = [
        each
        for each in left
        if each.in_flight + 1
        <= ceil(Fraction(bound) * total * Fraction(each.weight).limit_denominator(1000) / whole)
    ]

    assert (pick is None) == (not left)
    if pick is not None:
        own = owner(Maglev(endpoints, RNG, bound=0), key, *tried)
        assert pick.endpoint in roomy if roomy else pick.endpoint is own
        assert pick.endpoint is own or own not in roomy


@pytest.mark.parametrize(
    "own,total,stays",
    [
        (0, 0, True),
        (1, 1, False),
        (1, 8, True),
        (2, 8, False),
        (10, 79, False),
        (10, 80, True),
        (11, 80, False),
    ],
)
def test_at_the_bound(own: int, total: int, stays: bool) -> None:
    """Rounded up, and with the new one on both sides: of 81 connections 11 are allowed, of 80 only 10."""
    endpoints = fleet(10)
    picker = busy_with(endpoints)
    first = owner(picker, 7)
    second = owner(picker, 7, first)
    first.in_flight = own
    next(each for each in endpoints if each not in (first, second)).in_flight = total - own

    assert owner(picker, 7) is (first if stays else second)


@pytest.mark.parametrize("keys", [1, 3])
def test_a_hot_key(keys: int) -> None:
    """A thousand connections of one client: nobody has more than a quarter above its share, at any time."""
    endpoints = fleet(10)
    picker = busy_with(endpoints)
    for total in range(1, 1_001):
        owner(picker, total % keys).in_flight += 1
        assert max(each.in_flight for each in endpoints) <= ceil(BOUND * total / 10)


def test_a_quiet_one_keeps_its_clients() -> None:
    """Clients with a connection each stay where they belong while these have no more than others."""
    endpoints = fleet(10)
    picker, free = busy_with(endpoints), Maglev(endpoints, RNG, bound=0)
    for endpoint in endpoints:
        endpoint.in_flight = 8

    assert all(owner(picker, key) is owner(free, key) for key in range(200))


def test_passed_over_the_same_way() -> None:
    """A client that its endpoint has no room for is at the same other one each time; the note says why."""
    endpoints = fleet(10)
    picker = busy_with(endpoints)
    own = owner(picker, 7)
    own.in_flight = 50
    found = [picker.pick(PickInfo((), 0.0, RNG, 7)) for _ in range(20)]

    assert len({pick and pick.endpoint for pick in found}) == 1
    assert {pick and pick.note for pick in found} == {"slot 7, 1 passed over for their load"}
    assert owner(picker, 7) is owner(picker, 7, own) is not own


def test_no_bound() -> None:
    """With 0 a key stays, whatever the load."""
    endpoints = fleet(10)
    picker = Maglev(endpoints, RNG, bound=0)
    own = owner(picker, 7)
    own.in_flight = 1_000_000

    assert owner(picker, 7) is own


def test_one_key_alone_sticks() -> None:
    """The application of a sidecar is one client: its connections are not spread for the sake of a bound."""
    endpoints = fleet(10)
    picker: Picker = Maglev(endpoints, RNG)
    for _ in range(50):
        owner(picker, 7).in_flight += 1
        picker = Maglev(endpoints, RNG, picker)
    assert sorted(each.in_flight for each in endpoints)[-2:] == [0, 50]

    owner(picker, 8)
    owner(picker, 7).in_flight += 1
    assert sorted(each.in_flight for each in endpoints)[-2:] == [1, 50]


def test_a_pod_with_a_name_keeps_its_keys_elsewhere() -> None:
    """A StatefulSet's pod that comes back with another address owns what it owned."""
    others = fleet(5)[1:]
    before, after = (Endpoint(Identity(address(n), "web-0.web"), Health(Status.HEALTHY)) for n in (0, 40))
    tables = owners(Maglev([before, *others], RNG)), owners(Maglev([after, *others], RNG))

    assert [each is before for each in tables[0]] == [each is after for each in tables[1]]
