"""The story of one connection: find an endpoint, let the relay connect and serve, report; or try another."""

import logging
import socket
from asyncio import Task
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from proxy.config import ProxyProtocol, ServiceSettings
from proxy.datapath.ending import record
from proxy.datapath.queue import Queue
from proxy.datapath.relay import WORTH_TRYING_S, End, Relay
from proxy.datapath.slots import Slots
from proxy.datapath.sockets import reset
from proxy.errors import (
    AllFull,
    ConnectError,
    ConnectTimeout,
    CutOff,
    DeadlinePassed,
    HeadwayError,
    NoEndpoint,
    OutOfDescriptors,
)
from proxy.model import Clock, EndReason
from proxy.observe import access
from proxy.policy import load, retry
from proxy.policy.endpoint import Endpoint
from proxy.pool import Lease, Pool
from proxy.tasks import spawn

if TYPE_CHECKING:
    from proxy.datapath.hash_key import KeyOf
    from proxy.datapath.proxy_header import ProxyHeaders
    from proxy.policy.proxy_protocol import Header

log = logging.getLogger("headway.session")

FAULT = "a fault of Headway's, see the log"


class Sessions:
    """Serves the connections of one service."""

    def __init__(
        self,
        settings: ServiceSettings,
        pool: Pool,
        relay: Relay,
        slots: Slots,
        queue: Queue,
        clock: Clock,
        key_of: "KeyOf | None" = None,
    ) -> None:
        self.settings = settings
        self.pool = pool
        self.relay = relay
        self.slots = slots
        self.queue = queue
        self.counters = pool.counters
        self.clock = clock
        self.key_of = key_of  # for a balancer that hashes
        self.headers = _make_headers(settings)
        self.connect_timeout_s = min(settings.connect_timeout_s, settings.connect_deadline_s)

    def begin(self, client: int) -> None:
        """See one accepted connection through to its end. It holds a slot until then."""
        self.slots.take()
        self.counters.active += 1
        session = Session(self, client)
        if self.key_of is None and (self.headers is None or not self.headers.accepts):
            session.try_next()
        else:
            spawn(session.prepare(), name=self.settings.name).add_done_callback(session.prepared)

    def refuse(self, client: int, error: HeadwayError) -> None:
        """Reset one that was accepted for no other purpose, and count it."""
        reset(client)
        if not isinstance(error, CutOff):
            self.counters.sheds[error.reason] += 1
        self.counters.outcomes[error.reason] += 1
        self.counters.connection_seconds.observe(0.0)
        if access.is_wanted(error.reason, self.settings.access_log):
            told = record(self.settings.name, error.reason, error)
            access.write(told, 0.0, self.settings.access_log)


def _make_headers(settings: ServiceSettings) -> "ProxyHeaders | None":
    """None where the PROXY protocol is neither taken nor sent."""
    if not settings.proxy_protocol_accept and settings.proxy_protocol_send is ProxyProtocol.OFF:
        return None
    from proxy.datapath.proxy_header import ProxyHeaders

    return ProxyHeaders(settings)


class Session:
    """One connection. Where nothing has to be waited for it is no task: the relay's calls move it on."""

    __slots__ = (
        *("_client", "_connect_s", "_deadline", "_failures", "_header", "_key", "_lease", "_over"),
        *("_started", "_tried", "_under"),
    )

    def __init__(self, under: Sessions, client: int) -> None:
        self._under = under
        self._client = client  # its descriptor; -1 while it is the relay's
        self._started = under.clock.now()
        self._deadline = self._started + under.settings.connect_deadline_s
        self._header: Header | None = None  # of the PROXY protocol, as the client sent it
        self._key = 0
        self._tried: tuple[Endpoint, ...] = ()
        self._failures: tuple[ConnectError, ...] = ()  # of those tried, but for the present one
        self._lease: Lease | None = None
        self._connect_s = 0.0  # how long the present pod took, once that was counted
        self._over = False

    async def prepare(self) -> None:
        """What may take its time before an endpoint can be chosen."""
        try:
            await self._hear()
        except HeadwayError as error:
            self._fail(error)
        except Exception:
            self._fail(HeadwayError(FAULT))
            raise
        else:
            self.try_next()

    def prepared(self, task: Task[None]) -> None:
        """One that is cancelled before its first step hears nothing of it: the connection ends here."""
        if task.cancelled():
            self._fail(CutOff("the process ended while it waited"))

    async def _hear(self) -> None:
        """Who the client is, and what says which pod it goes to."""
        client = socket.socket(fileno=self._client)
        try:
            headers = self._under.headers
            if headers is not None and headers.accepts:
                self._header = await headers.hear(client)
            if self._under.key_of is not None:
                source = self._header.source if self._header is not None else None
                self._key = await self._under.key_of(client, source)
        finally:
            client.detach()

    def try_next(self) -> None:
        """Try the next endpoint, wait for one, or give up."""
        self._guarded(self._attempt)

    def offered(self) -> bool:
        """What the queue tells: there may be room. Whether the wait is over, for better or worse."""
        return self._guarded(self._take) is not False

    def give_up(self, error: HeadwayError) -> None:
        """What the queue tells: the wait is over."""
        self._fail(error)

    def _guarded(self, step: Callable[..., object], *arguments: Any) -> object:
        """Whatever happens, the connection comes to an end."""
        try:
            return step(*arguments)
        except HeadwayError as error:
            self._fail(error)
            return None
        except BaseException:
            self._fail(HeadwayError(FAULT))
            raise

    def _attempt(self) -> None:
        """Nobody overtakes those that wait already."""
        queue = self._under.queue
        if queue.size or not self._take():
            patience_s = self._deadline - WORTH_TRYING_S - self._under.clock.now()
            queue.join(self, self._client, self._started, patience_s, frozenset(self._tried))

    def _take(self) -> bool:
        """Take the next endpoint; whether there is one with room."""
        under, deadline, headers = self._under, self._deadline, self._under.headers
        left_s = deadline - under.clock.now()
        if left_s <= WORTH_TRYING_S:
            raise NoEndpoint("none was known in time")
        if not under.pool.active:
            return False
        try:
            lease = self._lease = under.pool.lease(self._tried, self._key)
        except AllFull:
            return False
        if self._tried:
            under.counters.retries += 1
        endpoint = lease.endpoint
        self._tried += (endpoint,)
        self._connect_s = 0.0
        under.relay.start(
            self._client,
            lease.address,
            self,
            connect_within_s=min(under.connect_timeout_s, left_s),
            retry_before=deadline,
            owner=endpoint,
            prefix=headers.for_pod(self._client, self._header) if headers is not None else b"",
        )
        self._client = -1
        return True

    # --- what the relay tells -------------------------------------------------------------------

    def answered(self, connect_s: float, waited_s: float, unasked: bool) -> None:
        lease = self._lease
        assert lease is not None
        if connect_s:
            self._note_connect(lease, connect_s)
        else:
            lease.connect_s = 0.0  # it came connected
        lease.succeeded(waited_s)

    def ended(self, end: End) -> None:
        self._guarded(self._go_on, end)

    def _note_connect(self, lease: Lease, connect_s: float) -> None:
        self._connect_s = connect_s
        self._under.counters.connect_seconds.observe(connect_s)
        if self._under.clock.now() < self._deadline:  # else it says nothing of the pod as it is now
            lease.connected(connect_s)

    def _go_on(self, end: End) -> None:
        """After a failed connect to the next endpoint, if that may be.

        A clean end is to the pod's credit, as its first byte was; a reset after the client's bytes may be
        their doing, and one bad request must not eject pods.
        """
        lease, self._client = self._lease, end.client
        assert lease is not None
        if end.connect_s and not self._connect_s:
            self._note_connect(lease, end.connect_s)
        if end.error is None:
            if load.is_unanswered(end.to_pod, end.from_pod, end.pod_first):
                lease.unanswered()
            if end.reason is EndReason.COMPLETED:
                lease.succeeded()
            self._finish(end.reason, end)
            return
        error = self._fault(end.error, lease)
        self._failures += (error,)
        lease.failed(error)
        self._release()
        if isinstance(error, OutOfDescriptors):
            self._under.slots.give_way()
        if self._may_retry():
            self._attempt()
        else:
            self._fail(error)  # raised, it would hold us by its traceback, and we hold it

    def _fault(self, error: ConnectError, lease: Lease) -> ConnectError:
        """A connect that the deadline cut short proves nothing."""
        patience_s = self._deadline - lease.taken_at
        if isinstance(error, ConnectTimeout) and patience_s < self._under.connect_timeout_s - WORTH_TRYING_S:
            return DeadlinePassed(f"only {patience_s:.3g} s were left")
        return error

    def _may_retry(self) -> bool:
        pool = self._under.pool
        if self._under.clock.now() >= self._deadline - WORTH_TRYING_S:
            return False
        if retry.is_over(self._failures, self._under.settings.connect_attempts, pool.has_hope(self._tried)):
            return False
        return pool.has_other_than(self._tried) and pool.may_retry(self._tried)  # which may spend: asked last

    # --- the end --------------------------------------------------------------------------------

    def _fail(self, error: HeadwayError) -> None:
        """No pod took it; a clean end would pass for an empty reply."""
        if self._client >= 0:
            reset(self._client)
            self._client = -1
        self._finish(error.reason, error)

    def _release(self) -> None:
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def _finish(self, outcome: str, how: End | HeadwayError) -> None:
        if self._over:  # and what followed has failed
            return
        self._over = True
        self._release()
        counters = self._under.counters
        seconds = self._under.clock.now() - self._started
        counters.active -= 1
        counters.outcomes[outcome] += 1
        counters.connection_seconds.observe(seconds)
        self._under.slots.release()
        settings = self._under.settings
        if access.is_wanted(outcome, settings.access_log):
            told = record(settings.name, outcome, how, self._tried, self._connect_s)
            access.write(told, seconds, settings.access_log)
