"""What the tests of health checks share: a pool whose members are checked, checks that touch no pod."""

import asyncio
from collections import Counter, defaultdict
from random import Random

from proxy.controlpath.prober import Check, Prober
from proxy.model import Address, Answer, AnswerKind
from proxy.observe.counters import ServiceCounters
from proxy.policy.admission import CHECKS_AT_ONCE
from proxy.policy.endpoint import State
from proxy.pool import Pool
from tests.support import FakeClock, eventually, service_settings


def pod(number: int) -> Address:
    return Address(f"127.0.1.{number}", 80)


class Checked:
    """A pool whose members are checked by `check`; `discover` lists them."""

    def __init__(self, check: Check, **settings: str) -> None:
        self.clock = FakeClock()
        chosen = service_settings(
            **{"TARGET": "web:80", "HEALTH_INTERVAL": "100ms", "DNS_SHRINK_GUARD": "100%"} | settings
        )
        self.pool = Pool(chosen, ServiceCounters(), self.clock, Random(7))
        self.prober = Prober(chosen, self.pool, check, asyncio.Semaphore(CHECKS_AT_ONCE), Random(7))
        self.pool.on_members_changed = self.prober.follow

    def discover(self, *addresses: Address) -> None:
        self.pool.apply(Answer.of(addresses) if addresses else Answer(AnswerKind.NXDOMAIN))

    def state(self, address: Address) -> State:
        return next(each.state for each in self.pool.members if each.address == address)

    async def passed(self, count: int) -> None:
        async def look() -> bool:
            return self.results["passed"] >= count

        await eventually(look)

    async def until(self, address: Address, state: State) -> None:
        async def look() -> bool:
            return self.state(address) is state

        await eventually(look)

    @property
    def results(self) -> Counter[str]:
        return self.pool.counters.health_checks


class Checks:
    """Checks that touch no pod: who was checked when. They wait for `open` and raise `error`, if any."""

    def __init__(self) -> None:
        self.times: dict[Address, list[float]] = defaultdict(list)
        self.error: Exception | None = None  # what the next one raises
        self.open = asyncio.Event()
        self.open.set()
        self.under_way = self.most = 0

    @property
    def count(self) -> int:
        return sum(map(len, self.times.values()))

    async def __call__(self, address: Address, timeout_s: float) -> None:
        self.times[address].append(asyncio.get_running_loop().time())
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.open.wait()
        finally:
            self.under_way -= 1
        if error := self.error:
            self.error = None
            raise error

    async def reach(self, count: int) -> None:
        async def look() -> bool:
            return self.count >= count

        await eventually(look)
