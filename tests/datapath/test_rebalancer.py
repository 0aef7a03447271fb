"""When somebody looks whether connections have to move."""

import asyncio
from random import Random
from types import SimpleNamespace

from proxy.config import from_env
from proxy.datapath.rebalancer import REST_WITHIN_S, Rebalancer
from proxy.observe.counters import ServiceCounters
from proxy.policy.endpoint import Endpoint
from tests.support.fleet import fleet
from tests.support.virtual import LoopClock, in_virtual_time


class FewPods:
    """One of them comes when somebody looks, as one whose probation time has ended."""

    name = "web"

    def __init__(self) -> None:
        self.counters = ServiceCounters()
        self.counters.active = 40
        self.endpoints = fleet(4)
        self.endpoints[0].in_flight = 40
        self.late = self.endpoints[1:2]
        self.looked_at: list[float] = []

    def on_newcomer(self, endpoint: Endpoint) -> None:
        raise NotImplementedError

    def serving(self) -> list[Endpoint]:
        self.looked_at.append(asyncio.get_running_loop().time())
        while self.late:
            self.on_newcomer(self.late.pop())
        return self.endpoints


def test_one_comes_during_a_look() -> None:
    """It is looked after, and nobody looks twice as often for it."""

    async def test() -> None:
        pool, idle = FewPods(), SimpleNamespace(retire=lambda *_: 0)
        settings = from_env({"HEADWAY_TARGET": "web:80", "HEADWAY_REBALANCE": "50%"}).settings.services[0]
        Rebalancer(settings, pool, idle, LoopClock(), Random(1))  # type: ignore[arg-type]
        pool.on_newcomer(pool.endpoints[2])
        await asyncio.sleep(60)

        steps = [after - before for before, after in zip(pool.looked_at, pool.looked_at[1:], strict=False)]
        assert min(steps) >= REST_WITHIN_S

    in_virtual_time(test())
