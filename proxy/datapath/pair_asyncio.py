"""One relayed connection over uvloop's transports: each chunk goes on as the object it came in.

RFC 9293 3.6: a FIN closes one direction only. Each is passed on when it comes; the connection ends with the
second one. A reset is passed on as a reset. A side that does not read stops the other from being read.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from proxy.datapath.relay import UNANSWERED, Timeouts
from proxy.datapath.sockets import arm_reset, has_failed, is_empty, reset
from proxy.model import Clock, EndReason


class Side(asyncio.Protocol):
    """One socket of a pair. `forward` takes what it received."""

    __slots__ = (*("early", "finished", "forward", "open", "other", "pair", "received", "sock", "transport"),)

    other: "Side"
    transport: asyncio.Transport

    def __init__(self, pair: "Pair", sock: socket.socket) -> None:
        self.pair = pair
        self.sock = sock
        self.received = 0
        self.open = False  # from connection_made to connection_lost
        self.finished = False  # its FIN has come
        self.early: list[bytes] = []  # uvloop may deliver before the other side has its transport
        self.forward: Callable[[bytes], None] = self.early.append

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.open = True

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self.pair.heard(self)
        self.forward(data)

    def eof_received(self) -> bool:
        self.finished = True
        self.pair.finished(self)
        return True  # it may still be written to

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self.pair.lost(self, cut=exc is not None)

    def pause_writing(self) -> None:
        if self.other.open and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.open and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def unsent(self) -> int:
        return self.transport.get_write_buffer_size() if self.open else 0


class Pair:
    """Two sides and how they ended. The relay holds it until both transports are gone:
    uvloop corrupts the heap when a half-closed one is dropped without close().
    """

    __slots__ = (
        *("asked", "begun_at", "client", "client_had_last_word", "clock", "counted", "done", "ending"),
        *("given_back", "heard_at", "old_at", "on_pod_byte", "owner", "pod", "pod_first", "progress"),
        *("quiet_since", "retry_before", "started", "waiting_since"),
    )

    def __init__(
        self,
        client: socket.socket,
        pod: socket.socket,
        on_pod_byte: Callable[[float, bool], None],
        retry_before: float,
        owner: object,
        clock: Clock,
        max_age_s: float,
    ) -> None:
        self.client, self.pod = Side(self, client), Side(self, pod)
        self.client.other, self.pod.other = self.pod, self.client
        self.on_pod_byte = on_pod_byte
        self.retry_before = retry_before
        self.owner = owner
        self.clock = clock
        self.started = False
        self.ending: EndReason | None = None
        self.pod_first = False
        self.given_back: socket.socket | None = None
        self.counted = (0, 0)  # bytes to and from the pod that the counters have
        self.progress: tuple[object, ...] = (0, 0, False, None)  # as the last sweep saw it
        self.quiet_since = self.waiting_since = self.heard_at = self.begun_at = clock.now()
        self.asked = 0  # by which call of retire() for the last time
        self.old_at = self.heard_at + max_age_s
        self.client_had_last_word = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self, prefix: bytes) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: self.pod, self.pod.sock)
        # A pod that was gone before this began has shown it by now, and nothing of the client's is read yet.
        gone = self.pod.finished or self.pod.transport.is_closing()
        if gone and self.ending is None and self._untouched():
            self.started = True
            self._give_back()
            return
        if prefix and not gone:
            self.pod.transport.write(prefix)
        await loop.connect_accepted_socket(lambda: self.client, self.client.sock)
        self.started = True
        if self.ending is None:
            self._catch_up()
        else:  # by abort(), when only one side could be reset
            self.end(self.ending, reset=True)

    def _catch_up(self) -> None:
        """Pass on what came before both sides had their transports. One that is lost takes no bytes."""
        self.client.forward, self.pod.forward = self._first_from_client, self._first_from_pod
        for side in (self.pod, self.client):  # in this order: no pod has answered what it has not got yet
            for chunk in side.early if side.other.open else ():
                side.forward(chunk)
            side.early.clear()
        for side in (self.client, self.pod):
            if side.finished:
                self.finished(side)
            if not side.open:
                self.lost(side, cut=True)

    def _first_from_client(self, data: bytes) -> None:
        self.client.forward = self.pod.transport.write
        self.waiting_since = self.clock.now()
        self.pod.transport.write(data)

    def _first_from_pod(self, data: bytes) -> None:
        self.pod.forward = self.client.transport.write
        unasked = not (self.client.received or self.client.finished)
        self.on_pod_byte(self.clock.now() - self.waiting_since, unasked)
        self.client.transport.write(data)

    def finished(self, side: Side) -> None:
        """`side` sent its FIN."""
        if not self.started or self.ending is not None:
            return
        if side is self.pod and self._untouched():
            self._give_back()
        elif side.other.finished:
            if not self._was_cut_behind_fin():
                self.end(EndReason.COMPLETED)
        else:
            self.pod_first = side is self.pod
            if not (self.pod_first or side.received):
                self.waiting_since = self.clock.now()  # its FIN is all the client has to say
            if side.other.open:
                side.other.transport.write_eof()

    def _was_cut_behind_fin(self) -> bool:
        """Whether a reset followed the first FIN, behind which nothing is read that tells; then it ends."""
        first = self.pod if self.pod_first else self.client
        cut = self.ending is None and first.finished and first.open and has_failed(first.sock)
        if cut:
            self.end(self._reset_by(first), reset=True)
        return cut

    def _reset_by(self, side: Side) -> EndReason:
        return EndReason.POD_RESET if side is self.pod else EndReason.CLIENT_RESET

    def lost(self, side: Side, *, cut: bool) -> None:
        """The transport of `side` is gone: because this pair ends, or because the connection was `cut`."""
        if not self.started:
            return
        if self.ending is None:
            if not side.other.finished:
                self.pod_first = side is self.pod
            if side is self.pod and self._untouched():
                self._give_back()
            else:
                self.end(self._reset_by(side), reset=True)
        elif cut and self.ending is EndReason.COMPLETED:  # the last bytes were not taken
            self.end(self._reset_by(side), reset=True)
        self._settle()

    def _settle(self) -> None:
        if not (self.client.open or self.pod.open or self.done.done()):
            self.done.set_result(None)

    def end(self, reason: EndReason, *, reset: bool = False) -> None:
        """Close both sides, after what is still to be sent; or at once, by a reset."""
        if self.ending is None or (reset and self.ending is EndReason.COMPLETED):  # which was cut short
            self.ending = reason
        for side in (self.client, self.pod):
            if side.open and reset:
                arm_reset(side.sock)
                side.transport.abort()
            elif side.open:
                side.transport.close()

    def _untouched(self) -> bool:
        nothing = not (self.client.received or self.pod.received or self.client.finished)
        return nothing and self.clock.now() < self.retry_before

    def _give_back(self) -> None:
        """Free the client from its transport, if any: a second descriptor outlives the first one's close."""
        try:
            self.given_back = self.client.sock.dup() if self.client.open else self.client.sock
        except OSError:  # no descriptor left
            self.end(EndReason.POD_RESET, reset=True)
            return
        self.ending, self.pod_first = EndReason.UNTOUCHED, True
        for side in (self.client, self.pod):
            if side.open:
                side.transport.abort()
        self._settle()

    def heard(self, side: Side) -> None:
        self.heard_at = self.clock.now()
        self.client_had_last_word = side is self.client

    def _is_at_rest(self, quiet_s: float, now: float) -> bool:
        """Whether a FIN would cut nothing."""
        if not self.started or self.ending is not None or self.client.finished or self.pod.finished:
            return False
        calm = now - self.heard_at >= quiet_s * (UNANSWERED if self.client_had_last_word else 1)
        return calm and all(not side.unsent() and is_empty(side.sock) for side in (self.client, self.pod))

    def part(self, reason: EndReason, quiet_s: float, now: float) -> bool:
        """End it for this reason if it is at rest; whether it was."""
        if not self._is_at_rest(quiet_s, now):
            return False
        self.end(reason)
        return True

    def expire(self, timeouts: Timeouts, now: float) -> None:
        """End the pair when it is old and at rest, or nothing has moved for too long; a FIN is a move too."""
        if now >= self.old_at and self.part(EndReason.MAX_AGE, timeouts.quiet_s, now):
            return
        if self._was_cut_behind_fin():
            return
        unsent = self.client.unsent() + self.pod.unsent()
        half = self.client.finished or self.pod.finished
        progress = self.client.received + self.pod.received, unsent, half, self.ending
        if progress != self.progress:
            self.progress, self.quiet_since = progress, now
            return
        limit = timeouts.half_close_s if half or self.ending else timeouts.idle_s
        if limit and now - self.quiet_since >= limit:
            stuck = half or self.ending is not None or unsent > 0
            reason = EndReason.HALF_CLOSE_TIMEOUT if half else EndReason.IDLE_TIMEOUT
            self.end(reason, reset=stuck)

    def abandon(self, forget: Callable[["Pair"], None]) -> None:
        """Close whatever there is of a pair that could not start, or whose caller is gone."""
        self.started = True
        self.done = asyncio.get_running_loop().create_future()  # the caller's was cancelled with it
        self.done.add_done_callback(lambda _: forget(self))
        for side in (self.client, self.pod):
            if side.sock.fileno() < 0:  # uvloop closes one whose start is cancelled, without a word
                side.open = False
            elif not hasattr(side, "transport"):
                reset(side.sock.detach())
        if self.given_back is not None:
            reset(self.given_back.detach())
        self.end(EndReason.ABORTED, reset=True)
        self._settle()

    def untie(self) -> None:
        """Cut the cycles, so that the pair goes at once and not with some later garbage collection."""
        for side in (self.client, self.pod):
            del side.other, side.pair, side.forward
            if hasattr(side, "transport"):
                del side.transport
