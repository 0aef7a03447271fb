"""The right to use one endpoint for one connection."""

from types import TracebackType
from typing import Protocol

import msgspec

from proxy.errors import ConnectError
from proxy.model import Address
from proxy.policy.endpoint import Endpoint


class Owner(Protocol):
    """Who hears what became of a lease; the pool is one."""

    def connected(self, lease: "Lease") -> None: ...
    def connection_succeeded(self, lease: "Lease", waited_s: float | None) -> None: ...
    def connection_failed(self, lease: "Lease", error: ConnectError) -> None: ...
    def connection_unanswered(self, lease: "Lease") -> None: ...
    def release(self, lease: "Lease") -> None: ...


class Lease(msgspec.Struct, eq=False):
    """Whoever takes it releases it, on every path; as a context, at the block's end.

    Before that one of succeeded, failed, or neither: the client left before the pod showed what it is.
    """

    owner: Owner
    endpoint: Endpoint
    address: Address  # the one of its addresses to connect to
    taken_at: float
    probe_since: float | None = None  # when this is the connection that probes it
    connect_s: float | None = None
    reported: bool = False

    def __enter__(self) -> "Lease":
        return self

    def connected(self, seconds: float) -> None:
        """The pod took the connection, after so long."""
        self.connect_s = seconds
        self.owner.connected(self)

    def succeeded(self, waited_s: float | None = None) -> None:
        """The pod's first byte came, `waited_s` after the client's; or the connection ended well without."""
        if not self.reported:
            self.reported = True
            self.owner.connection_succeeded(self, waited_s)

    def unanswered(self) -> None:
        """The pod ended it without a byte, after its client had sent some. Beside how it ended."""
        self.owner.connection_unanswered(self)

    def failed(self, error: ConnectError) -> None:
        """Only a fault of the pod's counts; any other proves nothing, as if the client had left."""
        if not self.reported and error.source == "upstream":
            self.reported = True
            self.owner.connection_failed(self, error)

    def release(self) -> None:
        self.owner.release(self)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.release()
