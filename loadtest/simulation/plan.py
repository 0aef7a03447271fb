"""What is simulated: one fleet, one balancer, one kind of traffic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadtest.simulation.timeline import Process

if TYPE_CHECKING:
    from loadtest.simulation.fleet import Fleet

ALONE_S = 0.05  # how long single connections take to be served

Story = Callable[["Fleet"], Process]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`rate`: new connections of each sidecar a second, Poisson, `burst` at a time on average.

    `utilisation`: of all slots there are; it sets the mean service time. `hold_s`: how long a connection is
    kept open, on average, after it was served. `story`: what happens to the fleet meanwhile. `settings`: as
    environment variables, without their prefix.
    """

    balancer: str = "p2c"
    sidecars: int = 1000
    pods: int = 100
    slots: int = 8
    slow_share: float = 0.0
    slow_times: float = 3.0
    rate: float = 10.0
    utilisation: float = 0.7
    service: str = "exponential"
    burst: float = 1.0
    hold_s: float = 0.0
    seconds: int = 60
    warm_up_s: int = 20
    starts_within_s: float = 5.0  # the sidecars, one after the other
    fleet_known: bool = False  # whether FLEET tells each sidecar how many there are
    clients: int = 10_000  # different keys, for a balancer that hashes; 0 = one for each sidecar
    dns_lag_s: float = 1.0  # until the name server knows
    dns_ttl_s: float = 5.0  # CoreDNS' default, and its cache answers for so long
    settings: Mapping[str, str] = field(default_factory=dict)
    story: Story | None = None
    seed: int = 1

    @property
    def slow_pods(self) -> int:
        return round(self.pods * self.slow_share)

    @property
    def service_s(self) -> float:
        """The mean on a pod of normal speed that makes the wanted utilisation."""
        if not self.rate:
            return ALONE_S
        speed = self.pods - self.slow_pods + self.slow_pods / self.slow_times
        return self.utilisation * self.slots * speed / (self.sidecars * self.rate)

    @property
    def subset_size(self) -> int:
        return int(self.settings.get("SUBSET_SIZE", "0"))
