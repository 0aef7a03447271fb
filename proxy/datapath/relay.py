"""What a relay is: it moves bytes between two connected sockets until both are done, and nothing else."""

import socket
from collections.abc import Callable
from typing import Protocol

import msgspec

from proxy.model import EndReason


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
        on_pod_byte: Callable[[float], None],
        retry_before: float,
        owner: object = None,
    ) -> End:
        """Take over both sockets and return when both are closed. `owner` is who they belong to, for abort().

        `on_pod_byte` is called once, with the pod's first byte: how many seconds after the client's first
        word that came, be it a byte or only its FIN; or after the relay took over, when the pod speaks first.
        Until the time `retry_before`, an end or reset by the pod before any byte flowed gives the client's
        socket back (0 = never).
        """

    def account(self) -> None:
        """Bring the byte counters up to now."""

    def abort(self, reason: EndReason = EndReason.ABORTED, owner: object = None) -> None:
        """Reset every connection, or those of one owner."""
