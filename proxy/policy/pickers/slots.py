"""Maglev's table: whose each of its slots is.

The members fill it in turns, each in an order of its own: everyone has its share of slots, and when one
leaves hardly any of the others' change hands (Eisenbud et al., "Maglev", NSDI 2016). It depends on nothing
but who they are and their weights, so that sidecars agree without a word.
"""

from array import array
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import cycle, islice

SIZE = 16381  # a prime; the table is made in 5 to 25 ms, one of 65537 would stop the loop for 56


class Slots:
    """`owner` of each slot, by his index, and in which `turn` of his he took it; `taken`: how many he has."""

    __slots__ = ("owner", "taken", "turn")

    def __init__(self, names: Sequence[bytes], weights: Sequence[float]) -> None:
        """Each member in its turn takes the next free slot in its own order."""
        self.owner, self.turn = array("H", bytes(2 * SIZE)), array("H", bytes(2 * SIZE))
        self.taken = [0] * len(names)
        owner, turn, counts = self.owner, self.turn, self.taken
        places, skips = [], []
        for name in names:
            digest = blake2b(name, digest_size=16).digest()
            places.append(int.from_bytes(digest[:8], "big") % SIZE)
            skips.append(int.from_bytes(digest[8:], "big") % (SIZE - 1) + 1)
        full = bytearray(SIZE)
        for index in islice(_turns(weights), SIZE):
            place, skip = places[index], skips[index]
            while full[place]:
                place += skip
                if place >= SIZE:
                    place -= SIZE
            full[place] = 1
            owner[place] = index
            turn[place] = counts[index]
            counts[index] += 1
            places[index] = place


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
