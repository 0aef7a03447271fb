"""Plain numbers that the data path adds to; they become metrics only when someone scrapes."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

CONNECT_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
CONNECTION_BOUNDS_S = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0, 3600.0)


class Histogram:
    """Counts per bucket, not cumulative; the last one is everything above the highest bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class ServiceCounters:
    """Everything counted for one service. Names follow the metrics in metrics.py."""

    __slots__ = (
        "active",
        "bytes_from_pods",
        "bytes_to_pods",
        "connect_seconds",
        "connection_seconds",
        "dns_queries",
        "ejections",
        "health_checks",
        "outcomes",
        "panics",
        "retries",
        "sheds",
        "spares",
        "spares_ended",
        "waiting",
    )

    def __init__(self) -> None:
        self.active = 0  # accepted and not ended
        self.waiting = 0  # of these: no endpoint is known yet
        self.outcomes: Counter[str] = Counter()
        self.retries = 0
        self.spares = 0  # idle connections to pods
        self.spares_ended: Counter[str] = Counter()
        self.bytes_to_pods = 0
        self.bytes_from_pods = 0
        self.ejections: Counter[str] = Counter()
        self.health_checks: Counter[str] = Counter()
        self.sheds: Counter[str] = Counter()
        self.panics: Counter[str] = Counter()
        self.dns_queries: Counter[str] = Counter()
        self.connect_seconds = Histogram(CONNECT_BOUNDS_S)
        self.connection_seconds = Histogram(CONNECTION_BOUNDS_S)
