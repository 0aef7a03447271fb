"""The endpoint that the connection's key belongs to: for the same client the same one, while it is there.

A table with a fixed number of slots, which the endpoints fill in turns, each in an order of its own: everyone
has its share of slots, and when one leaves hardly any of the others' change hands (Eisenbud et al., "Maglev",
NSDI 2016). The table depends on nothing but who the endpoints are and their weights, so that sidecars agree
without a word.

Once there is more than one key none makes an endpoint hot: one with more than `bound` times its share of the
connections is passed over for the owners of the slots that follow (Mirrokni et al., "Consistent Hashing with
Bounded Loads", 2016; HAProxy's hash-balance-factor). A bound of 0 is none.
"""

from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain, cycle, islice
from operator import itemgetter

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers.base import TIE, Pick, Picker, PickInfo

SIZE = 16381  # a prime; the table is made in 5 to 12 ms, one of 65537 would stop the loop for 56
BOUND = 1.25  # HAProxy calls 1.25 to 2 reasonable


class Maglev:
    """`_table`: the index of each slot's owner. `_room`: what part of all connections each may have."""

    def __init__(
        self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None = None, bound: float = BOUND
    ) -> None:
        named = sorted(((_name(each), each) for each in endpoints), key=itemgetter(0))
        self._endpoints = tuple(each for _, each in named)
        weights = [each.effective_weight for each in self._endpoints]
        whole = sum(weights)
        self._room = [bound * weight / whole for weight in weights] if bound else []
        self._made_of = [name for name, _ in named], weights
        self._key: int | None = None
        self._one_key = True
        if isinstance(previous, Maglev):
            self._key, self._one_key = previous._key, previous._one_key
        if isinstance(previous, Maglev) and previous._made_of == self._made_of:
            self._table: array[int] = previous._table
        else:
            self._table = _table(*self._made_of)

    def pick(self, info: PickInfo) -> Pick | None:
        self._one_key = self._one_key and self._key in (None, info.key)
        self._key = info.key
        slot = info.key % SIZE
        owners = self._owners(slot, info.tried)
        own = next(owners, None)
        if own is None:
            return None
        if not self._room or self._one_key or not self._endpoints[own].in_flight:  # everyone may have one
            return Pick(self._endpoints[own], note=f"slot {slot}")
        total = sum([each.in_flight for each in self._endpoints]) + 1
        for passed, index in enumerate(chain([own], owners)):
            if self._endpoints[index].in_flight * TIE < self._room[index] * total:
                note = f"slot {slot}, {passed} passed over for their load" if passed else f"slot {slot}"
                return Pick(self._endpoints[index], note=note)
        return Pick(self._endpoints[own], note=f"slot {slot}, all passed over for their load")

    def _owners(self, slot: int, tried: Collection[Endpoint]) -> Iterator[int]:
        """The owners of this slot and those that follow, each once, without those tried."""
        seen: set[int] = set()
        for place in chain(range(slot, SIZE), range(slot)) if self._endpoints else ():
            index = self._table[place]
            if index in seen:
                continue
            if self._endpoints[index] not in tried:
                yield index
            seen.add(index)
            if len(seen) == len(self._endpoints):
                return


def _name(endpoint: Endpoint) -> bytes:
    """A StatefulSet's pod keeps its keys wherever it runs."""
    address, name = endpoint.identity
    return (name or str(address)).encode()


def _table(names: Sequence[bytes], weights: Sequence[float]) -> "array[int]":
    """The owner of each slot: in each of its turns an endpoint takes the next free one in its own order."""
    table = array("H", bytes(2 * SIZE))
    places, skips = [], []
    for name in names:
        digest = blake2b(name, digest_size=16).digest()
        places.append(int.from_bytes(digest[:8], "big") % SIZE)
        skips.append(int.from_bytes(digest[8:], "big") % (SIZE - 1) + 1)
    taken = bytearray(SIZE)
    for index in islice(_turns(weights), SIZE):
        place, skip = places[index], skips[index]
        while taken[place]:
            place += skip
            if place >= SIZE:
                place -= SIZE
        taken[place] = 1
        table[place] = index
        places[index] = place
    return table


def _turns(weights: Sequence[float]) -> Iterable[int]:
    """Whose turn it is: each has one at first, then again after a span, a long one if it is light (Envoy).

    As weights are 1 on average they all change a little when one leaves: rounded spans do not.
    """
    if len(set(weights)) < 2:
        return cycle(range(len(weights)))
    heaviest = max(weights)
    spans = [round(heaviest / weight, 9) for weight in weights]
    horizon = SIZE / sum(1 / span for span in spans)
    whose: list[int] = []
    due: list[float] = []
    for index, span in enumerate(spans):
        turns = int(horizon / span) + 1
        whose += [index] * turns
        due += [turn * span for turn in range(turns)]
    return [whose[turn] for turn in sorted(range(len(due)), key=due.__getitem__)]
