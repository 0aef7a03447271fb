"""Counts the connections that the process holds, and the spares beside them."""

from collections.abc import Callable
from typing import Protocol

from proxy.model import Clock

CONNECTION = 2  # descriptors of one
SCARCE_S = 1.0  # so long spares leave what they gave to connections


class Slots:
    """How many connections the process holds, of how many it has room for."""

    def __init__(self, cap: int, clock: Clock) -> None:
        self.cap = cap
        self.used = 0
        self.clock = clock
        self.changed_at = clock.now()  # when a connection last came or ended
        self._waiting: list[Callable[[], None]] = []

    @property
    def full(self) -> bool:
        return self.used >= self.cap

    def take(self) -> None:
        self.used += 1
        self.changed_at = self.clock.now()

    def release(self) -> None:
        self.used -= 1
        self.changed_at = self.clock.now()
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for resume in waiting:
                resume()

    def give_way(self) -> bool:
        """The system is out of descriptors: whether some are free now that were of less use."""
        return False

    def when_free(self, resume: Callable[[], None]) -> None:
        """Call `resume` once, when a slot is free again."""
        self._waiting.append(resume)


class Keeper(Protocol):
    """Whoever keeps spares."""

    @property
    def held(self) -> int:
        """How many."""

    def give_up_oldest(self) -> None:
        """Close one; there is one."""


class SharedSlots(Slots):
    """With spares beside the connections: they have what those leave free, and give way to them. As a spare
    is one socket and a connection two, the cap's descriptors do for all.
    """

    def __init__(self, cap: int, clock: Clock) -> None:
        super().__init__(cap, clock)
        self.spares = 0
        self.keepers: list[Keeper] = []
        self._scarce_until = clock.now()

    @property
    def left(self) -> int:
        """How many more spares there may be; below zero are too many."""
        left = self.cap - self.used - self.spares
        return left if self.clock.now() >= self._scarce_until else min(left, 0)

    def take(self) -> None:
        super().take()
        if self.left < 0 and self.spares:
            self._give_one_up()

    def give_way(self) -> bool:
        if self.spares < CONNECTION:
            return False
        self._scarce_until = self.clock.now() + SCARCE_S
        for _ in range(CONNECTION):
            self._give_one_up()
        return True

    def _give_one_up(self) -> None:
        max(self.keepers, key=lambda keeper: keeper.held).give_up_oldest()
