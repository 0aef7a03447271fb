"""Measures one workload of one subject, and turns what the generator saw into measures."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from loadtest.compare import machine, stalls
from loadtest.compare.arithmetic import quantile
from loadtest.compare.backends import Backends
from loadtest.compare.configurations import Job
from loadtest.compare.generator import Generator, GeneratorError, Outcome, Window
from loadtest.compare.machine import Others
from loadtest.compare.measures import QUANTILES
from loadtest.compare.processes import ProgramError
from loadtest.compare.subjects import Running, Subject, headway_start
from loadtest.compare.workloads import Workload
from proxy.demo.child import DemoError
from proxy.demo.dns import DnsServer
from proxy.demo.ports import free_ports

SETTLE_S = 1.0  # for memory: what a start leaves behind is given back
GIB = 1 << 30
FAILURES = (GeneratorError, ProgramError, DemoError, OSError)  # of one run; the others go on


class Run(msgspec.Struct):
    """One workload, one subject, one turn."""

    workload: str
    subject: str
    measures: dict[str, float]
    turn: int = 0
    errors: int = 0  # connections that broke, replies that were none, requests without an answer
    generator_share: float = 0.0  # of a core
    backend_share: float = 0.0  # of a core, the busiest process
    other_cores: float = 0.0  # what had nothing to do with the run
    notes: dict[str, float] = {}
    failed: str = ""  # why there are no measures


@dataclass(frozen=True)
class Bench:
    """What all runs share."""

    generator: Generator
    backends: Backends
    dns: DnsServer
    directory: Path
    descriptors: int

    @asynccontextmanager
    async def running(self, subject: Subject, upload: bool = False) -> AsyncIterator[Running]:
        (port,) = free_ports(1)
        job = Job(port, self.backends.pods(upload), self.descriptors, self.directory)
        async with subject.start(job, self.dns) as running:
            yield running


@asynccontextmanager
async def started(
    bench: Bench, workload: Workload, subjects: Sequence[Subject]
) -> AsyncIterator[Mapping[str, Running | str]]:
    """All of them at once, by name; a text instead says why one did not start."""
    async with AsyncExitStack() as stack:
        here: dict[str, Running | str] = {}
        for each in subjects:
            try:
                here[each.name] = await stack.enter_async_context(bench.running(each, workload.is_upload))
            except FAILURES as error:
                here[each.name] = _text(error)
        yield here


async def run(bench: Bench, workload: Workload, name: str, running: Running | str, window: Window) -> Run:
    into = Run(workload.name, name, {})
    if isinstance(running, str):
        into.failed = running
        return into
    with _noting_failure(into):
        await _loaded(bench, workload, running, window, into)
    return into


async def run_alone(bench: Bench, workload: Workload, subject: Subject, window: Window) -> Run:
    """One that is started for nothing else, while nobody else runs."""
    into = Run(workload.name, subject.name, {})
    with _noting_failure(into):
        await ALONE.get(workload.name, _plain)(bench, workload, subject, window, into)
    return into


@contextmanager
def _noting_failure(into: Run) -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        into.failed = _text(error)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _loaded(
    bench: Bench, workload: Workload, running: Running, window: Window, into: Run, beside: Sequence[int] = ()
) -> None:
    """`beside`: processes that belong to the run as well."""
    ours, pods = running.pids(), bench.backends.pids()
    others = Others([*ours, *pods, *beside])
    outcome, *streams = await asyncio.gather(
        bench.generator.run(workload.load, window, running.address, [*ours, *pods]),
        *(bench.generator.run(load, window, running.address) for load in workload.beside),
    )
    into.other_cores = others.cores()
    into.errors = outcome.errors + outcome.wrong + outcome.unanswered
    into.generator_share = outcome.own_cpu / outcome.seconds
    into.backend_share = max(outcome.cpu[len(ours) :]) / outcome.seconds
    into.measures |= measures_of(outcome, sum(outcome.cpu[: len(ours)]) if ours else None)
    if streams:
        into.measures["gb_s"] = sum(each.bytes / each.seconds for each in streams) / 1e9
    if workload.load.mode == "open":
        into.notes["late_p99_us"] = quantile(outcome.late, 0.99) / 1e3


def measures_of(outcome: Outcome, cpu_s: float | None) -> dict[str, float]:
    """All that can be said; which of it means something, the workload knows. No CPU: there is no proxy."""
    found = {"rate": outcome.requests / outcome.seconds, "gb_s": outcome.bytes / outcome.seconds / 1e9}
    if outcome.requests:
        found |= {name: quantile(outcome.latency, share) / 1e3 for name, share in QUANTILES.items()}
        found["max_us"] = outcome.latency.max / 1e3
    if cpu_s is not None and outcome.requests:
        found["cpu_us"] = cpu_s / outcome.requests * 1e6
    if cpu_s is not None and outcome.bytes:
        found["cpu_s_gib"] = cpu_s / outcome.bytes * GIB
    return found


async def _plain(bench: Bench, workload: Workload, subject: Subject, window: Window, into: Run) -> None:
    async with bench.running(subject, workload.is_upload) as running:
        await _loaded(bench, workload, running, window, into)


async def _idle(bench: Bench, workload: Workload, subject: Subject, window: Window, into: Run) -> None:
    connections = workload.load.connections
    async with bench.running(subject) as running:
        await asyncio.sleep(SETTLE_S)
        pids = running.pids()
        before = machine.resident_kib(pids)
        async with bench.generator.holding(connections, running.address):
            await asyncio.sleep(SETTLE_S)
            grown = machine.resident_kib(pids) - before
    if pids:
        into.measures |= {"idle_mib": before / 1024, "kib_each": grown / connections}


async def _stalls(bench: Bench, workload: Workload, subject: Subject, window: Window, into: Run) -> None:
    """Others have no such work. Beside them a Headway without a load does it, on the same cores."""
    environment = {**(subject.environment or {}), **stalls.ENVIRONMENT}
    headway = replace(subject, start=headway_start(environment))
    async with AsyncExitStack() as stack:
        crowd = await stack.enter_async_context(stalls.crowded(bench.dns))
        busy = await stack.enter_async_context(bench.running(headway))
        assert busy.sidecar is not None
        took = await stack.enter_async_context(stalls.scraped(busy.sidecar))
        if subject.environment is None:
            running = await stack.enter_async_context(bench.running(subject))
            await _loaded(bench, workload, running, window, into, beside=busy.pids())
            return
        answers, pages = crowd.answers, len(took)
        await _loaded(bench, workload, busy, window, into)
        into.notes |= {"answers": crowd.answers - answers, "pages": len(took) - pages}
        into.notes["longest_page_ms"] = max(took[pages:], default=0.0) * 1e3


Alone = Callable[[Bench, Workload, Subject, Window, Run], Coroutine[Any, Any, None]]
ALONE: dict[str, Alone] = {"idle": _idle, "stalls": _stalls}
