"""One sidecar: a real pool, fed and used as in the product, in simulated time."""

from collections.abc import Generator
from random import Random

from loadtest.simulation.checks import Checks
from loadtest.simulation.moves import Moves
from loadtest.simulation.names import REPLY_S
from loadtest.simulation.pods import FAILING_FAST, RTT_S, Mode, Pod
from loadtest.simulation.timeline import Process
from loadtest.simulation.world import World
from proxy.config import HealthCheck
from proxy.controlpath.discovery import CONFIRM_AFTER_S, EARLIEST_S
from proxy.datapath.relay import WORTH_TRYING_S
from proxy.errors import ConnectError, NoEndpoint
from proxy.observe.counters import ServiceCounters
from proxy.policy import retry
from proxy.policy.endpoint import Endpoint
from proxy.policy.jitter import jittered
from proxy.pool import Lease, Pool

Attempt = Generator[float, None, ConnectError | None]

LOOK_EVERY_S = 0.01  # while no endpoint is known


class Sidecar:
    def __init__(self, world: World, number: int) -> None:
        plan = world.plan
        self.name = f"shop-{number}"
        self.rng = Random(f"{plan.seed} {number}")
        self.key = self.rng.getrandbits(64)  # with HASH_KEY=pod
        self.pool = Pool(world.settings, ServiceCounters(), world.timeline, self.rng, self.name)
        self._world = world
        self._timeline = world.timeline
        self._settings = world.settings
        self._timeout_s = min(world.settings.connect_timeout_s, world.settings.connect_deadline_s)
        self._poll_at = 0.0  # when DNS is asked next; whoever sleeps for another time has been overtaken
        self._polled_at = 0.0
        self.pool.request_resolve = self._poll_soon
        self.moves = Moves(world, self.pool, self.rng) if world.settings.rebalance else None
        if world.settings.health_check is not HealthCheck.OFF:
            checks = Checks(world, self.pool, self.rng, plan.sidecars if plan.fleet_known else 0)
            self.pool.on_members_changed = checks.follow
            self.pool.on_suspect = checks.suspect

    # --- discovery, as controlpath/discovery.py -------------------------------------------------

    def polls(self, delay_s: float) -> Process:
        """Ask DNS now and then, until another process was told to ask sooner."""
        while True:
            self._poll_at = due_at = self._timeline.time + delay_s
            yield delay_s
            if self._poll_at != due_at:
                return
            self._polled_at = self._timeline.time
            size = self._settings.subset_size
            names, now = self._world.names, self._timeline.time
            answer = names.ask_subset(now, self.name, size) if size else names.ask(now)
            yield REPLY_S
            self.pool.apply(answer)
            if self.pool.membership.unconfirmed:
                delay_s = self._polled_at + CONFIRM_AFTER_S - self._timeline.time
            else:
                delay_s = jittered(self._settings.dns_interval_s, self.rng)

    def _poll_soon(self) -> None:
        soon = max(self._timeline.time, self._polled_at + EARLIEST_S)
        if self._poll_at > soon:
            self._timeline.begin(self.polls(soon - self._timeline.time))

    # --- a connection, as datapath/session.py ---------------------------------------------------

    def connection(self, key: int) -> Process:
        """Try endpoints until one takes it."""
        came_at = self._timeline.time
        deadline = came_at + self._settings.connect_deadline_s
        self._world.measures.began(came_at)
        failures: dict[Endpoint, ConnectError] = {}
        try:
            while not self.pool.members and self._timeline.time < deadline:
                yield LOOK_EVERY_S
            while True:
                with self.pool.lease(failures, key) as lease:
                    error = yield from self._attempt(lease, came_at, deadline, key)
                    if error is None:
                        return
                    failures[lease.endpoint] = error
                    lease.failed(error)
                    if not self._may_retry(failures, deadline):
                        break
        except NoEndpoint:
            pass
        self._world.measures.gave_up(came_at)

    def _attempt(self, lease: Lease, came_at: float, deadline: float, key: int) -> Attempt:
        """What went wrong; None when the connection has been served, and closed."""
        world, began = self._world, self._timeline.time
        pod = world.pods[lease.address]
        world.measures.attempted(came_at)
        met = pod.meet(began, world.service_time(self.rng), min(self._timeout_s, deadline - began))
        if met.error is not None:
            yield met.after_s
            return met.error
        pod.opened()
        # Noted at once: those that still wait at the end of the run are the slowest of all.
        late_s = began - came_at
        erred = pod.mode in FAILING_FAST
        world.measures.served(came_at, late_s + met.queued_s, late_s + met.after_s, erred)
        lease.connected(RTT_S)  # a moment early, which saves an event
        yield met.after_s
        if pod.mode is Mode.MUTE:
            lease.unanswered()
            lease.succeeded()
        else:
            lease.succeeded(met.after_s - RTT_S)
        if world.plan.hold_s:
            yield from self._hold(pod, lease.endpoint, key)
        pod.closed(self._timeline.time - began)
        return None

    def _hold(self, pod: Pod, endpoint: Endpoint, key: int) -> Process:
        """Keep the connection open. Whoever loses it, as its pod ends or others come, connects anew."""
        process = self._timeline.current
        assert process is not None
        until = self._timeline.time + self.rng.expovariate(1 / self._world.plan.hold_s)
        pod.held[process] = None
        if self.moves is not None:
            self.moves.holds(endpoint, process)
        yield until - self._timeline.time
        pod.held.pop(process, None)
        if self.moves is not None:
            self.moves.lets_go(endpoint, process)
        if self._timeline.time < until:
            self._timeline.wake(self.connection(key))

    def _may_retry(self, failures: dict[Endpoint, ConnectError], deadline: float) -> bool:
        if self._timeline.time >= deadline - WORTH_TRYING_S:
            return False
        hopeful = self.pool.has_hope(failures)
        if retry.is_over(failures.values(), self._settings.connect_attempts, hopeful):
            return False
        return self.pool.has_other_than(failures) and self.pool.may_retry(failures)
