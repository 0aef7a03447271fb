"""What Prometheus reads, parsed as Prometheus parses it."""

import re

from prometheus_client.parser import text_string_to_metric_families

from proxy.observe.counters import Histogram, ServiceCounters
from proxy.observe.metrics import METRICS, EndpointRow, Snapshot, render


def scrape(*snapshots: Snapshot) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by metric and label values."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(render(432, snapshots).decode()):
        for sample in family.samples:
            labels = sorted(sample.labels.items(), key=lambda label: label[0] != "service")
            found.setdefault(sample.name, {})[tuple(value for _, value in labels)] = sample.value
    return found


def snapshot(service: str = "web", counters: ServiceCounters | None = None, **changes: object) -> Snapshot:
    return Snapshot(service, counters or ServiceCounters(), [], {}, None)._replace(**changes)  # type: ignore[arg-type]


def test_counts_arrive_under_their_names() -> None:
    """Each counter of the data path is the metric that the design promises, with its labels."""
    counters = ServiceCounters()
    counters.active, counters.waiting, counters.retries = 3, 2, 7
    counters.bytes_to_pods, counters.bytes_from_pods = 10, 20
    counters.outcomes.update(completed=5, refused=1)
    counters.ejections.update(timeout=4)
    counters.health_checks.update(passed=8)
    counters.dns_queries.update(servfail=9)
    found = scrape(snapshot(counters=counters, states={"ready": 6}, answer_age_s=1.5))

    assert found["headway_connections_active"] == {("web",): 3}
    assert found["headway_queue_waiting"] == {("web",): 2}
    assert found["headway_retries_total"] == {("web",): 7}
    assert found["headway_bytes_total"] == {("web", "to_pod"): 10, ("web", "from_pod"): 20}
    assert found["headway_connections_total"] == {("web", "completed"): 5, ("web", "refused"): 1}
    assert found["headway_ejections_total"] == {("web", "timeout"): 4}
    assert found["headway_health_checks_total"] == {("web", "passed"): 8}
    assert found["headway_dns_queries_total"] == {("web", "servfail"): 9}
    assert found["headway_endpoints"] == {("web", "ready"): 6}
    assert found["headway_dns_answer_age_seconds"] == {("web",): 1.5}
    assert found["headway_connections_max"] == {(): 432}


def test_services_are_kept_apart() -> None:
    """Two services of one process have series of their own."""
    found = scrape(
        snapshot("orders", endpoints=[EndpointRow("10.0.0.1:80", 2, 9)]),
        snapshot("users", endpoints=[EndpointRow("10.0.0.1:80", 4, 8)]),
    )

    assert found["headway_endpoint_connections_active"] == {
        ("orders", "10.0.0.1:80"): 2,
        ("users", "10.0.0.1:80"): 4,
    }
    assert found["headway_endpoint_picks_total"][("users", "10.0.0.1:80")] == 8


def test_histograms_are_cumulative() -> None:
    """A quantile computed by Prometheus is right: buckets include those below, the last one is all."""
    counters = ServiceCounters()
    for seconds in (0.0005, 0.003, 0.003, 60.0):
        counters.connect_seconds.observe(seconds)
    found = scrape(snapshot(counters=counters))
    buckets = {bound: count for (_, bound), count in found["headway_connect_seconds_bucket"].items()}

    assert (buckets["0.0005"], buckets["0.0025"], buckets["0.005"], buckets["5.0"]) == (1, 1, 3, 3)
    assert buckets["+Inf"] == 4
    assert found["headway_connect_seconds_count"] == {("web",): 4}
    assert found["headway_connect_seconds_sum"][("web",)] == 60.0065


def test_a_value_on_a_bound_belongs_below_it() -> None:
    """`le` means less than or equal."""
    histogram = Histogram((1.0, 2.0))
    histogram.observe(1.0)
    histogram.observe(2.1)

    assert histogram.counts == [1, 0, 1]


def test_no_age_before_the_first_answer() -> None:
    """An alert on the age does not fire on a made-up number."""
    assert "headway_dns_answer_age_seconds" not in scrape(snapshot())


def test_names_follow_the_conventions() -> None:
    """Counters end in _total, times are in seconds, and each metric says what it is."""
    for name, metric in METRICS.items():
        assert re.fullmatch(r"headway_[a-z_]+", name)
        assert (metric.kind == "counter") == name.endswith("_total")
        assert metric.help
