"""The relays under one contract, and the bench that every test of it uses."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from proxy.clock import SystemClock
from proxy.datapath.connector import Connector
from proxy.datapath.engines import is_built
from proxy.datapath.relay import End, Relay, Timeouts
from proxy.datapath.relay_asyncio import AsyncioRelay
from proxy.datapath.sockets import Tuning
from proxy.model import Address, EndReason
from proxy.observe.counters import ServiceCounters
from tests.datapath.peers import Peer, connected
from tests.support import eventually

TUNING = Tuning()

Engine = Callable[[Timeouts, ServiceCounters], Relay]


def native(timeouts: Timeouts, counters: ServiceCounters) -> Relay:
    from proxy.datapath.relay_native import NativeEngine, NativeRelay

    return NativeRelay(NativeEngine(), timeouts, TUNING, counters)


ENGINES: dict[str, Engine] = {
    "asyncio": lambda timeouts, counters: AsyncioRelay(timeouts, Connector(TUNING), counters, SystemClock()),
    "native": native,
}
BY_DEFAULT = ENGINES["native" if is_built() else "asyncio"]

NEVER = Timeouts(0.0, 0.0)
LATER_S = 60.0


class Hearing:
    """Hears of one connection, and notes what."""

    def __init__(self, on_pod_byte: Callable[[float], object] = lambda waited_s: None) -> None:
        self.on_pod_byte = on_pod_byte
        self.connects: list[float] = []
        self.unasked: list[bool] = []
        self.over: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self.given_back: socket.socket | None = None  # the client's

    def answered(self, connect_s: float, waited_s: float, unasked: bool) -> None:
        self.unasked.append(unasked)
        self.connects.append(connect_s)
        self.on_pod_byte(waited_s)

    def ended(self, end: End) -> None:
        if end.client >= 0:
            self.given_back = socket.socket(fileno=end.client)
        if self.over.cancelled():
            self.close()
        else:
            self.over.set_result(end)

    def close(self) -> None:
        if self.given_back is not None:
            self.given_back.close()


async def relay_through(
    relay: Relay,
    client: socket.socket,
    pod: Address | socket.socket,
    ear: Hearing,
    *,
    connect_s: float = LATER_S,
    retry_before: float = 0.0,
    owner: object = None,
    prefix: bytes = b"",
) -> End:
    """How the connection ended. Whoever cancels this aborts it."""
    owner = owner or ear
    relay.start(
        *(client.detach(), pod, ear),
        connect_within_s=connect_s,
        retry_before=retry_before,
        owner=owner,
        prefix=prefix,
    )
    try:
        return await ear.over
    except asyncio.CancelledError:
        relay.abort(EndReason.ABORTED, owner)
        raise


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
    ear: Hearing
    task: asyncio.Task[End]

    @property
    def given_back(self) -> socket.socket:
        """The client's, when there was no connection."""
        assert self.ear.given_back is not None
        return self.ear.given_back

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
        prefix: bytes = b"",
        before: Callable[[Peer, Peer], None] = lambda client, pod: None,
    ) -> AsyncIterator[Relayed]:
        """A connection through the relay, of a new client or of the one given.

        `before` acts on the far ends before the sockets are handed over.
        """
        (far_client, near_client), (pod, near_pod) = client or connected(buffer), connected(buffer)
        before(far_client, pod)
        waits: list[float] = []
        retry_before = SystemClock().now() + retry_s if retry_s else 0.0
        ear = Hearing(waits.append)
        story = relay_through(
            *(self.relay, near_client, near_pod, ear),
            retry_before=retry_before,
            owner=owner,
            prefix=prefix,
        )
        task = asyncio.create_task(story)
        await asyncio.sleep(0)  # it has begun
        try:
            yield Relayed(far_client, pod, self.relay, self.counters, waits, ear, task)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            ear.close()
            far_client.close()
            pod.close()
