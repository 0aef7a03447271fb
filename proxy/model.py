"""The frozen values that the parts hand to each other, with the protocols for time and luck."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec


class Clock(Protocol):
    def now(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class Rng(Protocol):
    """The part of random.Random that decisions use."""

    def random(self) -> float: ...
    def randrange(self, stop: int, /) -> int: ...


class Family(StrEnum):
    """An address family, named as in IP_FAMILY."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Address(NamedTuple):
    """Where a pod listens. A tuple, so that it is a key and goes to connect() as it is."""

    ip: str
    port: int

    @property
    def family(self) -> Family:
        return Family.IPV6 if ":" in self.ip else Family.IPV4

    @property
    def is_loopback(self) -> bool:
        return self.ip.startswith("127.") or self.ip == "::1"

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class Identity(NamedTuple):
    """Which pod an endpoint is. `name` is its stable hostname, when SRV gives one.

    Addresses are used again: another name at the same address is another pod.
    """

    address: Address
    name: str = ""

    def __str__(self) -> str:
        return f"{self.address} ({self.name.partition('.')[0]})" if self.name else str(self.address)


class Listed(NamedTuple):
    """What an answer says of an endpoint beside who it is; a change of it makes no other endpoint.

    `priority`: lower ones come first, the others are for failover (RFC 2782). `weight`: its share among those
    of its priority, 1 on average. `other`: the same pod's address of the other family. `place`: its place in
    a list that a person wrote.
    """

    priority: int = 0
    weight: float = 1.0
    other: Address | None = None
    place: int = 0


PLAIN = Listed()  # of whom nothing is said: all alike


class AnswerKind(StrEnum):
    """The four things discovery can learn. They are never mixed up: each moves the pool differently."""

    ENDPOINTS = "endpoints"
    EMPTY = "empty"  # the name exists, without addresses
    NXDOMAIN = "nxdomain"  # no such name; in Kubernetes also: no pod is ready
    FAILED = "failed"  # SERVFAIL, REFUSED, a timeout: nothing was learned


class Exchange(NamedTuple):
    """One query and what came back, for people to look at; `records` are the first of `total`."""

    name: str
    qtype: str
    result: str
    server: str = ""
    transport: str = ""
    rcode: str = ""  # none when no reply came
    records: tuple[str, ...] = ()
    total: int = 0
    ttl: int | None = None
    truncated: bool = False  # even over TCP
    seconds: float = 0.0


class Answer(msgspec.Struct, frozen=True):
    """What discovery learned by one poll.

    Of the absent endpoints it says nothing about those of `unknown_families` and `unknown_names`, whose
    queries failed; when it is `truncated` about none, and when `partial` not yet: a query is under way.
    """

    kind: AnswerKind
    endpoints: Mapping[Identity, Listed] = {}
    unknown_families: frozenset[Family] = frozenset()
    unknown_names: frozenset[str] = frozenset()
    detail: str = ""
    partial: bool = False
    truncated: bool = False
    exchanges: tuple[Exchange, ...] = ()

    @classmethod
    def of(cls, addresses: Iterable[Address], *, detail: str = "") -> "Answer":
        """An answer that lists `addresses`, all alike."""
        return cls(AnswerKind.ENDPOINTS, dict.fromkeys(map(Identity, addresses), PLAIN), detail=detail)

    @classmethod
    def in_order(cls, addresses: Iterable[Address], *, detail: str = "") -> "Answer":
        """An answer that lists `addresses` as a person did: their order may mean something."""
        placed = {Identity(each): Listed(place=place) for place, each in enumerate(addresses)}
        return cls(AnswerKind.ENDPOINTS, placed, detail=detail)

    @property
    def is_whole(self) -> bool:
        """Whether every query brought endpoints or the certainty that there are none."""
        known = self.kind is AnswerKind.ENDPOINTS
        return known and not (self.unknown_families or self.unknown_names or self.partial or self.truncated)

    def __str__(self) -> str:
        count = f" {len(self.endpoints)}" if self.endpoints else ""
        return f"{self.kind}{count}" + (f" ({self.detail})" if self.detail else "")


class EndReason(StrEnum):
    COMPLETED = "completed"  # both directions ended cleanly
    CLIENT_RESET = "client_reset"
    POD_RESET = "pod_reset"
    IDLE_TIMEOUT = "idle_timeout"
    HALF_CLOSE_TIMEOUT = "half_close_timeout"
    MAX_AGE = "max_age"  # by the proxy: old, and at rest
    REBALANCED = "rebalanced"  # by the proxy: others have fewer; at rest
    DRAINED = "drained"  # by the proxy, which is ending; at rest
    ABORTED = "aborted"  # by the proxy, which is ending
    IDENTITY_CHANGED = "identity_changed"  # by the proxy: another pod has taken over the address
    UNHEALTHY = "unhealthy"  # by the proxy: its pod fails its checks
    UNCONNECTED = "unconnected"  # the pod could not be reached: the client may go to another
    UNTOUCHED = "untouched"  # the pod ended it before any byte flowed: the client may go to another


BY_PROXY = frozenset(
    {
        EndReason.IDLE_TIMEOUT,
        EndReason.HALF_CLOSE_TIMEOUT,
        EndReason.MAX_AGE,
        EndReason.REBALANCED,
        EndReason.DRAINED,
        EndReason.ABORTED,
        EndReason.IDENTITY_CHANGED,
        EndReason.UNHEALTHY,
    }
)
