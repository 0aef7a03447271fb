"""Builds a fleet, lets it run, and sums up what happened."""

import gc
import logging
import resource
from collections.abc import Callable
from random import Random
from time import process_time

from loadtest.simulation.measures import Quantiles, Result
from loadtest.simulation.plan import Plan
from loadtest.simulation.pods import Mode, Pod
from loadtest.simulation.sidecar import Sidecar
from loadtest.simulation.timeline import Process
from loadtest.simulation.traffic import burst_size
from loadtest.simulation.world import World

KEYS = 1 << 64


class Fleet:
    """`pods` in the order they came. `report`: what a story adds to the result."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = Random(plan.seed)
        self.world = World(plan)
        self.timeline = self.world.timeline
        self.pods: list[Pod] = []
        for number in range(plan.pods):
            self.add_pod(plan.slow_times if number < plan.slow_pods else 1.0)
        self.list_pods(at_once=True)
        self.sidecars = [Sidecar(self.world, number) for number in range(plan.sidecars)]
        self._keys = [self.rng.randrange(KEYS) for _ in range(plan.clients)]
        self.report: list[Callable[[Result], None]] = []

    def add_pod(self, slowness: float = 1.0) -> Pod:
        pod = Pod(len(self.pods), self.plan.slots, slowness, self.plan.seconds)
        self.pods.append(pod)
        self.world.pods[pod.address] = pod
        return pod

    def list_pods(self, at_once: bool = False) -> None:
        self.world.names.tell(self.pods, at_once)

    def key(self, sidecar: Sidecar) -> int:
        """What a balancer that hashes is told of a connection: who its client is, or whose it is."""
        return self._keys[self.rng.randrange(len(self._keys))] if self._keys else sidecar.key

    def end_pod(self, pod: Pod) -> None:
        """It listens no more, and what it still held is closed."""
        pod.mode = Mode.REFUSING
        for process in pod.held:
            self.timeline.wake(process)
        pod.held.clear()

    def run(self, label: str = "") -> Result:
        began = process_time()
        heard = logging.root.manager.disable
        logging.disable()
        for sidecar in self.sidecars:
            self.timeline.begin(sidecar.polls(self.rng.random() * self.plan.starts_within_s))
        if self.plan.rate:
            self.timeline.begin(self._arrivals())
        if self.plan.story is not None:
            self.timeline.begin(self.plan.story(self))
        gc.collect()
        gc.freeze()
        gc.disable()  # nothing here is a cycle
        try:
            self.timeline.run(self.plan.seconds)
        finally:
            logging.disable(heard)
            gc.enable()
            gc.unfreeze()
        result = self._sum_up(label or self.plan.balancer)
        for add in self.report:
            add(result)
        result.events = self.timeline.events
        result.cpu_s = round(process_time() - began, 2)
        result.resident_mib = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
        return result

    def _arrivals(self) -> Process:
        """Of all sidecars: many Poisson processes together are one."""
        plan, rng, sidecars, begin = self.plan, self.rng, self.sidecars, self.timeline.begin
        rate = plan.sidecars * plan.rate / plan.burst
        yield plan.starts_within_s + 1.0  # everyone knows whom there is
        while True:
            yield rng.expovariate(rate)
            sidecar = sidecars[rng.randrange(len(sidecars))]
            key = self.key(sidecar)
            for _ in range(burst_size(plan.burst, rng)):
                begin(sidecar.connection(key))

    # --- the sum --------------------------------------------------------------------------------

    def _sum_up(self, label: str) -> Result:
        plan, measures = self.plan, self.world.measures
        since = plan.warm_up_s
        per_pod = [sum(pod.attempts_per_s[since:]) for pod in self.pods]
        mean = sum(per_pod) / len(per_pod) or 1.0
        busiest_second = max(max(pod.attempts_per_s[since:]) for pod in self.pods)
        probes = [pod.probes_per_s[since : plan.seconds] for pod in self.pods]
        queries = self.world.names.queries_per_s[since : plan.seconds]
        measured_s = plan.seconds - since
        busy = [pod.busy_s / plan.slots / plan.seconds for pod in self.pods]
        connections = measures.connections or 1
        return Result(
            label=label,
            balancer=plan.balancer,
            connections=measures.connections,
            attempts_per_connection=round(measures.attempts / connections, 3),
            failed_share=measures.failed / connections,
            error_share=measures.errors / connections,
            queued_ms=Quantiles.of(measures.queued),
            total_ms=Quantiles.of(measures.total),
            load_max_to_mean=round(max(per_pod) / mean, 3),
            second_max_to_mean=round(busiest_second / (mean / measured_s), 2),
            busy_mean=round(sum(busy) / len(busy), 3),
            busy_max=round(max(busy), 3),
            open_mean=round(sum(pod.open_s for pod in self.pods) / len(self.pods) / plan.seconds, 2),
            open_max=max(pod.open_most for pod in self.pods),
            probes_mean=round(sum(map(sum, probes)) / len(probes) / measured_s, 3),
            probes_max=max(map(max, probes)),
            dns_mean=round(sum(queries) / measured_s, 2),
            dns_max=max(queries),
            extra=self._slow_share(per_pod),
            shares=[round(each / mean, 3) for each in per_pod],
            series=self._series(),
        )

    def _series(self) -> dict[str, list[float]]:
        """For each second, the warm-up included."""
        seconds = range(self.plan.seconds)
        return {
            "p99_ms": self.world.measures.p99_per_s(self.plan.seconds),
            "probes_max": [max(pod.probes_per_s[second] for pod in self.pods) for second in seconds],
            "dns": [*self.world.names.queries_per_s[: self.plan.seconds]],
        }

    def _slow_share(self, per_pod: list[int]) -> dict[str, float]:
        """What slow pods get, where a fair share is 1."""
        slow, whole = self.plan.slow_pods, sum(per_pod)
        if not slow or not whole:
            return {}
        return {"slow_share": round(sum(per_pod[:slow]) / whole * len(per_pod) / slow, 3)}


def simulate(plan: Plan, label: str = "") -> Result:
    return Fleet(plan).run(label)
