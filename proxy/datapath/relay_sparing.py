"""The relay of a service that keeps spares: a client gets one of them, or a new connection as ever."""

import socket

from msgspec.structs import replace

from proxy.datapath.relay import WORTH_TRYING_S, Ear, End, Relay, given_up
from proxy.datapath.spares import Spares
from proxy.errors import ConnectTimeout, DeadlinePassed, HeadwayError, ResetEarly
from proxy.model import Address, Clock, EndReason
from proxy.policy.endpoint import Endpoint


class SparingRelay:
    """Around another one, which moves the bytes. Its pods are addresses, their owners endpoints."""

    def __init__(self, relay: Relay, spares: Spares, clock: Clock) -> None:
        self.relay = relay
        self.spares = spares
        self.clock = clock
        self.account = relay.account
        self.abort = relay.abort
        self.retire = relay.retire

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
    ) -> None:
        assert isinstance(pod, Address) and isinstance(owner, Endpoint)
        story = _Story(self, ear, pod, owner, connect_within_s, retry_before, prefix)
        spare = self.spares.take(owner, pod)
        if spare is None:
            story.start(client, pod)
            return
        story.spare_s = spare.connect_s
        try:
            story.start(client, spare.sock)
        except BaseException:
            spare.sock.close()
            raise

    def part(self, reason: EndReason) -> None:
        self.spares.close()
        self.relay.part(reason)


class _Story:
    """What its session hears of one connection: nothing of a spare that was of no use."""

    __slots__ = (
        *("_address", "_cut_short", "_ear", "_endpoint", "_owner", "_prefix", "_retry_before", "_within_s"),
        "spare_s",
    )

    def __init__(
        self,
        owner: SparingRelay,
        ear: Ear,
        address: Address,
        endpoint: Endpoint,
        within_s: float,
        retry_before: float,
        prefix: bytes,
    ) -> None:
        self._owner = owner
        self._ear = ear
        self._address = address
        self._endpoint = endpoint
        self._within_s = within_s
        self._cut_short = False
        self._retry_before = retry_before
        self._prefix = prefix
        self.spare_s: float | None = None  # how long the spare took to connect, if this has one

    def start(self, client: int, pod: Address | socket.socket) -> None:
        self._owner.relay.start(
            client,
            pod,
            self,
            connect_within_s=self._within_s,
            retry_before=self._retry_before,
            owner=self._endpoint,
            prefix=self._prefix,
        )

    def answered(self, connect_s: float, waited_s: float, unasked: bool) -> None:
        self._owner.spares.heard(unasked)
        # Nobody waited for the dial. But pods are compared by it, with spares and without.
        self._ear.answered(connect_s, waited_s + (self.spare_s or 0.0), unasked)

    def ended(self, end: End) -> None:
        if self.spare_s is not None and isinstance(end.error, ResetEarly):
            self._connect_instead(end)
        elif self.spare_s is not None:
            self._tell(replace(end, spare=True))
        elif self._cut_short and isinstance(end.error, ConnectTimeout):
            self._tell(replace(end, error=DeadlinePassed(f"only {self._within_s:.3g} s were left")))
        else:
            self._tell(end)

    def _connect_instead(self, end: End) -> None:
        """The pod had just ended it, for being idle or as it restarts: that says nothing against it yet."""
        self.spare_s = None
        self._owner.spares.raced(self._endpoint)
        if self._endpoint.replaced:
            self._tell(replace(end, error=given_up(EndReason.IDENTITY_CHANGED)))
            return
        left_s = self._retry_before - self._owner.clock.now()
        self._cut_short, self._within_s = left_s < self._within_s, min(self._within_s, left_s)
        try:
            if left_s < WORTH_TRYING_S:
                raise DeadlinePassed(f"a spare was of no use, and only {left_s:.3g} s were left")
            self.start(end.client, self._address)
        except DeadlinePassed as error:
            self._tell(replace(end, error=error.with_traceback(None)))
        except HeadwayError:  # the process ends
            self._tell(end)
        except BaseException:  # whatever happens, the connection comes to an end
            self._tell(end)
            raise

    def _tell(self, end: End) -> None:
        self._ear.ended(end)
        self._owner.spares.released(self._endpoint)
