"""The relays under one contract, and the bench that every test of it uses."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from proxy.clock import SystemClock
from proxy.datapath.engines import is_built
from proxy.datapath.relay import End, Relay, Timeouts
from proxy.datapath.relay_asyncio import AsyncioRelay
from proxy.model import EndReason
from proxy.observe.counters import ServiceCounters
from tests.datapath.peers import Peer, connected
from tests.support import eventually

Engine = Callable[[Timeouts, ServiceCounters], Relay]


def native(timeouts: Timeouts, counters: ServiceCounters) -> Relay:
    from proxy.datapath.relay_native import NativeEngine, NativeRelay

    return NativeRelay(NativeEngine(), timeouts, counters)


ENGINES: dict[str, Engine] = {
    "asyncio": lambda timeouts, counters: AsyncioRelay(timeouts, counters, SystemClock()),
    "native": native,
}
BY_DEFAULT = ENGINES["native" if is_built() else "asyncio"]

NEVER = Timeouts(0.0, 0.0)
TIMES = int(os.environ.get("TIMES", "1000"))  # what is left to luck happens so often: under a sanitizer less
AT_ONCE = 50


@dataclass
class Relayed:
    """One relayed connection, with the far ends of both its sockets."""

    client: Peer
    pod: Peer
    relay: Relay
    counters: ServiceCounters
    waits: list[float]  # what the calls of on_pod_byte said
    task: asyncio.Task[End]

    async def waited_s(self) -> float:
        """What was said of the pod's first byte, which may be a little after the client has it."""

        async def said() -> bool:
            return bool(self.waits)

        await eventually(said)
        (waited_s,) = self.waits
        return waited_s

    async def end(self) -> End:
        return await self.task

    async def reason(self) -> EndReason:
        return (await self.task).reason


class Bench:
    """One relay of one service, with any number of connections."""

    def __init__(self, engine: Engine, timeouts: Timeouts = NEVER) -> None:
        self.counters = ServiceCounters()
        self.relay = engine(timeouts, self.counters)

    @asynccontextmanager
    async def relayed(
        self,
        *,
        retry_s: float = 0.0,
        buffer: int = 0,
        owner: object = None,
        client: tuple[Peer, socket.socket] | None = None,
        before: Callable[[Peer, Peer], None] = lambda client, pod: None,
    ) -> AsyncIterator[Relayed]:
        """A connection through the relay, of a new client or of the one given.

        `before` acts on the far ends before the sockets are handed over.
        """
        (far_client, near_client), (pod, near_pod) = client or connected(buffer), connected(buffer)
        before(far_client, pod)
        waits: list[float] = []
        retry_before = SystemClock().now() + retry_s if retry_s else 0.0
        story = self.relay.run(near_client, near_pod, waits.append, retry_before, owner)
        task = asyncio.create_task(story)
        await asyncio.sleep(0)  # it has begun
        try:
            yield Relayed(far_client, pod, self.relay, self.counters, waits, task)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                end = await task
                if end.client is not None:
                    end.client.close()
            far_client.close()
            pod.close()
