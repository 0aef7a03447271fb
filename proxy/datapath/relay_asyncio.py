"""The relay over uvloop's transports, for where there is no compiler."""

import asyncio
import math
import random
import socket
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from proxy.datapath.connector import Connector
from proxy.datapath.departures import BROKEN, Departures
from proxy.datapath.pair_asyncio import Pair
from proxy.datapath.relay import Ear, End, Timeouts, given_up, to_retire
from proxy.datapath.sockets import connect_took_s, reset
from proxy.errors import ConnectError, ResetEarly
from proxy.model import Address, Clock, EndReason
from proxy.observe.counters import ServiceCounters
from proxy.policy.jitter import jittered
from proxy.tasks import spawn

SWEEPS = 4  # per timeout: a connection is ended at most a quarter late
SWEEP_MIN_S, SWEEP_MAX_S = 0.05, 5.0
AGE_JITTER = 0.1


class _Attempt:
    """A connect under way."""

    __slots__ = ("_begun", "_departures", "client", "owner", "reason", "task")

    task: asyncio.Task[None]

    def __init__(self, client: int, departures: Departures, owner: object) -> None:
        self._departures = departures
        self.client = client
        self.owner = owner
        self.reason = EndReason.ABORTED  # why it is given up, if it is
        self._begun: bool | None = False  # None: given up before

    async def connect(
        self, connector: Connector, clock: Clock, address: Address, within_s: float
    ) -> tuple[socket.socket, float]:
        """A connected socket, and how long that took. Raises ConnectError."""
        if self._begun is None:
            raise asyncio.CancelledError
        self._begun = True
        started = clock.now()
        self._departures.watch(self.client, self._client_is_gone)
        try:
            sock = await connector.connect(address, within_s)
        finally:
            self._departures.forget(self.client)
        self._begun = None
        return sock, connect_took_s(sock, clock.now() - started)

    def give_up(self, reason: EndReason) -> None:
        self.reason = reason
        if self._begun:
            self.task.cancel()
        self._begun = None  # cancelled before it runs, a task never hears of it

    def _client_is_gone(self) -> None:
        self.give_up(EndReason.CLIENT_RESET)


def _given_up(client: int, reason: EndReason) -> End:
    if reason not in (EndReason.ABORTED, EndReason.CLIENT_RESET):
        return End(reason, client=client, error=given_up(reason))
    reset(client)
    return End(reason)


class AsyncioRelay:
    """The relay of one service."""

    def __init__(
        self, timeouts: Timeouts, connector: Connector, counters: ServiceCounters, clock: Clock
    ) -> None:
        self._timeouts = timeouts
        self._connector = connector
        self._counters = counters
        self._clock = clock
        self._pairs: set[Pair] = set()
        self._calls = 0  # of retire()
        self._attempts: set[_Attempt] = set()
        self._departures = Departures(BROKEN)
        self._rng = random.Random()
        limits = [limit for limit in (timeouts.idle_s, timeouts.half_close_s) if limit]
        limits += [SWEEPS * timeouts.quiet_s] if timeouts.max_age_s else []
        self._sweep_s = min(max(min(limits) / SWEEPS, SWEEP_MIN_S), SWEEP_MAX_S) if limits else 0.0
        self._sweeper: asyncio.TimerHandle | None = None

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
    ) -> None:
        if isinstance(pod, Address):
            attempt = _Attempt(client, self._departures, owner)
            self._attempts.add(attempt)
            story = self._connect_and_relay(attempt, pod, ear, connect_within_s, retry_before, prefix)
            attempt.task = spawn(story, name="relay")
        else:
            pair = self._pair(client, pod, ear, 0.0, retry_before, owner)
            spawn(self._relay(pair, ear, 0.0, prefix), name="relay")

    async def _connect_and_relay(
        self,
        attempt: _Attempt,
        address: Address,
        ear: Ear,
        connect_within_s: float,
        retry_before: float,
        prefix: bytes,
    ) -> None:
        client = attempt.client
        try:
            pod, connect_s = await attempt.connect(self._connector, self._clock, address, connect_within_s)
        except ConnectError as error:  # without its traceback, which holds all that this one holds
            ear.ended(End(EndReason.UNCONNECTED, client=client, error=error.with_traceback(None)))
            return
        except asyncio.CancelledError:
            ear.ended(_given_up(client, attempt.reason))
            return
        finally:
            self._attempts.discard(attempt)
        pair = self._pair(client, pod, ear, connect_s, retry_before, attempt.owner)
        await self._relay(pair, ear, connect_s, prefix)

    def _pair(
        self, client: int, pod: socket.socket, ear: Ear, connect_s: float, retry_before: float, owner: object
    ) -> Pair:
        near = socket.socket(fileno=client)
        near.setblocking(False)
        max_age_s = jittered(self._timeouts.max_age_s, self._rng, AGE_JITTER) or math.inf
        on_pod_byte = partial(ear.answered, connect_s)
        pair = Pair(near, pod, on_pod_byte, retry_before, owner, self._clock, max_age_s)
        self._pairs.add(pair)
        self._schedule()
        return pair

    async def _relay(self, pair: Pair, ear: Ear, connect_s: float, prefix: bytes) -> None:
        try:
            await pair.start(prefix)
            await pair.done
        except BaseException:
            pair.abandon(self._forget)
            ear.ended(End(EndReason.ABORTED))
            raise
        client, pod, given_back = pair.client, pair.pod, pair.given_back
        self._forget(pair)
        assert pair.ending is not None
        ear.ended(
            End(
                pair.ending,
                client.received,
                pod.received,
                pair.pod_first,
                connect_s,
                -1 if given_back is None else given_back.detach(),
                None if given_back is None else ResetEarly("ended before a byte flowed"),
            )
        )

    def account(self) -> None:
        for pair in self._pairs:
            self._count(pair)

    def abort(self, reason: EndReason = EndReason.ABORTED, owner: object = None) -> None:
        for pair in self._pairs:
            if owner is None or pair.owner is owner:
                pair.end(reason, reset=True)
        for attempt in self._attempts:
            if owner is None or attempt.owner is owner:
                attempt.give_up(reason)

    def retire(self, counts: Mapping[Any, int], before: float, within_s: float) -> int:
        self._calls += 1
        chosen = to_retire(self._pairs, counts, before)
        for pair in chosen:
            pair.asked = self._calls
        self._part_at_rest(chosen, self._clock.now() + within_s)
        return len(chosen)

    def _part_at_rest(self, pairs: Sequence[Pair], until: float) -> None:
        """Now, or when they come to rest before then."""
        now = self._clock.now()
        if now >= until:
            return
        busy = [pair for pair in pairs if not pair.part(EndReason.REBALANCED, self._timeouts.quiet_s, now)]
        left = [pair for pair in busy if pair in self._pairs]
        if left:
            loop = asyncio.get_running_loop()
            loop.call_later(self._timeouts.quiet_s, self._part_at_rest, left, until)

    def part(self, reason: EndReason) -> None:
        now = self._clock.now()
        for pair in self._pairs:
            if not pair.part(reason, self._timeouts.quiet_s, now):
                pair.end(EndReason.ABORTED, reset=True)
        for attempt in self._attempts:
            attempt.give_up(EndReason.ABORTED)

    def _count(self, pair: Pair) -> None:
        now = (pair.client.received, pair.pod.received)
        self._counters.bytes_to_pods += now[0] - pair.counted[0]
        self._counters.bytes_from_pods += now[1] - pair.counted[1]
        pair.counted = now

    def _forget(self, pair: Pair) -> None:
        self._count(pair)
        self._pairs.discard(pair)
        pair.untie()

    def _schedule(self) -> None:
        """One timer for all pairs, and none while there is no pair."""
        if self._sweeper is None and self._sweep_s and self._pairs:
            self._sweeper = asyncio.get_running_loop().call_later(self._sweep_s, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        self._schedule()
        now = self._clock.now()
        for pair in list(self._pairs):
            pair.expire(self._timeouts, now)
