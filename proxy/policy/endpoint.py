"""One pod address with its state. Lives as long as anything remembers it; only the pool changes it."""

from enum import StrEnum

from proxy.model import Address
from proxy.policy.ejection import Ejection, Phase
from proxy.policy.health import Health, Status


class State(StrEnum):
    """What a person wants to know of an endpoint, in one word."""

    READY = "ready"
    UNCHECKED = "unchecked"
    UNHEALTHY = "unhealthy"
    EJECTED = "ejected"
    PROBING = "probing"
    DRAINING = "draining"  # gone from discovery; its connections live on

    @property
    def is_trouble(self) -> bool:
        return self in (State.UNHEALTHY, State.EJECTED)


class Endpoint:
    """`in_flight` counts leases, `picks` all there ever were. Compared by identity: same pod, same object."""

    __slots__ = ("address", "ejection", "gone_at", "health", "in_flight", "label", "picks", "probe_since")

    def __init__(self, address: Address, health: Health) -> None:
        self.address = address
        self.label = str(address)
        self.health = health
        self.ejection = Ejection()
        self.in_flight = 0
        self.picks = 0
        self.probe_since: float | None = None  # when the one probing connection was handed out
        self.gone_at: float | None = None  # when discovery stopped listing it

    @property
    def usable(self) -> bool:
        return self.health.usable and self.ejection.phase is Phase.SERVING

    @property
    def failing(self) -> bool:
        """Whether checks or connections speak against it; one that was never checked is not failing."""
        return self.health.status is Status.UNHEALTHY or self.ejection.phase is not Phase.SERVING

    @property
    def state(self) -> State:
        if self.gone_at is not None:
            return State.DRAINING
        if self.ejection.phase is not Phase.SERVING:
            return State(self.ejection.phase.value)
        if self.health.usable:
            return State.READY
        return State.UNHEALTHY if self.health.status is Status.UNHEALTHY else State.UNCHECKED

    def __repr__(self) -> str:
        return f"<{self.label} {self.state} in_flight={self.in_flight}>"
