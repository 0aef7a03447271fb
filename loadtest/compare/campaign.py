"""Takes everyone through all the work: in each round all start anew, then each is measured in many turns."""

import sys
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec

from loadtest.compare import backends, generator, machine, workloads
from loadtest.compare.arithmetic import two_digits
from loadtest.compare.generator import Generator, GeneratorError, Window
from loadtest.compare.runs import Bench, Run, run, run_alone, started
from loadtest.compare.subjects import Subject
from loadtest.compare.workloads import SHARE_OF_FULL, Workload
from proxy.demo.dns import DnsServer

REFERENCES = ("haproxy", "nginx", "envoy", "headway-native", "headway-asyncio", "direct")
FIFTH_S = 2.0  # in which the most that the reference can do is found out
DESCRIPTORS_BESIDES = 2000  # of the limit, what is not for the connections held
NAMES = [each.name for each in workloads.all_of(1.0, 1)]


class Plan(msgspec.Struct, frozen=True):
    rounds: int
    turns: int  # of each round
    seconds: float
    warm_up: float
    idle: int
    seed: int = 1
    rate: float = 0.0  # of the open loop; 0: found out
    only: tuple[str, ...] = ()

    def wants(self, workload: str) -> bool:
        return not self.only or workload in self.only


def reference_of(subjects: Collection[Subject]) -> Subject:
    """Whom the others are compared with."""
    by_name = {each.name: each for each in subjects}
    return next(by_name[name] for name in REFERENCES if name in by_name)


def held_at_most(descriptors: int, wanted: int) -> int:
    """A proxy needs two descriptors for each connection."""
    return min(wanted, max(1, (descriptors - DESCRIPTORS_BESIDES) // 2))


class Campaign:
    def __init__(self, plan: Plan, nginx: str, subjects: Sequence[Subject]) -> None:
        self.workloads: list[Workload] = []
        self._plan = plan
        self._nginx = nginx
        self._subjects = subjects
        self._rng = Random(plan.seed)

    async def run(self) -> list[Run]:
        descriptors = machine.descriptors()
        with TemporaryDirectory(prefix="headway-compare-") as name:
            directory = Path(name)
            generator.build(directory)
            async with DnsServer() as dns, backends.started(self._nginx, directory, descriptors) as pods:
                bench = Bench(Generator(directory), pods, dns, directory, descriptors)
                rate = self._plan.rate or await self._fifth(bench)
                held = held_at_most(descriptors, self._plan.idle)
                wanted = workloads.all_of(rate, held)
                self.workloads = [each for each in wanted if self._plan.wants(each.name)]
                return await self._rounds(bench)

    async def _fifth(self, bench: Bench) -> float:
        """How much the open loop is to ask for, of everyone."""
        if not self._plan.wants("open"):
            return 1.0
        full = next(each for each in workloads.all_of(1.0, 1) if each.name == "kept-64")
        window = Window(FIFTH_S, self._plan.warm_up, self._plan.seed)
        found = await run_alone(bench, full, reference_of(self._subjects), window)
        if found.failed:
            raise GeneratorError(found.failed)
        return two_digits(found.measures["rate"] * SHARE_OF_FULL)

    async def _rounds(self, bench: Bench) -> list[Run]:
        runs = []
        for number in range(self._plan.rounds):
            for workload in self.workloads:
                measured = self._alone if workload.alone else self._in_turn
                async for found in measured(bench, workload, number):
                    runs.append(found)
                    _tell(self._plan, workload, found)
        return runs

    async def _alone(self, bench: Bench, workload: Workload, number: int) -> AsyncIterator[Run]:
        for subject in self._shuffled(workload):
            found = await run_alone(bench, workload, subject, self._window(workload, number))
            found.turn = number
            yield found

    async def _in_turn(self, bench: Bench, workload: Workload, number: int) -> AsyncIterator[Run]:
        """Who does not have its turn is idle: what the machine does meanwhile, it does to all."""
        first = number * self._plan.turns
        async with started(bench, workload, self._shuffled(workload)) as running:
            for turn in range(first, first + self._plan.turns):
                for subject in self._shuffled(workload):
                    window = self._window(workload, turn)
                    found = await run(bench, workload, subject.name, running[subject.name], window)
                    found.turn = turn
                    yield found

    def _shuffled(self, workload: Workload) -> list[Subject]:
        taking_part = [each for each in self._subjects if _takes_part(each, workload)]
        return self._rng.sample(taking_part, len(taking_part))

    def _window(self, workload: Workload, turn: int) -> Window:
        """The seed of a turn is the same for all: so is their schedule."""
        return Window(
            max(self._plan.seconds, workload.seconds_at_least), self._plan.warm_up, self._plan.seed + turn
        )


def _takes_part(subject: Subject, workload: Workload) -> bool:
    called = not workload.subjects or subject.name in workload.subjects
    return called and (not subject.only or workload.name in subject.only)


def _tell(plan: Plan, workload: Workload, found: Run) -> None:
    shown = {name: round(found.measures[name], 2) for name in workload.shows if name in found.measures}
    said = "  ".join(f"{name} {value:,}" for name, value in shown.items())
    turns = plan.rounds * (1 if workload.alone else plan.turns)
    print(
        f"turn {found.turn + 1}/{turns}  {found.workload:9} {found.subject:16} {found.failed or said}",
        file=sys.stderr,
        flush=True,
    )
