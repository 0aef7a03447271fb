"""The frozen values that the parts hand to each other, with the protocols for time and luck."""

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


class AnswerKind(StrEnum):
    """The four things discovery can learn. They are never mixed up: each moves the pool differently."""

    ENDPOINTS = "endpoints"
    EMPTY = "empty"  # the name exists, without addresses
    NXDOMAIN = "nxdomain"  # no such name; in Kubernetes also: no pod is ready
    FAILED = "failed"  # SERVFAIL, REFUSED, a timeout: nothing was learned


class Answer(msgspec.Struct, frozen=True):
    """What discovery learned by one poll.

    It says nothing about the endpoints of `unknown_families`: their query failed, or is still under way
    when the answer is `partial`.
    """

    kind: AnswerKind
    addresses: frozenset[Address] = frozenset()
    unknown_families: frozenset[Family] = frozenset()
    detail: str = ""
    partial: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether every query brought endpoints or the certainty that there are none of its family."""
        return self.kind is AnswerKind.ENDPOINTS and not self.unknown_families

    def __str__(self) -> str:
        count = f" {len(self.addresses)}" if self.addresses else ""
        return f"{self.kind}{count}" + (f" ({self.detail})" if self.detail else "")


class EndReason(StrEnum):
    COMPLETED = "completed"  # both directions ended cleanly
    CLIENT_RESET = "client_reset"
    POD_RESET = "pod_reset"
    IDLE_TIMEOUT = "idle_timeout"
    HALF_CLOSE_TIMEOUT = "half_close_timeout"
    ABORTED = "aborted"  # by the proxy, which is ending
    UNTOUCHED = "untouched"  # the pod ended it before any byte flowed: the client may go to another


BY_PROXY = frozenset({EndReason.IDLE_TIMEOUT, EndReason.HALF_CLOSE_TIMEOUT, EndReason.ABORTED})
