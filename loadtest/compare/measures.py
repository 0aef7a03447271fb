"""What is measured: each measure with its unit, and which of two values is the better one."""

from typing import NamedTuple


class Measure(NamedTuple):
    head: str
    digits: int
    lower_is_better: bool = True

    def text(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


MEASURES = {
    "cpu_us": Measure("CPU per request, µs", 1),
    "rate": Measure("requests/s", 0, lower_is_better=False),
    "cpu_s_gib": Measure("CPU per GiB, s", 2),
    "gb_s": Measure("GB/s", 2, lower_is_better=False),
    "p50_us": Measure("p50, µs", 0),
    "p99_us": Measure("p99, µs", 0),
    "p999_us": Measure("p99.9, µs", 0),
    "max_us": Measure("longest, µs", 0),
    "idle_mib": Measure("resident when idle, MiB", 1),
    "kib_each": Measure("resident per connection, KiB", 1),
}
QUANTILES = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999, "p9999_us": 0.9999}
