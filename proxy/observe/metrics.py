"""Every metric, once, and how the plain counters become the Prometheus text format when someone scrapes."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple

from prometheus_client import PROCESS_COLLECTOR, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from proxy import __version__
from proxy.observe.counters import Histogram, ServiceCounters


class Declared(NamedTuple):
    kind: str
    labels: tuple[str, ...]
    help: str


METRICS: dict[str, Declared] = {
    "headway_connections_total": Declared(
        "counter", ("service", "outcome"), "Connections that ended, by how they ended"
    ),
    "headway_connections_active": Declared("gauge", ("service",), "Connections accepted and not ended"),
    "headway_endpoint_connections_active": Declared(
        "gauge", ("service", "endpoint"), "Connections of this sidecar to the endpoint"
    ),
    "headway_endpoint_picks_total": Declared(
        "counter", ("service", "endpoint"), "Times the endpoint was chosen, retries included"
    ),
    "headway_endpoints": Declared("gauge", ("service", "state"), "Endpoints by state"),
    "headway_connect_seconds": Declared("histogram", ("service",), "Time to connect to an endpoint"),
    "headway_connection_seconds": Declared("histogram", ("service",), "Time from accept to close"),
    "headway_bytes_total": Declared("counter", ("service", "direction"), "Bytes relayed, by direction"),
    "headway_retries_total": Declared("counter", ("service",), "Attempts after the first of a connection"),
    "headway_sheds_total": Declared(
        "counter", ("service", "reason"), "Connections given up for want of a budget, by which"
    ),
    "headway_panics_total": Declared(
        "counter",
        ("service", "reason"),
        "Times that endpoints in trouble were used all the same: too few were left, or all failed at once",
    ),
    "headway_ejections_total": Declared(
        "counter", ("service", "reason"), "Endpoints ejected, by the failure that did it"
    ),
    "headway_health_checks_total": Declared("counter", ("service", "result"), "Health checks, by result"),
    "headway_dns_queries_total": Declared("counter", ("service", "result"), "DNS queries, by what came back"),
    "headway_dns_answer_age_seconds": Declared(
        "gauge", ("service",), "Time since DNS last gave an answer; absent before the first"
    ),
    "headway_queue_waiting": Declared(
        "gauge", ("service",), "Connections that wait for an endpoint: a first one, or one with room"
    ),
    "headway_spares": Declared(
        "gauge", ("service",), "Idle connections to endpoints, dialled before anyone asked"
    ),
    "headway_spares_total": Declared(
        "counter",
        ("service", "result"),
        "What became of them: used (of these raced: the pod had just ended it), expired, closed by the pod, "
        "spoken on unasked, dropped with their endpoint or for want of room, failed to connect",
    ),
    "headway_connections_max": Declared("gauge", (), "Connections that the process has room for"),
    "headway_build_info": Declared("gauge", ("version",), "Always 1"),
}


class EndpointRow(NamedTuple):
    label: str
    in_flight: int
    picks: int


class Snapshot(NamedTuple):
    """One service at the moment of a scrape. Counters are read as they are; the rest is copied."""

    service: str
    counters: ServiceCounters
    endpoints: list[EndpointRow]
    states: dict[str, int]
    answer_age_s: float | None


def render(connections_max: int, snapshots: Iterable[Snapshot]) -> bytes:
    """The text format. Slow with many endpoints: call it in a thread."""
    return bytes(generate_latest(_Collection(connections_max, list(snapshots))))


class _Collection:
    """What generate_latest() takes for a registry."""

    def __init__(self, connections_max: int, snapshots: list[Snapshot]) -> None:
        self._connections_max = connections_max
        self._snapshots = snapshots

    def collect(self) -> Iterator[Metric]:
        families = {name: _KINDS[m.kind](name, m.help, labels=m.labels) for name, m in METRICS.items()}
        families["headway_build_info"].add_metric([__version__], 1)
        families["headway_connections_max"].add_metric([], self._connections_max)
        for snapshot in self._snapshots:
            for name, labels, value in _samples(snapshot):
                _add(families[name], [snapshot.service, *labels], value)
        yield from families.values()
        yield from PROCESS_COLLECTOR.collect()


_KINDS = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}


def _samples(snapshot: Snapshot) -> Iterator[tuple[str, tuple[str, ...], float | Histogram]]:
    """Name, labels after the service's, value. One line for each metric."""
    counters = snapshot.counters
    yield from _by_label("headway_connections_total", counters.outcomes)
    yield "headway_connections_active", (), counters.active
    yield "headway_queue_waiting", (), counters.waiting
    for endpoint in snapshot.endpoints:
        yield "headway_endpoint_connections_active", (endpoint.label,), endpoint.in_flight
        yield "headway_endpoint_picks_total", (endpoint.label,), endpoint.picks
    yield from _by_label("headway_endpoints", snapshot.states)
    yield "headway_connect_seconds", (), counters.connect_seconds
    yield "headway_connection_seconds", (), counters.connection_seconds
    yield "headway_bytes_total", ("to_pod",), counters.bytes_to_pods
    yield "headway_bytes_total", ("from_pod",), counters.bytes_from_pods
    yield "headway_retries_total", (), counters.retries
    yield from _by_label("headway_sheds_total", counters.sheds)
    yield from _by_label("headway_panics_total", counters.panics)
    yield from _by_label("headway_ejections_total", counters.ejections)
    yield from _by_label("headway_health_checks_total", counters.health_checks)
    yield from _by_label("headway_dns_queries_total", counters.dns_queries)
    yield "headway_spares", (), counters.spares
    yield from _by_label("headway_spares_total", counters.spares_ended)
    if snapshot.answer_age_s is not None:
        yield "headway_dns_answer_age_seconds", (), snapshot.answer_age_s


def _by_label(name: str, values: Mapping[str, int]) -> Iterator[tuple[str, tuple[str, ...], float]]:
    # list() first: the loop goes on counting while a thread renders
    for label, value in list(values.items()):
        yield name, (label,), value


def _add(family: Metric, labels: list[str], value: float | Histogram) -> None:
    if isinstance(value, Histogram):
        bounds = [*map(str, value.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(value.counts), strict=True))
        family.add_metric(labels, buckets=buckets, sum_value=value.total)  # type: ignore[attr-defined]
    else:
        family.add_metric(labels, value)  # type: ignore[attr-defined]
