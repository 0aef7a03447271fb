"""The relay over the native engine: its threads move the bytes, the loop hears of first bytes and ends.

Sockets belong to the engine from start() on. It closes them before it tells the end, unless it gives the
client back.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from typing import Any
from weakref import finalize

from proxy.datapath.native import _relay
from proxy.datapath.native._relay import Pair
from proxy.datapath.relay import Ear, End, Timeouts, given_up, to_retire
from proxy.datapath.sockets import Tuning, reset
from proxy.errors import ConnectError, CutOff, ResetEarly, connect_error
from proxy.model import Address, EndReason
from proxy.observe.counters import ServiceCounters

log = logging.getLogger("headway.relay")

REASONS = {
    _relay.COMPLETED: EndReason.COMPLETED,
    _relay.CLIENT_RESET: EndReason.CLIENT_RESET,
    _relay.POD_RESET: EndReason.POD_RESET,
    _relay.IDLE_TIMEOUT: EndReason.IDLE_TIMEOUT,
    _relay.HALF_CLOSE_TIMEOUT: EndReason.HALF_CLOSE_TIMEOUT,
    _relay.MAX_AGE: EndReason.MAX_AGE,
    _relay.RETIRED: EndReason.REBALANCED,
    _relay.UNCONNECTED: EndReason.UNCONNECTED,
    _relay.UNTOUCHED: EndReason.UNTOUCHED,
    _relay.ABORTED: EndReason.ABORTED,
    _relay.ABORTED + 1: EndReason.IDENTITY_CHANGED,
    _relay.ABORTED + 2: EndReason.UNHEALTHY,
    _relay.ABORTED + 3: EndReason.DRAINED,
}
CODES = {reason: code for code, reason in REASONS.items()}


class NativeEngine:
    """The engine of one process, for the relays of all its services; lives in the loop it is made in."""

    def __init__(self, threads: int = 1, *, spin: bool = False) -> None:
        self._engine = _relay.Engine(threads, spin)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._engine, self._engine.hear)
        self._unsent = self._closed = False
        self._stop = finalize(self, self._engine.stop)  # at the latest when the process ends

    def start(
        self,
        pair: Pair,
        service: _relay.Service,
        client: int,
        pod: Address | socket.socket,
        connect_within_s: float,
        retry_before: float,
        prefix: bytes,
    ) -> None:
        if self._closed:
            raise CutOff("the process ends")
        if isinstance(pod, Address):
            self._engine.start(pair, service, client, -1, pod, connect_within_s, retry_before, prefix)
        else:
            self._engine.start(
                pair, service, client, pod.fileno(), None, connect_within_s, retry_before, prefix
            )
            pod.detach()
        self._send_soon()

    def abort(self, pair: Pair, reason: EndReason) -> None:
        self._engine.abort(pair, CODES[reason])
        self._send_soon()

    def part(self, pair: Pair, reason: EndReason) -> None:
        self._engine.part(pair, CODES[reason])
        self._send_soon()

    def retire(self, pair: Pair, within_s: float) -> None:
        self._engine.retire(pair, within_s)
        self._send_soon()

    def close(self) -> None:
        """Reset every connection, and end the threads."""
        self._closed = True
        self._loop.remove_reader(self._engine)
        self._stop()
        self._engine.hear()

    def _send_soon(self) -> None:
        """Once for all that this turn of the loop brings."""
        if not self._unsent:
            self._unsent = True
            self._loop.call_soon(self.send)

    def send(self) -> None:
        self._unsent = False
        self._engine.flush()


class NativeRelay:
    """The relay of one service."""

    def __init__(
        self, engine: NativeEngine, timeouts: Timeouts, tuning: Tuning, counters: ServiceCounters
    ) -> None:
        self._engine = engine
        self._service = _relay.Service(
            timeouts.idle_s,
            timeouts.half_close_s,
            timeouts.max_age_s,
            timeouts.quiet_s,
            tuning.keepalive_s,
            tuning.user_timeout_s,
        )
        self._counters = counters
        self._counted = (0, 0)  # bytes to and from the pods that the counters have
        self._pairs: set[Pair] = set()
        self._calls = 0  # of retire()

    def start(
        self,
        client: int,
        pod: Address | socket.socket,
        ear: Ear,
        *,
        connect_within_s: float,
        retry_before: float,
        owner: object = None,
        prefix: bytes = b"",
    ) -> Pair:
        pair = Pair(self, owner, ear)
        self._engine.start(pair, self._service, client, pod, connect_within_s, retry_before, prefix)
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

    def part(self, reason: EndReason) -> None:
        for pair in self._pairs:
            self._engine.part(pair, reason)
        self._engine.send()

    def retire(self, counts: Mapping[Any, int], before: float, within_s: float) -> int:
        self._calls += 1
        chosen = to_retire(self._pairs, counts, before)
        for pair in chosen:
            pair.asked = self._calls
            self._engine.retire(pair, within_s)
        return len(chosen)

    def heard_end(
        self,
        pair: Pair,
        reason: int,
        to_pod: int,
        from_pod: int,
        pod_first: bool,
        connect_s: float,
        client: int,
        error: int,
    ) -> None:
        """What the engine tells."""
        self._pairs.discard(pair)
        why = REASONS[reason]
        if client >= 0:
            pair.ear.ended(_given_back(why, connect_s, client, error))
            return
        if error:
            log.error("a connection could not be watched, and was reset: %s", os.strerror(error))
        pair.ear.ended(End(why, to_pod, from_pod, pod_first, connect_s))


def _given_back(reason: EndReason, connect_s: float, client: int, error: int) -> End:
    """The end of a connection that no pod took."""
    if reason is EndReason.ABORTED:
        reset(client)
        return End(reason)
    return End(reason, pod_first=True, connect_s=connect_s, client=client, error=_why(reason, error))


def _why(reason: EndReason, error: int) -> ConnectError:
    if reason is EndReason.UNCONNECTED:
        return connect_error(OSError(error, os.strerror(error)))
    if reason is EndReason.UNTOUCHED:
        return ResetEarly("ended before a byte flowed")
    return given_up(reason)
