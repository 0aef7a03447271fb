"""Dials, and watches connections that nobody uses: the kernel tells what happens to them, no poll asks."""

import asyncio
import os
import select
import socket
from typing import Protocol

from proxy.datapath.connector import begin
from proxy.datapath.sockets import Tuning, connect_took_s
from proxy.datapath.spare import Spare, Stock
from proxy.errors import ConnectError, ConnectTimeout, connect_error
from proxy.model import Clock

# Edges: each is told once, and none is an answer to anything, as nothing was asked.
WATCHED = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
BROKEN = select.EPOLLERR | select.EPOLLHUP
ENDED = BROKEN | select.EPOLLRDHUP


class Keeper(Protocol):
    """Who hears of them."""

    def connected(self, spare: Spare) -> None:
        """The pod took it; says when it `expires_at`."""

    def failed(self, spare: Spare, error: ConnectError) -> None:
        """It could not be connected."""

    def ended(self, spare: Spare) -> None:
        """The pod has ended it, or it is broken."""

    def spoke(self, spare: Spare) -> None:
        """The pod said something, unasked, and has not ended it."""

    def expired(self, spare: Spare) -> None:
        """It is too old."""


class Vigil:
    """One epoll and no task for all of them."""

    def __init__(self, keeper: Keeper, tuning: Tuning, within_s: float, clock: Clock) -> None:
        self._keeper = keeper
        self._tuning = tuning
        self._within_s = within_s
        self._clock = clock
        self._spares: dict[int, Spare] = {}  # by descriptor, the oldest first
        self._loop = asyncio.get_running_loop()
        self._watch = select.epoll()
        self._loop.add_reader(self._watch, self.hear)

    def __len__(self) -> int:
        return len(self._spares)

    @property
    def oldest(self) -> Spare:
        return next(iter(self._spares.values()))

    def dial(self, stock: Stock) -> Spare:
        """A connection that is begun. Raises ConnectError."""
        address = stock.endpoint.address
        sock = begin(address, self._tuning)
        try:
            self._watch.register(sock, WATCHED)
        except OSError as error:
            sock.close()
            raise connect_error(error) from error
        spare = self._spares[sock.fileno()] = Spare(sock, stock, address, self._clock.now())
        self._time(spare, self._within_s)
        return spare

    def forget(self, spare: Spare) -> None:
        """Its socket is the caller's."""
        self._watch.unregister(spare.sock)
        del self._spares[spare.sock.fileno()]
        spare.timer.cancel()

    def close(self) -> None:
        """There are none any more."""
        self._loop.remove_reader(self._watch)
        self._watch.close()

    def hear(self) -> None:
        """All that has happened to any of them until now."""
        for fd, events in self._watch.poll(0) if self._spares else ():
            spare = self._spares.get(fd)  # it may have ended with another one
            if spare is not None and not spare.ready:
                self._settle(spare, events)
            if spare is not None and spare.ready:
                self._look(spare, events)

    def _settle(self, spare: Spare, events: int) -> None:
        """A dial is over."""
        if events & BROKEN:
            self._keeper.failed(spare, _error_of(spare.sock))
        elif events & select.EPOLLOUT:
            spare.ready = True
            spare.connect_s = connect_took_s(spare.sock, self._clock.now() - spare.dialled_at)
            self._keeper.connected(spare)
            self._await_age(spare)

    def _look(self, spare: Spare, events: int) -> None:
        """A FIN behind bytes makes them a farewell."""
        if events & ENDED:
            self._keeper.ended(spare)
        elif events & select.EPOLLIN:
            self._keeper.spoke(spare)

    def _time(self, spare: Spare, after_s: float) -> None:
        spare.timer = self._loop.call_later(after_s, self._due, spare)

    def _await_age(self, spare: Spare) -> None:
        spare.timer.cancel()
        self._time(spare, spare.expires_at - self._clock.now())

    def _due(self, spare: Spare) -> None:
        """It should be connected by now; or is too old."""
        self.hear()  # the kernel is asked: after a stall a timer may come first
        if self._spares.get(spare.sock.fileno()) is not spare:
            return
        if not spare.ready:
            self._keeper.failed(spare, ConnectTimeout(f"no answer within {self._within_s:g} s"))
        elif self._clock.now() < spare.expires_at:  # it was connected just now
            self._await_age(spare)
        else:
            self._keeper.expired(spare)


def _error_of(sock: socket.socket) -> ConnectError:
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return connect_error(OSError(code, os.strerror(code)) if code else ConnectionResetError())
