"""The scenarios by name."""

from loadtest.simulation.scenarios import change, latency, size, trouble
from loadtest.simulation.scenarios.base import Scenario

SCENARIOS: dict[str, Scenario] = {
    **latency.SCENARIOS,
    **change.SCENARIOS,
    **trouble.SCENARIOS,
    **size.SCENARIOS,
}
