"""The relay over the native engine: its threads move the bytes, the loop hears of first bytes and ends.

Sockets belong to the engine from start() on. It closes them before it tells the end, unless it gives the
client back.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from weakref import finalize

from proxy.datapath.native import _relay
from proxy.datapath.native._relay import Pair
from proxy.datapath.relay import End, Timeouts
from proxy.datapath.sockets import reset
from proxy.model import EndReason
from proxy.observe.counters import ServiceCounters

log = logging.getLogger("headway.relay")

REASONS = {
    _relay.COMPLETED: EndReason.COMPLETED,
    _relay.CLIENT_RESET: EndReason.CLIENT_RESET,
    _relay.POD_RESET: EndReason.POD_RESET,
    _relay.IDLE_TIMEOUT: EndReason.IDLE_TIMEOUT,
    _relay.HALF_CLOSE_TIMEOUT: EndReason.HALF_CLOSE_TIMEOUT,
    _relay.UNTOUCHED: EndReason.UNTOUCHED,
    _relay.ABORTED: EndReason.ABORTED,
    _relay.ABORTED + 1: EndReason.IDENTITY_CHANGED,
}
CODES = {reason: code for code, reason in REASONS.items()}


class NativeEngine:
    """The engine of one process, for the relays of all its services; lives in the loop it is made in."""

    def __init__(self, threads: int = 1, *, spin: bool = False) -> None:
        self._engine = _relay.Engine(threads, spin)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._engine, self._hear)
        self._unsent = False
        self._stop = finalize(self, self._engine.stop)  # at the latest when the process ends

    def start(
        self, pair: Pair, service: _relay.Service, client: socket.socket, pod: socket.socket, before: float
    ) -> None:
        local = client.family == socket.AF_UNIX
        self._engine.start(pair, service, client.detach(), pod.detach(), local, before)
        self._send_soon()

    def abort(self, pair: Pair, reason: EndReason) -> None:
        self._engine.abort(pair, CODES[reason])
        self._send_soon()

    def leave(self, pair: Pair, reason: EndReason) -> None:
        self._engine.leave(pair, CODES[reason])
        self._send_soon()

    def close(self) -> None:
        """Reset every connection, and end the threads."""
        self._loop.remove_reader(self._engine)
        self._stop()
        self._hear()

    def _send_soon(self) -> None:
        """Once for all that this turn of the loop brings."""
        if not self._unsent:
            self._unsent = True
            self._loop.call_soon(self.send)

    def send(self) -> None:
        self._unsent = False
        self._engine.flush()

    def _hear(self) -> None:
        first_bytes, ends = self._engine.news()
        for first_byte in first_bytes:
            _tell(first_byte[0].relay.heard_first_byte, *first_byte)
        for end in ends:
            _tell(end[0].relay.heard_end, *end)


class NativeRelay:
    """The relay of one service."""

    def __init__(self, engine: NativeEngine, timeouts: Timeouts, counters: ServiceCounters) -> None:
        self._engine = engine
        self._service = _relay.Service(timeouts.idle_s, timeouts.half_close_s)
        self._counters = counters
        self._counted = (0, 0)  # bytes to and from the pods that the counters have
        self._pairs: set[Pair] = set()

    async def run(
        self,
        client: socket.socket,
        pod: socket.socket,
        on_pod_byte: Callable[[float], None],
        retry_before: float,
        owner: object = None,
    ) -> End:
        ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        pair = self.start(client, pod, on_pod_byte, partial(_settle, ended), retry_before, owner)
        try:
            return await ended
        except BaseException:
            self._forsake(pair)
            if ended.done() and not ended.cancelled():
                _drop(ended.result())
            raise

    def start(
        self,
        client: socket.socket,
        pod: socket.socket,
        on_pod_byte: Callable[[float], None],
        on_end: Callable[[End], None],
        retry_before: float,
        owner: object = None,
    ) -> Pair:
        """The same as run(), without a task: `on_end` is called once, and never before this returns."""
        pair = Pair(self, owner, on_pod_byte, on_end)
        self._engine.start(pair, self._service, client, pod, retry_before)
        self._pairs.add(pair)
        return pair

    def account(self) -> None:
        now = self._service.moved()
        self._counters.bytes_to_pods += now[0] - self._counted[0]
        self._counters.bytes_from_pods += now[1] - self._counted[1]
        self._counted = now

    def abort(self, reason: EndReason = EndReason.ABORTED, owner: object = None) -> None:
        for pair in self._pairs:
            if owner is None or pair.owner is owner:
                self._engine.abort(pair, reason)
        self._engine.send()

    def leave(self, pair: Pair, reason: EndReason) -> None:
        """End it by a FIN on both sides, once what was read is sent. What comes meanwhile is not read."""
        self._engine.leave(pair, reason)

    def _forsake(self, pair: Pair) -> None:
        """Nobody waits for it any more."""
        pair.owner = pair.on_pod_byte = pair.on_end = None
        self._engine.abort(pair, EndReason.ABORTED)

    # --- what the engine tells ------------------------------------------------------------------

    def heard_first_byte(self, pair: Pair, waited_s: float) -> None:
        if pair.on_pod_byte is not None:
            pair.on_pod_byte(waited_s)

    def heard_end(
        self, pair: Pair, reason: int, to_pod: int, from_pod: int, pod_first: bool, client: int, error: int
    ) -> None:
        self._pairs.discard(pair)
        self.account()
        if error:
            log.error("a connection could not be watched, and was reset: %s", os.strerror(error))
        given_back = None
        if client >= 0:
            given_back = socket.socket(fileno=client)
            given_back.setblocking(False)
        end = End(REASONS[reason], to_pod, from_pod, pod_first, given_back)
        (pair.on_end or _drop)(end)


def _settle(ended: asyncio.Future[End], end: End) -> None:
    if not ended.done():
        ended.set_result(end)
    else:  # cancelled, and who waited for it does not know yet
        _drop(end)


def _drop(end: End) -> None:
    """Nobody wants to know; a client that was given back is not left open."""
    if end.client is not None:
        reset(end.client)


def _tell(hear: Callable[..., None], *news: object) -> None:
    """Who cannot bear the news keeps nobody else's away."""
    try:
        hear(*news)
    except Exception:
        log.exception("somebody could not bear the news of a connection")
