"""Accepts connections in batches, no more than the process has room for, and hands each to its service."""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from proxy import socket_file
from proxy.bind import unbind
from proxy.errors import CutOff, HeadwayError
from proxy.inherit import is_inherited
from proxy.model import Clock

log = logging.getLogger("headway.listener")

BATCH = 64  # accepts before other work gets its turn
BREATH_S = 0.2  # how long accepting rests when the system itself is out of descriptors
SAY_EVERY_S = 10.0  # at most: a process that stays full would otherwise say so with each connection
SWEPT_MOST = 1 << 16  # no backlog is longer: whoever goes on knocking does not hold up the end
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

    def when_free(self, resume: Callable[[], None]) -> None:
        """Call `resume` once, when a slot is free again."""
        self._waiting.append(resume)


class Listener:
    """One listening socket of one service. Above the cap, connections wait in the kernel's backlog."""

    def __init__(
        self,
        name: str,
        sock: socket.socket,
        slots: Slots,
        host: Host,
        accept: Accept = accept,
    ) -> None:
        self._name = name
        self._sock = sock
        self._slots = slots
        self._host = host
        self._accept = accept
        self._closed = False
        self._silent_until = 0.0

    def start(self) -> None:
        if not self._closed:
            asyncio.get_running_loop().add_reader(self._sock, self.take_all)

    def close(self) -> None:
        """Nobody new. Who still waits is reset and counted, unless somebody else goes on with the socket."""
        if self._closed:
            return
        self._pause()
        self._closed = True
        socket_file.remove(self._sock)
        if not is_inherited(self._sock):
            self._sweep(SWEPT_MOST, CutOff("the process ended while it waited to be accepted"))
        unbind(self._sock)

    def _sweep(self, most: int, error: HeadwayError) -> None:
        with suppress(OSError):
            for _ in range(most):
                client = self._accept(self._sock)
                if client < 0:
                    return
                self._host.refuse(client, error)

    def _pause(self) -> None:
        asyncio.get_running_loop().remove_reader(self._sock)

    def take_all(self) -> None:
        """Accept who waits, as far as there is room."""
        for _ in range(BATCH):
            if self._slots.full:
                self._warn(f"{self._slots.used} connections open, no room for more: new ones wait")
                self._pause()
                self._slots.when_free(self.start)
                return
            try:
                client = self._accept(self._sock)
            except OSError as error:
                self._warn(f"cannot accept ({error.strerror}): trying again every {BREATH_S:g} s")
                self._pause()
                asyncio.get_running_loop().call_later(BREATH_S, self.start)
                return
            if client < 0:
                return
            self._host.begin(client)

    def _warn(self, problem: str) -> None:
        now = self._slots.clock.now()
        if now >= self._silent_until:
            self._silent_until = now + SAY_EVERY_S
            log.warning("%s: %s", self._name, problem)
