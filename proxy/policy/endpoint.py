"""One pod address with its state. Lives as long as anything remembers it; only the pool changes it."""

from enum import StrEnum

from proxy.model import PLAIN, Address, Identity, Listed
from proxy.policy.ejection import Ejection, Phase
from proxy.policy.health import Health, Status
from proxy.policy.load import PeakEwma
from proxy.policy.sliding import SlidingCount

NEVER = float("-inf")


class State(StrEnum):
    """What a person wants to know of an endpoint, in one word."""

    READY = "ready"
    UNCHECKED = "unchecked"
    UNHEALTHY = "unhealthy"
    EJECTED = "ejected"
    PROBING = "probing"
    STANDBY = "standby"  # not in this pod's subset: neither used nor checked
    DRAINING = "draining"  # gone from discovery; its connections live on

    @property
    def is_trouble(self) -> bool:
        return self in (State.UNHEALTHY, State.EJECTED)


class Endpoint:
    """`in_flight` counts leases, `picks` all there ever were. Compared by identity: same pod, same object."""

    __slots__ = (
        *("alive", "connect_s", "ejection", "failed_from", "failing_since", "gone_at", "health", "identity"),
        *("in_flight", "label", "latency", "other", "passed_from", "picks", "place", "priority"),
        *("probe_since", "ramp", "rank", "recent_picks", "replaced", "spares", "standby", "succeeded_at"),
        *("turned", "warming_since", "weight", "why", "worked_from"),
    )

    def __init__(self, identity: Identity, health: Health) -> None:
        self.identity = identity
        self.label = str(identity.address)
        self.health = health
        self.ejection = Ejection()
        self.why = ""  # what last changed its state
        self.in_flight = 0
        self.picks = 0
        self.spares = 0  # idle connections to it, beside those in flight
        self.recent_picks: SlidingCount | None = None  # made with its first connection
        self.latency = PeakEwma()  # from connect to first byte
        self.connect_s: float | None = None  # how long the last connect took
        self.alive: bool | None = None  # what the last check or connection showed
        self.succeeded_at = NEVER  # when a connection to it last worked
        self.failing_since = NEVER  # since when connections and checks fail, in a row
        # Of two attempts the one that began later tells: when the latest of each kind began.
        self.worked_from = NEVER  # of the connections that worked
        self.passed_from = NEVER  # of the checks that met what connections meet, and passed
        self.failed_from = NEVER  # of both that failed
        self.probe_since: float | None = None  # when the one probing connection was handed out
        self.gone_at: float | None = None  # when discovery stopped listing it
        self.replaced = False  # another pod has its address: no byte of a client's may go there
        self.turned = False  # whether its other address is used
        self.standby = False
        self.rank = 0  # its place in this pod's own order, for subsets
        self.warming_since: float | None = None  # when it came or recovered, during its slow start
        self.ramp = 1.0  # what part of its weight counts meanwhile
        self.follow(PLAIN)

    def follow(self, listed: Listed) -> None:
        self.priority, self.weight, self.other, self.place = listed

    @property
    def effective_weight(self) -> float:
        """nginx's term: its weight, as far as it counts already."""
        return self.weight * self.ramp

    @property
    def address(self) -> Address:
        """Where to connect to."""
        return self.other if self.turned and self.other is not None else self.identity.address

    @property
    def addresses(self) -> set[Address]:
        return {self.identity.address} if self.other is None else {self.identity.address, self.other}

    def turn_from(self, failed: Address) -> None:
        """Use its address of the other family from now on, if it has one and `failed` is the one in use."""
        if failed == self.address:
            self.turned = self.other is not None and not self.turned

    @property
    def usable(self) -> bool:
        return self.health.usable and self.ejection.phase is Phase.SERVING

    @property
    def failing(self) -> bool:
        """Whether checks or connections speak against it; of one that was never tried nothing is known."""
        out = self.health.status is Status.UNHEALTHY or self.ejection.phase is not Phase.SERVING
        return out or self.alive is False

    def is_news(self, began: float, checkable: bool = True) -> bool:
        """Whether it says something that a connection which began then failed: none that began later worked,
        no later check refutes it, and it is not from before the probation.
        """
        known_from = max(self.worked_from, self.passed_from) if checkable else self.worked_from
        if self.ejection.phase is Phase.PROBING:
            known_from = max(known_from, self.ejection.until)
        return began >= known_from

    @property
    def proven(self) -> bool:
        """Whether it may be used, and showed that it lives when it was last tried."""
        return self.usable and self.alive is True

    @property
    def on_probation(self) -> bool:
        """Whether one connection may show now what it is worth: its ejection is over, no other is at it.

        Not while its checks fail: a client would pay for it, and a success could not bring it back.
        """
        waiting = self.ejection.phase is Phase.PROBING and self.probe_since is None
        return waiting and self.health.usable

    @property
    def state(self) -> State:
        if self.gone_at is not None:
            return State.DRAINING
        if self.standby:
            return State.STANDBY
        if self.health.status is Status.UNHEALTHY and self.ejection.phase is not Phase.EJECTED:
            return State.UNHEALTHY  # after its ejection, too: nothing probes it while its checks fail
        if self.ejection.phase is not Phase.SERVING:
            return State(self.ejection.phase.value)
        return State.READY if self.health.usable else State.UNCHECKED

    def __repr__(self) -> str:
        return f"<{self.label} {self.state} in_flight={self.in_flight}>"
