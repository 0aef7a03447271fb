"""What the tests of health checks share: a pool whose members are checked, checks that touch no pod."""

import asyncio
from collections import Counter, defaultdict
from itertools import pairwise
from random import Random

from proxy.controlpath.checks import Check
from proxy.controlpath.prober import Prober
from proxy.errors import ConnectError
from proxy.model import Address, Answer, AnswerKind
from proxy.observe.counters import ServiceCounters
from proxy.policy.admission import CHECKS_AT_ONCE
from proxy.policy.endpoint import Endpoint, State
from proxy.pool import Pool
from tests.support import eventually, service_settings
from tests.support.virtual import LoopClock


def pod(number: int) -> Address:
    return Address(f"127.0.{1 + number // 250}.{number % 250}", 80)


PODS = [pod(number) for number in range(20)]


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


class Checked:
    """A pool whose members are checked by `check`; `discover` lists them. Time is the loop's."""

    def __init__(self, check: Check, **settings: str) -> None:
        self.clock = LoopClock()
        chosen = service_settings(
            **{
                "TARGET": "web:80",
                "HEALTH_INTERVAL": "100ms",
                "HEALTH_BUDGET": "0",
                "DNS_SHRINK_GUARD": "100%",
            }
            | settings
        )
        self.pool = Pool(chosen, ServiceCounters(), self.clock, Random(7))
        room = asyncio.Semaphore(CHECKS_AT_ONCE)
        self.prober = Prober(chosen, self.pool, check, room, self.clock, Random(7))
        self.pool.on_members_changed = self.prober.follow
        self.pool.on_suspect = self.prober.suspect

    def discover(self, *addresses: Address) -> None:
        self.pool.apply(Answer.of(addresses) if addresses else Answer(AnswerKind.NXDOMAIN))

    def endpoint(self, address: Address) -> Endpoint:
        return next(each for each in self.pool.members if each.address == address)

    def state(self, address: Address) -> State:
        return self.endpoint(address).state

    def serve(self, address: Address, error: ConnectError | None = None) -> None:
        """One short connection through this pod, which works or fails."""
        endpoint, verdicts, now = self.endpoint(address), self.pool.verdicts, self.clock.now()
        verdicts.failed(endpoint, now, error) if error else verdicts.succeeded(endpoint, now, None)

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
    """Checks that touch no pod: who was checked when. They wait for `open`.

    They raise `error`, if any, once; those of a pod in `ill` always raise what is said there.
    """

    def __init__(self) -> None:
        self.times: dict[Address, list[float]] = defaultdict(list)
        self.error: Exception | None = None  # what the next one raises
        self.ill: dict[Address, Exception] = {}
        self.open = asyncio.Event()
        self.open.set()
        self.under_way = self.most = 0

    @property
    def count(self) -> int:
        return sum(map(len, self.times.values()))

    @property
    def all_times(self) -> list[float]:
        return sorted(moment for times in self.times.values() for moment in times)

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
        if address in self.ill:
            raise self.ill[address]

    async def reach(self, count: int) -> None:
        async def look() -> bool:
            return self.count >= count

        await eventually(look)
