"""One idle connection to a pod; and what a pod has of them."""

import asyncio
import socket

from proxy.model import Address
from proxy.policy import spares
from proxy.policy.endpoint import Endpoint, State
from proxy.policy.spares import Demand

DIAL_S = 0.01  # before any connect was seen


class Spare:
    """From its SYN on. `spoke`: whether the pod has said something."""

    __slots__ = (
        "address",
        "connect_s",
        "dialled_at",
        "expires_at",
        "ready",
        "sock",
        "spoke",
        "stock",
        "timer",
    )

    timer: asyncio.TimerHandle

    def __init__(self, sock: socket.socket, stock: "Stock", address: Address, now: float) -> None:
        self.sock = sock
        self.stock = stock
        self.address = address
        self.dialled_at = now
        self.expires_at = float("inf")
        self.connect_s = 0.0
        self.ready = self.spoke = False


class Stock:
    """Of one endpoint."""

    __slots__ = (
        *("closed_after_s", "demand", "dialling", "endpoint", "failures", "idle", "pause_until", "seen_s"),
        "timer",
    )

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.dialling: dict[Spare, None] = {}  # the oldest first
        self.idle: list[Spare] = []  # the newest last
        self.demand = Demand()
        self.seen_s: float | None = None  # how long dials take
        self.failures = 0  # in a row
        self.pause_until = float("-inf")
        self.closed_after_s: float | None = None  # how old one got that the pod closed, until the next dial
        self.timer: asyncio.TimerHandle | None = None  # for the next look

    @property
    def size(self) -> int:
        return len(self.idle) + len(self.dialling)

    @property
    def dial_s(self) -> float:
        return self.seen_s or self.endpoint.connect_s or DIAL_S

    def note_dial(self, took_s: float) -> None:
        """Smoothed, as TCP does its round trips (RFC 6298 2.3): a lost SYN takes a second."""
        self.seen_s = took_s if self.seen_s is None else self.seen_s + (took_s - self.seen_s) / 8

    @property
    def is_fit(self) -> bool:
        return self.endpoint.state is State.READY

    def is_of_use(self, spare: Spare) -> bool:
        """Whether nothing has failed since its dial: what a vanished pod leaves behind looks alive."""
        endpoint = self.endpoint
        return spare.address == endpoint.address and spare.dialled_at >= endpoint.failed_from

    def is_doubtful(self, now: float) -> bool:
        """Whether a dial takes suspiciously long."""
        oldest = next(iter(self.dialling), None)
        return oldest is not None and spares.is_overdue(now - oldest.dialled_at, self.dial_s)
