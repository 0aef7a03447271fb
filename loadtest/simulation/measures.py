"""What is written down while a fleet runs, and what becomes of it."""

from array import array
from collections.abc import Iterable, Sequence

import msgspec


class Quantiles(msgspec.Struct, frozen=True):
    """In milliseconds."""

    p50: float
    p99: float
    p999: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> "Quantiles":
        ordered = sorted(seconds)
        return cls(*(round(1000 * quantile(ordered, share), 2) for share in (0.5, 0.99, 0.999)))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed."""
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Measures:
    """Of the connections that came after the warm-up. `queued`: all that was lost, in pods' queues and in
    attempts that failed; `total`: until the first byte.
    """

    def __init__(self, warm_up_s: float) -> None:
        self.warm_up_s = warm_up_s
        self.connections = 0
        self.attempts = 0
        self.failed = 0
        self.errors = 0  # that the pod sent
        self.queued = array("d")
        self.total = array("d")
        self.came_at = array("d")

    def served(self, came_at: float, queued_s: float, total_s: float, erred: bool) -> None:
        if came_at >= self.warm_up_s:
            self.errors += erred
            self.came_at.append(came_at)
            self.queued.append(queued_s)
            self.total.append(total_s)

    def began(self, now: float) -> None:
        if now >= self.warm_up_s:
            self.connections += 1

    def attempted(self, came_at: float) -> None:
        if came_at >= self.warm_up_s:
            self.attempts += 1

    def gave_up(self, came_at: float) -> None:
        if came_at >= self.warm_up_s:
            self.failed += 1

    def p99_per_s(self, seconds: int) -> list[float]:
        """The 99th percentile of the total, in milliseconds, of those that came in each second."""
        slots: list[list[float]] = [[] for _ in range(seconds)]
        for came_at, total in zip(self.came_at, self.total, strict=True):
            slots[int(came_at)].append(total)
        return [round(1000 * quantile(sorted(each), 0.99), 2) if each else 0.0 for each in slots]


class Result(msgspec.Struct, kw_only=True):
    """What one run shows of its pods. `shares`: of the connections that each got; 1 is fair."""

    label: str
    balancer: str
    connections: int
    attempts_per_connection: float
    failed_share: float  # of the connections: no pod took them
    error_share: float  # a pod answered with an error
    queued_ms: Quantiles
    total_ms: Quantiles
    load_max_to_mean: float  # connections served in all
    second_max_to_mean: float  # connections that came within one second
    busy_mean: float
    busy_max: float
    open_mean: float
    open_max: int
    probes_mean: float  # per pod and second
    probes_max: int
    dns_mean: float  # queries per second of the fleet
    dns_max: int
    extra: dict[str, float] = {}
    shares: list[float] = []
    series: dict[str, list[float]] = {}
    events: int = 0
    cpu_s: float = 0.0
    resident_mib: float = 0.0
