"""Accepts connections in batches, no more than the process has room for, and hands each to its service."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from proxy import socket_file
from proxy.bind import unbind
from proxy.datapath.slots import Slots
from proxy.datapath.sockets import BACKLOG_MAX, backlog_length
from proxy.errors import CutOff, HeadwayError, NoRoom, OutOfDescriptors
from proxy.inherit import is_inherited, listens_on
from proxy.observe.seldom import Seldom
from proxy.policy.patience import LOOKS, Patience

log = logging.getLogger("headway.listener")

BATCH = 64  # accepts before other work gets its turn
BREATH_S = 0.2  # how long accepting rests when the system itself is out of descriptors
SAY_EVERY_S = 10.0  # at most: a process that stays full would otherwise say so with each connection
EXHAUSTED = (errno.EMFILE, errno.ENFILE)
TEMPORARY = (BlockingIOError, InterruptedError, ConnectionAbortedError)


Accept = Callable[[socket.socket], int]


def accept(listener: socket.socket) -> int:
    """The descriptor of a new connection, non-blocking; -1 when there is none. Raises OSError."""
    try:
        client, _ = listener.accept()
    except TEMPORARY:
        return -1
    client.setblocking(False)
    return client.detach()


class Host(Protocol):
    """Whoever takes connections."""

    def begin(self, client: int) -> None:
        """Serve it. Takes a slot."""

    def refuse(self, client: int, error: HeadwayError) -> None:
        """Reset and count it; it never had a slot."""


class Reserve:
    """A descriptor that is kept for when there is no other: with it one can accept, and say no."""

    def __init__(self) -> None:
        self._fd = -1
        self._take()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Meanwhile one more can be opened."""
        self.close()
        try:
            yield
        finally:
            self._take()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _take(self) -> None:
        # Somebody may be faster: without it nobody can be told, and the next time tries again.
        with suppress(OSError):
            self._fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


class Listener:
    """One listening socket of one service. Without room connections wait in its backlog, but not for ever."""

    def __init__(
        self,
        name: str,
        sock: socket.socket,
        slots: Slots,
        host: Host,
        patience_s: float,
        accept: Accept = accept,
    ) -> None:
        self._name = name
        self._sock = sock
        self._slots = slots
        self._host = host
        self._patience_s = patience_s
        self._accept = accept
        self._reserve = Reserve()
        self._closed = False
        self._paused = True
        self._crowd: Patience | None = None  # those in the backlog, since there was no room for them
        self._next_look: asyncio.Handle | None = None
        self._breath: asyncio.Handle | None = None
        self._why: HeadwayError = NoRoom("")  # there was no room at last
        self._seldom = Seldom(slots.clock, SAY_EVERY_S)

    def start(self) -> None:
        if not self._closed:
            self._paused = False
            asyncio.get_running_loop().add_reader(self._sock, self.take_all)

    def leave(self) -> bool:
        """Close it if somebody else goes on with the socket. Whether it is closed."""
        if not self._closed and is_inherited(self._sock):
            log.info("%s: %s is left to the next process", self._name, listens_on(self._sock))
            self.close()
        return self._closed

    def close(self) -> None:
        """Nobody new. Who still waits is reset and counted, unless somebody else goes on with the socket."""
        if self._closed:
            return
        self._pause()
        self._relax()
        self._closed = True
        socket_file.remove(self._sock)
        if not is_inherited(self._sock):
            self._refuse(BACKLOG_MAX, CutOff("the process ended while it waited to be accepted"))
        self._reserve.close()
        unbind(self._sock)

    def _pause(self) -> None:
        self._paused = True
        asyncio.get_running_loop().remove_reader(self._sock)
        if self._breath is not None:
            self._breath.cancel()
            self._breath = None

    def take_all(self) -> None:
        """Accept who waits, as far as there is room."""
        if self._closed:
            return
        taken = 0
        for _ in range(BATCH):
            if self._slots.full:
                self._wait(taken, NoRoom(f"{self._slots.used} connections open, no room for more"))
                self._slots.when_free(self.start)
                return
            try:
                client = self._accept(self._sock)
            except OSError as error:
                if error.errno in EXHAUSTED and self._slots.give_way():
                    continue
                self._wait(taken, OutOfDescriptors(f"cannot accept ({error.strerror})"))
                self._breath = asyncio.get_running_loop().call_later(BREATH_S, self.start)
                return
            if client < 0:
                self._relax()
                return
            self._host.begin(client)
            taken += 1
        if self._crowd is not None:
            self._crowd.took(taken)

    # --- when there is no room ------------------------------------------------------------------

    def _wait(self, taken: int, why: HeadwayError) -> None:
        """Those in the backlog have to wait now, after so many were taken."""
        self._pause()
        self._why = why
        self._warn("new ones wait")
        if self._crowd is None:
            self._look()
        else:
            self._crowd.took(taken)

    def _relax(self) -> None:
        self._crowd = None
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None

    def _look(self) -> None:
        """Whether somebody has waited for too long; again and again while anybody waits."""
        waiting = backlog_length(self._sock)
        if not waiting:
            self._nobody_waits()
            return
        if self._crowd is None:
            self._crowd = Patience(self._patience_s)
        overdue = self._crowd.look(waiting, self._slots.clock.now())
        refused = self._refuse(min(overdue, BATCH), self._why) if overdue else 0
        self._crowd.took(refused)
        if refused:
            self._warn(f"who has waited for {self._patience_s:g} s is reset")
            if not backlog_length(self._sock):  # a Unix socket made them too many: who comes now would be one
                self._nobody_waits()
                return
        soon = 0.0 if refused == BATCH else self._crowd.look_every_s
        self._next_look = asyncio.get_running_loop().call_later(soon, self._look)

    def _nobody_waits(self) -> None:
        """There is nothing to look at until somebody comes."""
        self._relax()
        if self._paused:
            asyncio.get_running_loop().add_reader(self._sock, self._somebody_comes)

    def _somebody_comes(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._sock)
        if backlog_length(self._sock):
            self._look()
        else:  # another process has taken them, or this kernel does not tell
            self._next_look = loop.call_later(self._patience_s / LOOKS, self._look)

    def _refuse(self, most: int, why: HeadwayError) -> int:
        """How many of those in the backlog were."""
        refused = 0
        with self._reserve.lent(), suppress(OSError):
            while refused < most and (client := self._accept(self._sock)) >= 0:
                self._host.refuse(client, why)
                refused += 1
        return refused

    def _warn(self, what: str) -> None:
        if self._seldom.may_say(self._why.reason + what) is not None:
            log.warning("%s: %s: %s", self._name, self._why, what)
