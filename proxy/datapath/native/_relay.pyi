"""Brings relay.h to Python, and nothing else. One thread calls it: that of the loop."""

from collections.abc import Callable

from proxy.datapath.relay import End
from proxy.datapath.relay_native import NativeRelay

THREADS_MAX: int
COMPLETED: int
CLIENT_RESET: int
POD_RESET: int
IDLE_TIMEOUT: int
HALF_CLOSE_TIMEOUT: int
UNTOUCHED: int
ABORTED: int  # and all above it: reasons of the caller's own

class Service:
    """What holds for all pairs of one service, and what they have moved."""

    def __init__(self, idle_s: float, half_close_s: float) -> None: ...
    def moved(self) -> tuple[int, int]:
        """Bytes to and from its pods, until now."""

class Pair:
    """Two sockets under way. The engine holds it from start() until news() has told its end."""

    relay: NativeRelay
    owner: object
    on_pod_byte: Callable[[float], None] | None
    on_end: Callable[[End], None] | None

    def __init__(
        self,
        relay: NativeRelay,
        owner: object,
        on_pod_byte: Callable[[float], None],
        on_end: Callable[[End], None],
    ) -> None: ...

class Engine:
    """The threads. When it is dropped they end, and every pair is reset."""

    def __init__(self, threads: int, spin: bool) -> None: ...
    def fileno(self) -> int:
        """What is readable when there is news."""

    def start(
        self,
        pair: Pair,
        service: Service,
        client: int,
        pod: int,
        client_is_local: bool,
        retry_before_s: float,
    ) -> None:
        """Take over both descriptors; they are closed even when this raises."""

    def abort(self, pair: Pair, reason: int) -> None:
        """Reset it; nothing happens if it is over."""

    def leave(self, pair: Pair, reason: int) -> None:
        """Read no more of it, send what was read, and end both sides by a FIN."""

    def flush(self) -> None:
        """Hand over all these orders since the last time."""

    def news(self) -> tuple[list[tuple[Pair, float]], list[tuple[Pair, int, int, int, bool, int, int]]]:
        """Of the pods' first bytes: how long each took. Of ends: `reason` to `error` as in relay.h."""

    def stop(self) -> None:
        """Reset all pairs and end the threads; the news of it can still be heard."""
