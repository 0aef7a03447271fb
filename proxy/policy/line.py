"""Decides who is next among those that wait. Knows nothing of what they wait for."""

from collections import OrderedDict
from collections.abc import Hashable
from operator import itemgetter
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Line(Generic[T]):
    """First in, first out, in lanes: those who rule out the same wait in one.

    What the first of a lane cannot use, nobody behind it can. So what there is to be had is offered to the
    first of each lane, who came first before all, and never to everyone who waits; mostly there is one lane.
    """

    def __init__(self) -> None:
        # Ordered: to look for the first of a plain dict takes longer the more have left it.
        self._lanes: dict[Hashable, OrderedDict[T, float]] = {}
        self._lane_of: dict[T, Hashable] = {}

    def __len__(self) -> int:
        return len(self._lane_of)

    def __contains__(self, who: T) -> bool:
        return who in self._lane_of

    def join(self, who: T, came: float, without: Hashable) -> bool:
        """Who `came` at that time, behind those `without` the same; whether there is nobody of those."""
        lane = self._lanes.setdefault(without, OrderedDict())
        lane[who] = came
        self._lane_of[who] = without
        return len(lane) == 1

    def leave(self, who: T) -> None:
        without = self._lane_of.pop(who)
        lane = self._lanes[without]
        del lane[who]
        if not lane:
            del self._lanes[without]

    def firsts(self) -> list[T]:
        """The first of each lane, in the order they came."""
        firsts = [next(iter(lane.items())) for lane in self._lanes.values()]
        return [who for who, _ in sorted(firsts, key=itemgetter(1))]

    def everyone(self) -> list[T]:
        return list(self._lane_of)
