"""Keeps the connections of one service that have no endpoint yet, until there is one with room for them."""

import asyncio
import select
from typing import Protocol

from proxy.errors import AllFull, ClientReset, CutOff, HeadwayError, NoEndpoint, QueueFull
from proxy.policy.line import Line
from proxy.pool import Pool

LOOK_EVERY_S = 0.25  # time alone may let an endpoint return, and tells nobody
BATCH = 64  # served at once, before other work gets its turn
# epoll(7): both are always told. A mere FIN is neither: what was said before it may still want its answer.
GONE = select.EPOLLERR | select.EPOLLHUP


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
        self._by_client: dict[int, Waiter] = {}
        self._room = 0  # for so many more there may be some
        self._due: asyncio.Handle | None = None  # the next look, soon or late
        # Not the loop's own: that one would turn for as long as there are bytes, which stay where they are.
        self._watch = select.epoll()
        self._loop.add_reader(self._watch, self._drop_gone)
        pool.on_room = self.room

    def fileno(self) -> int:
        """Readable when a client is gone."""
        return self._watch.fileno()

    def join(
        self, waiter: Waiter, client: int, came: float, patience_s: float, without: frozenset[object]
    ) -> None:
        """Whose client `came` then, behind those that rule out the same ones. Raises QueueFull."""
        if self.size >= self._most:
            self._pool.counters.sheds[QueueFull.reason] += 1
            raise QueueFull(f"{self.size} wait already")
        if not self._pool.members:
            self._pool.request_resolve()
        is_first = self._line.join(waiter, came, without)
        self._deadlines[waiter] = self._loop.call_later(max(0.0, patience_s), self._expire, waiter)
        self._clients[waiter] = client
        self._by_client[client] = waiter
        self._watch.register(client, GONE)
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
        self._drop_gone()
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
            client, over = self._clients[waiter], True
            self._watch.unregister(client)  # while it is ours
            try:
                over = waiter.offered()
            finally:
                if over:
                    self._forget(waiter)
                else:
                    self._watch.register(client, GONE)
            if over:
                return True
        return False

    def _drop_gone(self) -> None:
        """Those whose clients were reset: their places are free at once, and no endpoint hears of them."""
        for client, _ in self._watch.poll(0) if self.size else ():
            self._dismiss(self._by_client[client], ClientReset("it was gone before there was room"))

    def _expire(self, waiter: Waiter) -> None:
        if self._pool.members:
            self._pool.counters.sheds[AllFull.reason] += 1
            self._dismiss(waiter, AllFull("all had as many connections as they may until the deadline"))
        else:
            self._dismiss(waiter, NoEndpoint("none was known before the deadline"))

    def _dismiss(self, waiter: Waiter, error: HeadwayError) -> None:
        self._watch.unregister(self._clients[waiter])
        self._forget(waiter)
        waiter.give_up(error)

    def _forget(self, waiter: Waiter) -> None:
        self._line.leave(waiter)
        del self._by_client[self._clients.pop(waiter)]
        self._deadlines.pop(waiter).cancel()
        self._count()

    def _count(self) -> None:
        self.size = self._pool.counters.waiting = len(self._line)
