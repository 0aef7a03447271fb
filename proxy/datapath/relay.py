"""What a relay is: it moves bytes between two connected sockets until both are done, and nothing else."""

import socket
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import msgspec


class EndReason(StrEnum):
    COMPLETED = "completed"  # both directions ended cleanly
    CLIENT_RESET = "client_reset"
    POD_RESET = "pod_reset"
    IDLE_TIMEOUT = "idle_timeout"
    HALF_CLOSE_TIMEOUT = "half_close_timeout"
    ABORTED = "aborted"  # by the proxy, which is ending
    UNTOUCHED = "untouched"  # the pod ended it before any byte flowed: the client may go to another


BY_PROXY = frozenset({EndReason.IDLE_TIMEOUT, EndReason.HALF_CLOSE_TIMEOUT, EndReason.ABORTED})


class End(msgspec.Struct, frozen=True):
    """How a relayed connection ended. `pod_first`: whether the pod was the first to end it."""

    reason: EndReason
    to_pod: int
    from_pod: int
    pod_first: bool
    client: socket.socket | None = None  # with UNTOUCHED: the client's socket, as it was handed over


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds without a byte in either direction; 0 = never."""

    idle_s: float
    half_close_s: float


class Relay(Protocol):
    async def run(
        self,
        client: socket.socket,
        pod: socket.socket,
        on_pod_byte: Callable[[], None],
        retry_before: float,
    ) -> End:
        """Take over both sockets and return when both are closed.

        `on_pod_byte` is called once, with the pod's first byte. Until the time `retry_before`, an end or
        reset by the pod before any byte flowed gives the client's socket back (0 = never).
        """

    def account(self) -> None:
        """Bring the byte counters up to now."""

    def abort(self) -> None:
        """Reset every connection."""
