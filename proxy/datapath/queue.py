"""Keeps the connections of one service that have no endpoint yet, until there is one with room for them."""

import asyncio
from functools import partial
from typing import Protocol

from proxy.datapath.departures import GONE, Departures
from proxy.errors import AllFull, ClientReset, CutOff, HeadwayError, NoEndpoint, QueueFull
from proxy.policy.line import Line
from proxy.pool import Pool

LOOK_EVERY_S = 0.25  # time alone may let an endpoint return, and tells nobody
BATCH = 64  # served at once, before other work gets its turn


class Waiter(Protocol):
    """A connection that waits."""

    def __hash__(self) -> int: ...

    def offered(self) -> bool:
        """There may be room for one more. Whether the wait is over."""

    def give_up(self, error: HeadwayError) -> None:
        """The wait was in vain."""


class Queue:
    """First in, first out: whoever comes while somebody waits has to wait as well."""

    def __init__(self, pool: Pool, most: int) -> None:
        self.size = 0
        self._pool = pool
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._line: Line[Waiter] = Line()
        self._deadlines: dict[Waiter, asyncio.TimerHandle] = {}
        self._clients: dict[Waiter, int] = {}  # their descriptors
        self._room = 0  # for so many more there may be some
        self._due: asyncio.Handle | None = None  # the next look, soon or late
        self._departures = Departures(GONE)
        pool.on_room = self.room

    def fileno(self) -> int:
        """Readable when a client is gone."""
        return self._departures.fileno()

    def join(
        self, waiter: Waiter, client: int, came: float, patience_s: float, without: frozenset[object]
    ) -> None:
        """Whose client `came` then, behind those that rule out the same ones.

        Raises QueueFull, and ConnectError where the system cannot watch its client.
        """
        if self.size >= self._most:
            self._pool.counters.sheds[QueueFull.reason] += 1
            raise QueueFull(f"{self.size} wait already")
        if not self._pool.members:
            self._pool.request_resolve()
        self._watch(waiter, client)
        is_first = self._line.join(waiter, came, without)
        self._deadlines[waiter] = self._loop.call_later(max(0.0, patience_s), self._expire, waiter)
        self._clients[waiter] = client
        self._count()
        if is_first:
            self.room(1)

    def room(self, count: int) -> None:
        """There may be room for so many more; soon, for who makes room is in the middle of something."""
        if not self.size:
            return
        if self._due is not None and not self._room:
            self._due.cancel()
            self._due = None
        self._room += count
        if self._due is None:
            self._due = self._loop.call_soon(self._look)

    def close(self) -> None:
        """The process ends: nobody waits any more."""
        for waiter in self._line.everyone():
            self._dismiss(waiter, CutOff("the process ended while it waited"))

    def _look(self) -> None:
        room, self._room, self._due = max(1, self._room), 0, None
        self._departures.tell()  # their places are free, and no endpoint hears of them
        served = 0
        try:
            while served < min(room, BATCH) and self._offer():
                served += 1
            if served == BATCH < room:
                self.room(room - BATCH)
        finally:
            if self.size and self._due is None:
                self._due = self._loop.call_later(LOOK_EVERY_S, self._look)

    def _offer(self) -> bool:
        """Whether somebody could use it."""
        for waiter in self._line.firsts():
            over = True
            self._departures.forget(self._clients[waiter])  # while it is ours
            try:
                over = waiter.offered()
            finally:
                if over:
                    self._forget(waiter)
                else:
                    self._watch(waiter, self._clients[waiter])
            if over:
                return True
        return False

    def _watch(self, waiter: Waiter, client: int) -> None:
        self._departures.watch(client, partial(self._gone, waiter))

    def _gone(self, waiter: Waiter) -> None:
        self._dismiss(waiter, ClientReset("it was gone before there was room"))

    def _expire(self, waiter: Waiter) -> None:
        if self._pool.members:
            self._pool.counters.sheds[AllFull.reason] += 1
            self._dismiss(waiter, AllFull("all had as many connections as they may until the deadline"))
        else:
            self._dismiss(waiter, NoEndpoint("none was known before the deadline"))

    def _dismiss(self, waiter: Waiter, error: HeadwayError) -> None:
        self._departures.forget(self._clients[waiter])
        self._forget(waiter)
        waiter.give_up(error)

    def _forget(self, waiter: Waiter) -> None:
        self._line.leave(waiter)
        del self._clients[waiter]
        self._deadlines.pop(waiter).cancel()
        self._count()

    def _count(self) -> None:
        self.size = self._pool.counters.waiting = len(self._line)
