"""Every metric of the injector, and the text that Prometheus reads."""

from datetime import datetime

from prometheus_client import PROCESS_COLLECTOR, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from proxy import __version__

# The API server waits 5 s for us by our own manifest, and pods wait with it.
REVIEW_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
RESULTS = ("injected", "unchanged", "refused", "invalid", "failed")


class Metrics:
    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._reviews = Counter(
            "headway_injector_reviews_total", "Admission reviews, by result", ["result"], registry=registry
        )
        for result in RESULTS:
            self._reviews.labels(result)  # rate() needs the zero before the first one
        self._seconds = Histogram(
            "headway_injector_review_seconds",
            "Time from the first line of a review to the answer",
            buckets=REVIEW_BOUNDS_S,
            registry=registry,
        )
        self._expiry = Gauge(
            "headway_injector_certificate_expiry_timestamp_seconds",
            "When the serving certificate ends; 0 before there is one",
            registry=registry,
        )
        self._api_failures = Counter(
            "headway_injector_api_failures_total",
            "Failed attempts to keep the self-signed certificate through the API server",
            registry=registry,
        )
        Gauge("headway_build_info", "Always 1", ["version"], registry=registry).labels(__version__).set(1)
        registry.register(PROCESS_COLLECTOR)

    def reviewed(self, result: str, seconds: float) -> None:
        self._reviews.labels(result).inc()
        self._seconds.observe(seconds)

    def api_failed(self) -> None:
        self._api_failures.inc()

    def render(self, certificate_ends: datetime | None) -> bytes:
        self._expiry.set(certificate_ends.timestamp() if certificate_ends else 0)
        return generate_latest(self._registry)
