"""Spares without sessions: a pool that keeps some, and pods that see them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from proxy.datapath.slots import SharedSlots
from proxy.datapath.sockets import Tuning
from proxy.datapath.spare import Spare
from proxy.datapath.spares import Spares
from proxy.model import Address, Answer
from proxy.observe.counters import ServiceCounters
from proxy.policy.endpoint import Endpoint
from proxy.pool import Lease, Pool
from tests.datapath.peers import no_socket_lost
from tests.datapath.scenes import DEFAULTS, Act, Pod, pods
from tests.support import service_settings
from tests.support.virtual import LoopClock

LONG_S = 10_000.0


class Keeping:
    """A pool with its spares, and no relay: a connection is a lease, and its spare if there was one."""

    def __init__(self, addresses: list[Address], cap: int = 1000, **settings: str) -> None:
        self.clock = LoopClock()
        made = service_settings(**(DEFAULTS | settings))
        self.counters = ServiceCounters()
        self.pool = Pool(made, self.counters, self.clock, Random(1))
        self.slots = SharedSlots(cap, self.clock)
        self.spares = Spares(made, self.pool, self.slots, Tuning(), self.clock, Random(2))
        self.pool.apply(Answer.of(addresses))

    @property
    def results(self) -> dict[str, int]:
        return dict(self.counters.spares_ended)

    def there(self) -> list[int]:
        return [each.spares for each in self.pool.members]

    def endpoint(self) -> Endpoint:
        return self.pool.members[0]

    def connection(self) -> tuple[Lease, Spare | None]:
        lease = self.pool.lease([])
        return lease, self.spares.take(lease.endpoint, lease.address)

    def come_and_go(self) -> bool:
        """Whether a connection found a spare, which ends with it."""
        lease, spare = self.connection()
        if spare is not None:
            spare.sock.close()
        lease.release()
        self.spares.released(lease.endpoint)
        return spare is not None


@asynccontextmanager
async def keeping(*acts: Act, cap: int = 1000, **settings: str) -> AsyncIterator[tuple[Keeping, list[Pod]]]:
    async with no_socket_lost(), pods(*acts) as there:
        it = Keeping([pod.address for pod in there], cap, **settings)
        try:
            yield it, there
        finally:
            it.spares.close()
            assert (it.counters.spares, it.slots.spares) == (0, 0)


def open_at(pod: Pod) -> int:
    """How many of those that it took the proxy has not ended."""
    count = 0
    for peer in pod.accepted:
        try:
            count += bool(peer.sock.recv(1))
        except BlockingIOError:
            count += 1
        except OSError:
            pass
    return count


def greet(pod: Pod) -> None:
    for peer in pod.accepted:
        peer.sock.send(b"welcome")
