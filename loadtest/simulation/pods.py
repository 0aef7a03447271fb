"""What a pod does with the connections that come to it."""

from collections import deque
from enum import StrEnum
from heapq import heapreplace
from typing import NamedTuple

from loadtest.simulation.timeline import Process
from proxy.errors import ConnectError, ConnectTimeout, Refused, ResetEarly
from proxy.model import Address, Identity
from tests.support.fleet import address

RTT_S = 0.0005  # within one zone; what a connect takes
BACKLOG = 4096  # net.core.somaxconn, which most servers use: a SYN beyond it is dropped
ERROR_S = 0.001  # how fast a pod answers that fails at its first step


class Mode(StrEnum):
    SERVING = "serving"
    REFUSING = "refusing"  # the host is there, nobody listens
    SILENT = "silent"  # no answer to a SYN, as from a node that is gone
    CLOSING = "closing"  # takes the connection, and ends it before a byte flowed
    ERRING = "erring"  # takes it and answers at once, with an error that no TCP proxy can see
    MUTE = "mute"  # takes it and what the client says, and ends it without an answer


FAILING_FAST = Mode.ERRING, Mode.MUTE


class Met(NamedTuple):
    """How it went: the error, or how long the client waited in the queue and until the first byte came."""

    error: ConnectError | None
    after_s: float
    queued_s: float = 0.0


class Pod:
    """Serves `slots` connections at a time, first in first out; `slowness` multiplies its service times.

    Its queue needs no events: when one comes, it is known when each slot is free, and so when it is served.
    """

    __slots__ = (
        *("_free", "_starts", "address", "attempts", "attempts_per_s", "busy_s", "held", "identity", "mode"),
        *("number", "open", "open_most", "open_s", "probes_per_s", "slowness", "wanting"),
    )

    def __init__(self, number: int, slots: int, slowness: float, seconds: int) -> None:
        self.number = number
        self.address: Address = address(number)
        self.identity = Identity(self.address)
        self.mode = Mode.SERVING
        self.slowness = slowness
        self.wanting = True  # whether it shall be in DNS
        self.held: dict[Process, None] = {}  # connections kept open after they were served, as they came
        self.attempts = 0
        self.attempts_per_s = [0] * (seconds + 1)
        self.probes_per_s = [0] * (seconds + 1)
        self.busy_s = 0.0
        self.open = self.open_most = 0
        self.open_s = 0.0
        self._free = [0.0] * slots  # when each slot is free
        self._starts: deque[float] = deque()  # when those in the queue will be served

    def meet(self, now: float, service_s: float, timeout_s: float) -> Met:
        """A connection comes; it takes `service_s` of a slot on a pod of normal speed."""
        self.attempts += 1
        self.attempts_per_s[int(now)] += 1
        if self.mode is Mode.SERVING:
            starts = self._starts
            while starts and starts[0] <= now:
                starts.popleft()
            if len(starts) >= BACKLOG:
                return Met(ConnectTimeout("its queue is full"), timeout_s)
            return self._queue(now + RTT_S, service_s * self.slowness)
        if self.mode in FAILING_FAST:
            return Met(None, RTT_S + ERROR_S)
        if self.mode is Mode.SILENT:
            return Met(ConnectTimeout(), timeout_s)
        return Met(Refused() if self.mode is Mode.REFUSING else ResetEarly(), RTT_S)

    def _queue(self, comes_at: float, service_s: float) -> Met:
        starts_at = max(comes_at, self._free[0])
        heapreplace(self._free, starts_at + service_s)
        self._starts.append(starts_at)
        self.busy_s += service_s
        queued_s = starts_at - comes_at
        return Met(None, RTT_S + queued_s + service_s, queued_s)

    def opened(self) -> None:
        self.open += 1
        self.open_most = max(self.open_most, self.open)

    def closed(self, after_s: float) -> None:
        self.open -= 1
        self.open_s += after_s

    @property
    def passes_checks(self) -> bool:
        """By TCP: whoever accepts is well."""
        return self.mode in (Mode.SERVING, Mode.CLOSING, *FAILING_FAST)
