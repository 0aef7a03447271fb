"""The endpoint that the connection's key belongs to: for the same client the same one, while it is there.

A key belongs to a slot of a table (slots.py), and to whom that slot is. An endpoint that DNS lists keeps its
slots while it is out: its keys go to the owners of the slots that follow, each to another one, and come back
with it; no other key moves, and no table is made anew. During its slow start it owns the first ones it took.

None is made hot by a key: one that has more than `bound` times its share of the connections is passed over
for the owners of the slots that follow (Mirrokni et al., "Consistent Hashing with Bounded Loads", 2016;
HAProxy's hash-balance-factor), and the key comes back when it has less. But a share of a few connections is
no measure: FREE of them everyone may have, so that a client with its pool stays at one. A bound of 0 is none.

A table stops the loop while it is made: newcomers that pass their first checks one by one wait for the next.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import TIE, Pick, Picker, PickInfo
from proxy.policy.pickers.slots import SIZE, Slots

BOUND = 1.25  # HAProxy calls 1.25 to 2 reasonable
FREE = 32  # a client has 10 (HikariCP, urllib3) or 15 (SQLAlchemy) in its pool: two of them are no load yet
AGAIN_S = 1.0  # between two tables
OLDER = 3  # tables that are kept during slow starts, 64 KiB each: in a rollout more would save hardly a key


class Maglev:
    """`_ramps`: the usable endpoints, with the part of its slots that each owns already. `_next`: the table
    that is due when this one has served for a while. `_older`: those before, the last one first, during slow
    starts: what the second newcomer does not own yet may have been the first one's, who is as new.
    """

    def __init__(
        self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None, bound: float = BOUND
    ) -> None:
        most = max((each.ramp for each in endpoints), default=1.0)  # nobody's, where all are new
        self._ramps = {each: each.ramp / most for each in endpoints}
        whole = sum(each.effective_weight for each in endpoints)
        self._room = {each: bound * each.effective_weight / whole for each in endpoints if bound}
        self._next: _Table | None = None
        self._older: tuple[_Table, ...] = ()
        if not isinstance(previous, Maglev):
            self._table = _Table(endpoints, None)
            return
        if any(each.ramp < 1.0 for each in endpoints):
            self._older = previous._older
        before: _Table = previous._next or previous._table
        latest = before if before.serves(endpoints) else _Table(endpoints, before)
        if latest.is_made or not previous._table.is_made:
            self._table = latest
        else:
            self._table, self._next = previous._table, latest

    def pick(self, info: PickInfo) -> Pick | None:
        if info.tried and self._ramps.keys() <= set(info.tried):
            return None  # no slot, and no other table, would have another one
        if self._next is not None and info.now >= self._table.made_at + AGAIN_S:
            self._turn_to(self._next)
        pick = self._pick(info)
        if pick is None and self._next is not None:  # it may know somebody
            self._turn_to(self._next)
            pick = self._pick(info)
        return pick

    def _turn_to(self, table: "_Table") -> None:
        self._older = (self._table, *self._older)[:OLDER]
        self._table, self._next = table, None

    def _pick(self, info: PickInfo) -> Pick | None:
        slot = info.key % SIZE
        owners = self._owners(slot, info)
        own = next(owners, None)
        if own is None:
            return None
        if not self._room or own.in_flight < FREE:
            return Pick(own, note=f"slot {slot}")
        total = sum([each.in_flight for each in self._ramps]) + 1
        for passed, each in enumerate(chain([own], owners)):
            if each.in_flight < FREE or each.in_flight * TIE < self._room[each] * total:
                note = f"slot {slot}, {passed} passed over for their load" if passed else f"slot {slot}"
                return Pick(each, note=note)
        return Pick(own, note=f"slot {slot}, all passed over for their load")

    def _owners(self, slot: int, info: PickInfo) -> Iterator[Endpoint]:
        """The usable owners of this slot and those that follow, each once, without those tried."""
        seen: set[Endpoint] = set()
        for place in chain(range(slot, SIZE), range(slot)) if self._ramps else ():
            owner = self._owner(place, info.now)
            if owner is None or owner in seen:
                continue
            seen.add(owner)
            if owner not in info.tried:
                yield owner
            if len(seen) == len(self._ramps):
                return

    def _owner(self, place: int, now: float) -> Endpoint | None:
        """Whose it is. What a newcomer does not own yet still is whose it was, if that one may be used."""
        for table in (self._table, *self._older):
            owner, part = table.owner(place, now)
            ramp = self._ramps.get(owner, 0.0)
            if part < ramp:
                return owner
            if not ramp:
                return None
        return None


class _Table:
    """Who has slots: the usable endpoints, and those of `before` that are out but still listed."""

    def __init__(self, endpoints: Sequence[Endpoint], before: "_Table | None") -> None:
        known: dict[Endpoint, bytes] = {} if before is None else before._names
        here = {each: known.get(each) or _name(each) for each in endpoints}
        taken = set(here.values())
        out = {each: name for each, name in known.items() if _is_listed(each) and name not in taken}
        self._names: dict[Endpoint, bytes] = dict(sorted((here | out).items(), key=itemgetter(1)))
        self.members = tuple(self._names)
        self._weights = [each.weight for each in self.members]
        alike = before is not None and before._made_of == self._made_of
        self._slots: Slots | None = before._slots if before is not None and alike else None
        self.made_at: float = float("-inf") if before is None else before.made_at

    @property
    def _made_of(self) -> tuple[list[bytes], list[float]]:
        return [*self._names.values()], self._weights

    @property
    def is_made(self) -> bool:
        return self._slots is not None

    def owner(self, place: int, now: float) -> tuple[Endpoint, float]:
        """Whose slot it is, and what part of all he has he took before. The table is made when the first one
        asks: a snapshot, or a tier that nobody picks from, costs nothing.
        """
        if (slots := self._slots) is None:
            slots = self._slots = Slots(*self._made_of)
            self.made_at = now
        index = slots.owner[place]
        return self.members[index], slots.turn[place] / slots.taken[index]

    def serves(self, endpoints: Sequence[Endpoint]) -> bool:
        """Whether it is theirs, too: nobody came, left DNS or changed its weight."""
        return all(each in self._names for each in endpoints) and all(
            each.weight == weight and _is_listed(each)
            for each, weight in zip(self.members, self._weights, strict=True)
        )


def _is_listed(endpoint: Endpoint) -> bool:
    return endpoint.gone_at is None and not endpoint.standby


def _name(endpoint: Endpoint) -> bytes:
    """A StatefulSet's pod keeps its keys wherever it runs."""
    address, name = endpoint.identity
    return (name or str(address)).encode()
