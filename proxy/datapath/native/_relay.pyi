"""Brings relay.h to Python, and nothing else. One thread calls it: that of the loop."""

from proxy.datapath.relay import Ear
from proxy.datapath.relay_native import NativeRelay
from proxy.model import Address

THREADS_MAX: int
COMPLETED: int
CLIENT_RESET: int
POD_RESET: int
IDLE_TIMEOUT: int
HALF_CLOSE_TIMEOUT: int
MAX_AGE: int
RETIRED: int
UNCONNECTED: int
UNTOUCHED: int
ABORTED: int  # and all above it: reasons of the caller's own

def accept(listener: int) -> int:
    """The descriptor of a new connection, non-blocking; -1 when there is none. Raises OSError."""

class Service:
    """What holds for all pairs of one service, and what they have moved."""

    def __init__(
        self,
        idle_s: float,
        half_close_s: float,
        max_age_s: float,
        quiet_s: float,
        keepalive_s: float,
        user_timeout_s: float,
    ) -> None: ...
    def moved(self) -> tuple[int, int]:
        """Bytes to and from its pods, until now."""

class Pair:
    """Two sockets under way. The engine holds it from start() until news() has told its end."""

    relay: NativeRelay
    owner: object
    ear: Ear
    asked: int  # the caller's own

    def __init__(self, relay: NativeRelay, owner: object, ear: Ear) -> None: ...
    @property
    def begun_at(self) -> float:
        """When it was started, by time.monotonic(); endless once it is over."""

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
        address: Address | None,
        connect_within_s: float,
        retry_before_s: float,
        prefix: bytes,
    ) -> None:
        """Take over the descriptors. `pod`: of a connected socket; or -1, to connect one to `address`.
        It gets `prefix` first.
        """

    def abort(self, pair: Pair, reason: int) -> None:
        """Reset it; nothing happens if it is over."""

    def part(self, pair: Pair, reason: int) -> None:
        """End it by a FIN on both sides where that cuts nothing; else abort it."""

    def retire(self, pair: Pair, within_s: float) -> None:
        """End it by a FIN on both sides, if it comes to rest within that time."""

    def flush(self) -> None:
        """Hand over all these orders since the last time."""

    def hear(self) -> None:
        """Tell everyone their news. Who cannot bear it keeps nobody else's away."""

    def stop(self) -> None:
        """Reset all pairs and end the threads; the news of it can still be heard."""
