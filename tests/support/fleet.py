"""Numbered pods, answers in one word, a pool with time and luck by hand."""

from collections.abc import Collection
from random import Random

from proxy.errors import ConnectError, Refused
from proxy.model import Address, Answer, AnswerKind, Identity
from proxy.observe.counters import ServiceCounters
from proxy.policy.endpoint import Endpoint
from proxy.policy.health import Health, Status
from proxy.pool import Lease, Pool
from tests.support import FakeClock, service_settings

NXDOMAIN = Answer(AnswerKind.NXDOMAIN)
EMPTY = Answer(AnswerKind.EMPTY)
FAILED = Answer(AnswerKind.FAILED)


def address(number: int) -> Address:
    return Address(f"10.0.{number // 250}.{number % 250}", 80)


def answer(*numbers: int) -> Answer:
    return Answer.of(address(number) for number in numbers)


def fleet(count: int) -> list[Endpoint]:
    """`count` endpoints, all well and idle."""
    return [Endpoint(Identity(address(number)), Health(Status.HEALTHY)) for number in range(count)]


class Stage:
    """A pool whose first answer was pods 0 to `pods` - 1; each is spoken of by its number.

    It picks at random unless told otherwise: whoever may get a connection soon gets one, however busy. DNS is
    obeyed at once, however many pods it drops.
    """

    def __init__(self, pods: int = 0, seed: int = 7, **variables: str) -> None:
        self.clock = FakeClock()
        self.settings = service_settings(
            **({"TARGET": "web:80", "BALANCER": "random", "DNS_SHRINK_GUARD": "100%"} | variables)
        )
        self.rng = Random(seed)
        self.pool = Pool(self.settings, ServiceCounters(), self.clock, self.rng)
        if pods:
            self.answer(*range(pods))

    def answer(self, *numbers: int) -> None:
        """DNS lists these pods, and no other."""
        self.pool.apply(answer(*numbers))

    def pod(self, number: int) -> Endpoint:
        return next(each for each in self.pool.endpoints if each.address == address(number))

    def state(self, number: int) -> str:
        self.pool.states()  # catches up with the clock, as every scrape does
        return self.pod(number).state.value

    def states(self) -> list[str]:
        """The states of all members, in the order of their numbers."""
        self.pool.states()
        return [each.state.value for each in sorted(self.pool.members, key=lambda each: each.address)]

    def check(self, number: int, *results: bool) -> None:
        for passed in results:
            self.pool.observe_check(self.pod(number), passed, "" if passed else "refused")

    def lease(self, number: int) -> Lease:
        """A lease on this pod, as a session gets it that has tried all others."""
        pod = self.pod(number)
        lease = self.pool.lease([each for each in self.pool.members if each is not pod])
        assert lease.endpoint is pod
        return lease

    def fail(self, number: int, times: int = 1, error: ConnectError | None = None) -> None:
        for _ in range(times):
            with self.lease(number) as lease:
                lease.failed(error or Refused())

    def succeed(self, number: int) -> None:
        with self.lease(number) as lease:
            lease.succeeded()

    def served_by(self, connections: int = 200) -> set[int]:
        """Which pods new connections go to; each of them ends before it showed anything."""
        return {self.number(self.next_one()) for _ in range(connections)}

    def next_one(self) -> Endpoint:
        """The pod of one short connection."""
        with self.pool.lease([]) as lease:
            return lease.endpoint

    def numbers(self, endpoints: Collection[Endpoint]) -> set[int]:
        return {self.number(each) for each in endpoints}

    @staticmethod
    def number(endpoint: Endpoint) -> int:
        _, _, block, rest = endpoint.address.ip.split(".")
        return int(block) * 250 + int(rest)
