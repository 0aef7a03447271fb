"""What a relay is: it connects a client to a pod, and moves bytes between them until both are done."""

import socket
from collections.abc import Iterable, Mapping
from heapq import nsmallest
from typing import Any, Protocol, TypeVar

import msgspec

from proxy.errors import ConnectError, IdentityChanged, Unhealthy
from proxy.model import Address, EndReason


class End(msgspec.Struct, frozen=True):
    """How a relayed connection ended. `pod_first`: whether the pod was the first to end it.

    With `error` there was none: no pod took it, no byte flowed, and `client` is the client's descriptor as it
    was handed over.
    """

    reason: EndReason
    to_pod: int = 0
    from_pod: int = 0
    pod_first: bool = False
    connect_s: float = 0.0  # how long the pod took to accept; 0 = it has not, or came connected
    client: int = -1
    error: ConnectError | None = None
    spare: bool = False  # it was one


class Ear(Protocol):
    """Who hears of one connection. Never called before start() has returned."""

    def answered(self, connect_s: float, waited_s: float, unasked: bool) -> None:
        """Once, with the pod's first byte: how long it took to accept, and how many seconds after the
        client's first word that byte came, be it a byte or only its FIN; or after the connect, when the pod
        speaks first, `unasked`.
        """

    def ended(self, end: End) -> None:
        """Once; both sockets are closed, but for a client that is given back."""


WORTH_TRYING_S = 0.01  # a connect takes less; with less than this to the deadline, it would only blame a pod
QUIET_S = 0.3  # without a byte, for a connection to be at rest: what is still under way has arrived
# Times as long where the client had the last word, a minute: its answer may be under way.
UNANSWERED = 200  # the same in native/age.c


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds without a byte in either direction; 0 = never.

    `max_age_s`, a tenth more or less, is how old it gets: it is then ended by a FIN on both sides, once it is
    at rest for `quiet_s`.
    """

    idle_s: float
    half_close_s: float
    max_age_s: float = 0.0
    quiet_s: float = QUIET_S


def given_up(reason: EndReason) -> ConnectError:
    """Why a connect was called off, with the client given back."""
    if reason is EndReason.UNHEALTHY:
        return Unhealthy("its checks fail")
    return IdentityChanged("another pod has its address now")


class Retirable(Protocol):
    asked: int  # by which call of retire() for the last time; 0 = never

    @property
    def owner(self) -> object: ...
    @property
    def begun_at(self) -> float: ...


R = TypeVar("R", bound=Retirable)


def to_retire(pairs: Iterable[R], counts: Mapping[Any, int], before: float) -> list[R]:
    """Those that retire() asks."""
    older: dict[object, list[R]] = {owner: [] for owner in counts}
    for pair in pairs:
        if pair.owner in older and pair.begun_at < before:
            older[pair.owner].append(pair)
    chosen = (nsmallest(counts[owner], theirs, key=_turn) for owner, theirs in older.items())
    return [pair for those in chosen for pair in those]


def _turn(pair: Retirable) -> tuple[int, float]:
    return pair.asked, pair.begun_at


class Relay(Protocol):
    def start(
        self,
        client: int,
        pod: Address | socket.socket,
        ear: Ear,
        *,
        connect_within_s: float,
        retry_before: float,
        owner: object = None,
        prefix: bytes = b"",
    ) -> object:
        """Take over the client, the descriptor of a non-blocking socket, and bring it together with `pod`: an
        address, or a connected socket. Both stay the caller's if this raises.

        A pod that does not accept within `connect_within_s` gives the client back; until the time
        `retry_before` one that ends or resets before any byte flowed does so as well (0 = never). `owner` is
        who they belong to, for abort(). The pod gets `prefix` before anything else; no count includes it, and
        a pod that ends after it has not been touched yet.
        """

    def account(self) -> None:
        """Bring the byte counters up to now."""

    def abort(self, reason: EndReason = EndReason.ABORTED, owner: object = None) -> None:
        """Reset every connection, or those of one owner. With a reason other than ABORTED, clients that are
        not connected yet are given back.
        """

    def retire(self, counts: Mapping[Any, int], before: float, within_s: float) -> int:
        """Ask so many of each owner's connections, of those that began before then, the oldest first; who was
        asked already comes last. Each that is at rest within so many seconds ends as rebalanced, by a FIN on
        both sides; the others are left as they are. How many were asked.
        """

    def part(self, reason: EndReason) -> None:
        """End every connection that is at rest, so that this cuts nothing, by a FIN on both sides for this
        reason; abort the others.
        """
