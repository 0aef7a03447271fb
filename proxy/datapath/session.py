"""The story of one connection: find an endpoint, connect, relay, report."""

import asyncio
import socket

from proxy.config import ServiceSettings
from proxy.datapath.connector import Connector
from proxy.datapath.relay import BY_PROXY, End, EndReason, Relay
from proxy.datapath.sockets import reset
from proxy.errors import ConnectError, HeadwayError, NoEndpoint, ResetEarly
from proxy.model import Clock
from proxy.observe import access
from proxy.observe.access import Story
from proxy.observe.counters import ServiceCounters
from proxy.policy.endpoint import Endpoint
from proxy.pool import Lease, Pool

WORTH_TRYING_S = 0.01  # a connect takes less; with less than this to the deadline, it would only blame a pod


class Sessions:
    """Serves the connections of one service."""

    def __init__(
        self,
        settings: ServiceSettings,
        pool: Pool,
        connector: Connector,
        relay: Relay,
        counters: ServiceCounters,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._connector = connector
        self._relay = relay
        self._counters = counters
        self._clock = clock

    async def serve(self, client: socket.socket) -> None:
        """See one accepted connection through to its end."""
        started = self._clock.now()
        story = Story(self._settings.name)
        self._counters.active += 1
        try:
            await self._tell(client, story, started + self._settings.connect_deadline_s)
        except HeadwayError as error:
            story.outcome = error.reason
        finally:
            self._finish(story, self._clock.now() - started)

    async def _tell(self, client: socket.socket, story: Story, deadline: float) -> None:
        """Try endpoints until one takes the connection. Raises the last error."""
        tried: list[Endpoint] = []
        try:
            await self._some_endpoint(deadline)
            while (again := await self._try_next(client, story, tried, deadline)) is not None:
                client = again
                self._counters.retries += 1
        finally:
            reset(client)  # where no pod took it; a clean end would pass for an empty reply

    async def _try_next(
        self, client: socket.socket, story: Story, tried: list[Endpoint], deadline: float
    ) -> socket.socket | None:
        """Try one endpoint. The client's socket if another may be tried, None if the connection has ended."""
        latest = deadline - WORTH_TRYING_S
        with self._pool.lease(tried) as lease:
            tried.append(lease.endpoint)
            story.endpoint, story.attempts = lease.endpoint.label, len(tried)
            last = len(tried) >= min(self._settings.connect_attempts, len(self._pool.members))
            try:
                end = await self._attempt(client, lease, 0.0 if last else latest, deadline)
            except ConnectError as error:
                lease.failed(error)
                if last or self._clock.now() >= latest:
                    raise
                return client
            if end.client is None:
                self._conclude(story, lease, end, deadline)
            else:
                lease.failed(ResetEarly("ended before a byte flowed"))
            return end.client

    async def _some_endpoint(self, deadline: float) -> None:
        self._counters.waiting += 1
        try:
            async with asyncio.timeout(deadline - self._clock.now()):
                await self._pool.some_endpoint()
        except TimeoutError:
            raise NoEndpoint("none was known before the deadline") from None
        finally:
            self._counters.waiting -= 1

    async def _attempt(
        self, client: socket.socket, lease: Lease, retry_before: float, deadline: float
    ) -> End:
        """Connect to the leased endpoint and relay. Raises ConnectError."""
        started = self._clock.now()
        patience = min(self._settings.connect_timeout_s, deadline - started)
        pod = await self._connector.connect(lease.endpoint.address, patience)
        self._counters.connect_seconds.observe(self._clock.now() - started)
        return await self._relay.run(client, pod, lease.succeeded, retry_before)

    def _conclude(self, story: Story, lease: Lease, end: End, deadline: float) -> None:
        """Report to the pool what the connection showed of its pod."""
        story.to_pod, story.from_pod, story.outcome = end.to_pod, end.from_pod, end.reason
        if end.reason not in BY_PROXY:
            story.ended_by = "pod" if end.pod_first else "client"
        flowed = bool(end.to_pod or end.from_pod)
        if end.pod_first and not flowed and self._clock.now() < deadline:
            lease.failed(ResetEarly("ended before a byte flowed"))
            story.outcome = ResetEarly.reason
        elif end.reason is EndReason.POD_RESET and not end.from_pod:
            lease.failed(ResetEarly("reset before it sent a byte"))
        elif flowed:
            lease.succeeded()

    def _finish(self, story: Story, seconds: float) -> None:
        self._counters.active -= 1
        self._counters.outcomes[story.outcome] += 1
        self._counters.connection_seconds.observe(seconds)
        access.write(story, seconds, self._settings.access_log)
