"""What happens in the demo, in its order: a crash, a scale-down, a scale-up, an outage of DNS."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxy.clock import SystemClock
from proxy.demo.cluster import Cluster, Pod
from proxy.demo.dns import DnsServer
from proxy.demo.load import Load
from proxy.demo.sidecar import Sidecar

ADDED = 2  # pods that the scale-up brings


@dataclass(frozen=True)
class Event:
    """One line of the story."""

    at_s: float
    event: str
    text: str


class Journal:
    """Keeps the events and passes each on to whoever shows them."""

    def __init__(self, hear: Callable[[Event], None]) -> None:
        self._clock = SystemClock()
        self._hear = hear
        self.events: list[Event] = []
        self.began = self._clock.now()

    def elapsed(self) -> float:
        return self._clock.now() - self.began

    def tell(self, event: str, text: str) -> None:
        self.events.append(Event(round(self.elapsed(), 2), event, text))
        self._hear(self.events[-1])


class Story:
    """Plays the acts at their times; every claim about the proxy in a line is measured, not assumed."""

    def __init__(
        self, cluster: Cluster, dns: DnsServer, sidecar: Sidecar, load: Load, journal: Journal
    ) -> None:
        self._cluster = cluster
        self._dns = dns
        self._sidecar = sidecar
        self._load = load
        self._journal = journal
        self._clock = SystemClock()
        first = list(cluster.pods.values())
        self._victim, self._surplus = first[len(first) // 3], first[-1]
        self._added: list[Pod] = []
        self._since = 0.0
        self._served = 0
        self._lost = 0
        self._retries: int | None = None

    async def perform(self, seconds: float) -> None:
        # Shares of the whole time, so that a demo of 5 s tells the same story as one of 60 s.
        acts: tuple[tuple[float, Callable[[], Awaitable[None]]], ...] = (
            (0.00, self._steady),
            (0.20, self._crash),
            (0.30, self._crash_noticed_by_kubernetes),
            (0.40, self._scale_down),
            (0.53, self._terminate),
            (0.60, self._scale_up),
            (0.74, self._dns_fails),
            (0.90, self._dns_recovers),
            (1.00, self._end),
        )
        for share, act in acts:
            await self._clock.sleep(max(0.0, self._journal.began + share * seconds - self._clock.now()))
            await act()

    async def _steady(self) -> None:
        self._journal.tell(
            "steady", f"{len(self._cluster.pods)} pods are ready and listed in DNS; load starts"
        )

    async def _crash(self) -> None:
        await self._remember()
        self._cluster.crash(self._victim)
        self._journal.tell("crash", f"{self._victim.name} crashes; DNS still lists it")

    async def _crash_noticed_by_kubernetes(self) -> None:
        self._cluster.drop_from_dns(self._victim)
        name, ip = self._victim.name, self._victim.ip
        idle_s = self._clock.now() - self._load.last_seen.get(ip, self._since)
        retried = await self._retried()
        self._journal.tell(
            "crash_hidden",
            f"Headway: no answer from {name} for {idle_s:.1f} s; {retried}{self._lost_since()}",
        )
        self._journal.tell("crash_in_dns", f"only now does DNS drop {name}")

    async def _scale_down(self) -> None:
        await self._remember()
        self._surplus.state = "leaving"
        self._cluster.drop_from_dns(self._surplus)
        self._journal.tell("leave", f"scale-down: {self._surplus.name} leaves DNS, but still runs")

    async def _terminate(self) -> None:
        name = self._surplus.name
        idle_s = self._clock.now() - self._load.last_seen.get(self._surplus.ip, self._since)
        self._journal.tell(
            "left", f"{name} ends; Headway sent it no connection for {idle_s:.1f} s; {self._lost_since()}"
        )
        await self._cluster.terminate(self._surplus)

    async def _scale_up(self) -> None:
        self._added = await self._cluster.start(ADDED, "new")
        await self._remember()
        self._cluster.list_in_dns(*self._added)
        names = " and ".join(pod.name for pod in self._added)
        self._journal.tell("join", f"scale-up: {names} are ready and join DNS")

    async def _dns_fails(self) -> None:
        waits = [self._load.first_seen.get(pod.ip) for pod in self._added]
        for pod in self._added:
            pod.state = "serving"
        seen = [at - self._since for at in waits if at is not None]
        if len(seen) == len(waits):
            self._journal.tell("joined", f"Headway: both took connections within {max(seen):.1f} s")
        else:
            self._journal.tell(
                "joined", f"Headway: {len(seen)} of {len(waits)} new pods took connections so far"
            )
        await self._remember()
        self._dns.mode = "servfail"
        self._journal.tell("dns_fails", "DNS fails: every query gets SERVFAIL")

    async def _dns_recovers(self) -> None:
        self._dns.mode = "answer"
        asked = sum(query.at >= self._since for query in self._dns.queries)
        served = self._load.per_pod.total() - self._served
        self._journal.tell(
            "dns_recovers",
            f"DNS answers again; Headway kept its pods through {asked} failed queries: "
            f"{served} connections served meanwhile, {self._lost_since()}",
        )

    async def _end(self) -> None:
        self._journal.tell("end", "the story ends")

    async def _remember(self) -> None:
        """The state before an act, so that the next line can say what changed."""
        self._retries = await self._sidecar.counter("headway_retries_total")
        self._since = self._clock.now()
        self._served = self._load.per_pod.total()
        self._lost = self._load.failed

    async def _retried(self) -> str:
        now = await self._sidecar.counter("headway_retries_total")
        if now is None or self._retries is None:
            return ""
        return f"{_plural(now - self._retries, 'connect')} tried again elsewhere; "

    def _lost_since(self) -> str:
        lost = self._load.failed - self._lost
        return f"{lost} LOST" if lost else "none lost"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
