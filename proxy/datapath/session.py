"""The story of one connection: find an endpoint, connect, relay, report."""

import asyncio
import socket

from proxy.config import ServiceSettings
from proxy.datapath.connector import Connector
from proxy.datapath.hash_key import KeyOf
from proxy.datapath.relay import End, Relay
from proxy.datapath.sockets import handshake_s, reset
from proxy.errors import (
    ConnectError,
    ConnectTimeout,
    DeadlinePassed,
    HeadwayError,
    IdentityChanged,
    NoEndpoint,
    ResetEarly,
)
from proxy.model import BY_PROXY, Clock, EndReason
from proxy.observe import access
from proxy.observe.access import AccessRecord
from proxy.policy import load, retry
from proxy.policy.endpoint import Endpoint
from proxy.pool import Lease, Pool

SUSPECT_S = 0.1  # a connect that takes longer may have waited for our own loop: the kernel knows
WORTH_TRYING_S = 0.01  # a connect takes less; with less than this to the deadline, it would only blame a pod

Tried = dict[Endpoint, ConnectError | None]  # each with how it failed


class Sessions:
    """Serves the connections of one service."""

    def __init__(
        self,
        settings: ServiceSettings,
        pool: Pool,
        connector: Connector,
        relay: Relay,
        clock: Clock,
        key_of: KeyOf | None = None,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._connector = connector
        self._relay = relay
        self._counters = pool.counters
        self._clock = clock
        self._key_of = key_of  # for a balancer that hashes

    async def serve(self, client: socket.socket) -> None:
        """See one accepted connection through to its end."""
        started = self._clock.now()
        record = AccessRecord(self._settings.name)
        self._counters.active += 1
        try:
            await self._find_and_relay(client, record, started + self._settings.connect_deadline_s)
        except HeadwayError as error:
            record.outcome, record.detail = error.reason, str(error)
            if error.source == "client":
                record.ended_by = "client"
        finally:
            self._finish(record, self._clock.now() - started)

    async def _find_and_relay(self, client: socket.socket, record: AccessRecord, deadline: float) -> None:
        """Try endpoints until one takes the connection. Raises the last error."""
        tried: Tried = {}
        try:
            key = 0 if self._key_of is None else await self._key_of(client)
            if not self._pool.members:
                await self._wait_for_endpoint(deadline)
            while (again := await self._try_next(client, key, record, tried, deadline)) is not None:
                client = again
        finally:
            if client.fileno() >= 0:  # no pod took it; a clean end would pass for an empty reply
                reset(client)

    async def _wait_for_endpoint(self, deadline: float) -> None:
        self._counters.waiting += 1
        try:
            async with asyncio.timeout(deadline - self._clock.now()):
                await self._pool.wait_for_endpoint()
        except TimeoutError:
            raise NoEndpoint("none was known before the deadline") from None
        finally:
            self._counters.waiting -= 1

    async def _try_next(
        self, client: socket.socket, key: int, record: AccessRecord, tried: Tried, deadline: float
    ) -> socket.socket | None:
        """Try one endpoint. The client's socket if another may be tried, None if the connection has ended."""
        if self._clock.now() >= deadline - WORTH_TRYING_S:
            raise NoEndpoint("none was known in time")
        with self._pool.lease(tried, key) as lease:
            self._counters.retries += bool(tried)
            tried[lease.endpoint] = None
            record.endpoint, record.attempts = lease.endpoint.label, len(tried)
            try:
                end = await self._attempt(client, lease, deadline)
                if end.client is None:
                    self._conclude(record, lease, end)
                    return None
                client = end.client
                raise ResetEarly("ended before a byte flowed")
            except ConnectError as error:
                tried[lease.endpoint] = error
                lease.failed(error)
                if not self._may_retry(tried, deadline):
                    reset(client)
                    raise
                return client

    def _may_retry(self, tried: Tried, deadline: float) -> bool:
        if self._clock.now() >= deadline - WORTH_TRYING_S:
            return False
        if retry.is_over(tried.values(), self._settings.connect_attempts, self._pool.has_hope(tried)):
            return False
        return self._pool.has_other_than(tried) and self._pool.may_retry(tried)  # which may spend: asked last

    async def _attempt(self, client: socket.socket, lease: Lease, deadline: float) -> End:
        """Connect to the leased endpoint and relay. Raises ConnectError."""
        started = self._clock.now()
        due_s = min(self._settings.connect_timeout_s, self._settings.connect_deadline_s)
        patience_s = min(due_s, deadline - started)
        try:
            pod = await self._connector.connect(lease.address, patience_s)
        except ConnectTimeout as error:
            if patience_s < due_s - WORTH_TRYING_S:
                raise DeadlinePassed(f"only {patience_s:.3g} s were left") from error
            raise
        took_s = self._clock.now() - started
        self._counters.connect_seconds.observe(took_s)
        if lease.endpoint.replaced:
            pod.close()
            raise IdentityChanged("another pod has its address now")
        lease.connected(took_s if took_s < SUSPECT_S else handshake_s(pod) or took_s)
        return await self._relay.run(client, pod, lease.succeeded, deadline, lease.endpoint)

    def _conclude(self, record: AccessRecord, lease: Lease, end: End) -> None:
        """Note how it ended. A clean end is to the pod's credit, as its first byte was; a reset after the
        client's bytes may be their doing, and one bad request must not eject pods.
        """
        record.to_pod, record.from_pod, record.outcome = end.to_pod, end.from_pod, end.reason
        if end.reason not in BY_PROXY:
            record.ended_by = "pod" if end.pod_first else "client"
        if load.is_unanswered(end.to_pod, end.from_pod, end.pod_first):
            lease.unanswered()
        if end.reason is EndReason.COMPLETED:
            lease.succeeded()

    def _finish(self, record: AccessRecord, seconds: float) -> None:
        self._counters.active -= 1
        self._counters.outcomes[record.outcome] += 1
        self._counters.connection_seconds.observe(seconds)
        access.write(record, seconds, self._settings.access_log)
