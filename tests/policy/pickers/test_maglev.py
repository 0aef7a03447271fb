"""The endpoint that a key belongs to, as long as it is there."""

from collections import Counter
from random import Random
from zlib import crc32

import pytest

from proxy.model import Identity
from proxy.policy.endpoint import Endpoint
from proxy.policy.health import Health, Status
from proxy.policy.pickers import Picker, PickInfo, maglev
from proxy.policy.pickers.maglev import AGAIN_S, Maglev
from proxy.policy.pickers.slots import SIZE
from tests.policy.pickers.weighing import shares, weigh, weighted
from tests.support.fleet import address, fleet

RNG = Random(7)


def owner(picker: Picker, key: int, *tried: Endpoint, now: float = 0.0) -> Endpoint:
    pick = picker.pick(PickInfo(tried, now, RNG, key))
    assert pick is not None
    return pick.endpoint


def owners(picker: Picker, now: float = 0.0) -> list[Endpoint]:
    """Whose each slot is: keys go round and round over the slots."""
    return [owner(picker, key, now=now) for key in range(SIZE)]


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
    """With each step a newcomer takes over what its share grows by; from the second on no other key moves."""
    endpoints, newcomer = fleet(count), fleet(count)[0]
    picker: Picker = Maglev(endpoints[1:], RNG)
    before, now = owners(picker), 0.0
    for ramp in (0.1, 0.3, 0.6, 1.0):
        newcomer, now = endpoints[0], now + AGAIN_S
        newcomer.ramp = ramp
        picker = Maglev(endpoints, RNG, picker)
        after = owners(picker, now)
        assert after.count(newcomer) / SIZE == pytest.approx(shares(endpoints)[0], rel=0.4)
        others = sum(one is not two and two is not newcomer for one, two in zip(before, after, strict=True))
        assert others <= (0.02 * SIZE if ramp == 0.1 else 0)
        assert all(two is newcomer for one, two in zip(before, after, strict=True) if one is newcomer)
        before = after


def test_a_second_newcomer() -> None:
    """While one is in its slow start another comes: the keys that it is to have stay where they were until it
    takes them, and hardly one of the others moves.
    """
    endpoints = fleet(7)
    *_, one, two = endpoints
    one.ramp = 0.1
    first = Maglev(endpoints[:5], RNG)
    owner(first, 0)
    alone = Maglev(endpoints[:6], RNG, first)
    owner(alone, 0, now=AGAIN_S)
    one.ramp, two.ramp = 0.3, 0.1
    before = owners(Maglev(endpoints[:6], RNG, alone), AGAIN_S)
    both = Maglev(endpoints, RNG, alone)
    after = owners(both, 2 * AGAIN_S)

    moves = [here for there, here in zip(before, after, strict=True) if here is not there]
    assert sum(here not in (one, two) for here in moves) <= 0.01 * SIZE
    assert len(moves) <= 0.03 * SIZE
    one.ramp = two.ramp = 1.0
    assert set(owners(Maglev(endpoints, RNG, both), 2 * AGAIN_S)) == set(endpoints)


def test_where_all_are_new() -> None:
    """Nobody has to spare the others: each has all its slots."""
    endpoints = fleet(5)
    want = owners(Maglev(endpoints, RNG))
    for endpoint in endpoints:
        endpoint.ramp = 0.1

    assert owners(Maglev(endpoints, RNG)) == want


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
    monkeypatch.delattr(maglev, "Slots")
    after = owners(Maglev(again, RNG, before))

    assert [each.label for each in after] == want
    assert set(after) == set(again)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["weight", "member"])
def test_the_table_is_made_anew(change: str) -> None:
    """Whatever changes, it is the table that a sidecar has that starts now."""
    endpoints = weighted(1, 2, count=10)
    before = Maglev(endpoints, RNG)
    if change == "weight":
        weigh(endpoints, [2, 1] * 5)
    else:
        endpoints[0].gone_at = 0.0
        endpoints = endpoints[1:]

    was = owners(before)
    assert owners(Maglev(endpoints, RNG, before), AGAIN_S) == owners(Maglev(endpoints, RNG)) != was


# --- who is out ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 10, 100])
@pytest.mark.parametrize("out", [1, 3])
def test_nobody_else_s_keys_move(count: int, out: int) -> None:
    """Those who are out, but in DNS, lose their keys to all others about evenly, and get them back. A new
    table would move more.
    """
    endpoints = fleet(count)
    first = Maglev(endpoints, RNG)
    before = owners(first)
    gone = endpoints[: min(out, count - 1)]
    left = [each for each in endpoints if each not in gone]
    without = Maglev(left, RNG, first)
    after = owners(without)

    assert all(one is two for one, two in zip(before, after, strict=True) if one not in gone)
    assert not set(gone) & set(after)
    heirs = Counter(two for one, two in zip(before, after, strict=True) if one in gone)
    assert max(heirs.values()) <= 2.5 * heirs.total() / len(left) + 6
    assert owners(Maglev(endpoints, RNG, without)) == before


@pytest.mark.slow
def test_who_starts_later_agrees() -> None:
    """A sidecar that starts while a pod is out knows of it by DNS: both send each key to the same one."""
    mine, theirs = fleet(10), fleet(10)
    one = Maglev(mine[1:], RNG, Maglev(mine, RNG))
    other = Maglev(theirs[1:], RNG, Maglev(theirs, RNG))

    assert [each.label for each in owners(one)] == [each.label for each in owners(other)]


@pytest.mark.parametrize("why", ["left DNS", "not in the subset"])
def test_who_left_has_no_slots(why: str) -> None:
    """Then the table is that of the others alone: the one of a sidecar that never knew him."""
    endpoints = fleet(5)
    before = Maglev(endpoints, RNG)
    owner(before, 0)
    if why == "left DNS":
        endpoints[0].gone_at = 1.0
    else:
        endpoints[0].standby = True
    after = Maglev(endpoints[1:], RNG, before)

    assert owners(after, AGAIN_S) == owners(Maglev(endpoints[1:], RNG))


@pytest.mark.parametrize("slot", [SIZE - 1, SIZE - 2, 0])
def test_after_the_last_slot_comes_the_first(slot: int) -> None:
    """Whose owner is out, or tried, belongs to the next other one along the ring."""
    endpoints = fleet(4)
    picker = Maglev(endpoints, RNG)
    table = owners(picker)
    ring = list(dict.fromkeys(table[slot:] + table[:slot]))

    assert [owner(picker, slot, *ring[:tried]) for tried in range(4)] == ring
    left = [each for each in endpoints if each is not ring[0]]
    assert owner(Maglev(left, RNG, picker), slot) is ring[1]


def test_a_pod_with_a_name_keeps_its_keys_elsewhere() -> None:
    """A StatefulSet's pod that comes back with another address owns what it owned."""
    others = fleet(5)[1:]
    before, after = (Endpoint(Identity(address(n), "web-0.web"), Health(Status.HEALTHY)) for n in (0, 40))
    tables = owners(Maglev([before, *others], RNG)), owners(Maglev([after, *others], RNG))

    assert [each is before for each in tables[0]] == [each is after for each in tables[1]]
