"""Learns what DNS says of one name: addresses by A and AAAA, or whole endpoints by SRV."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from typing import NamedTuple, Protocol

from proxy.config import IpFamily, ServiceSettings, SrvTarget, StaticTarget
from proxy.controlpath.resolver import Resolver
from proxy.model import Address, Answer, AnswerKind, Clock, Family
from proxy.observe.counters import ServiceCounters
from proxy.observe.seldom import Seldom
from proxy.policy.answers import merge, named, without_glue
from proxy.policy.records import QTYPE, SRV, Reply
from proxy.pool import Pool
from proxy.tasks import spawn

log = logging.getLogger("headway.dns")

RESOLUTION_DELAY_S = 0.05  # RFC 8305 3: how long one family's addresses wait for the other's
FOLLOW_UPS_AT_ONCE = 16
KEPT_AT_MOST_S = 30.0  # how long an address that did not come along is used without asking again


class Lookup(Protocol):
    async def __call__(self, name: str, refused: Callable[[Answer], Collection[Address]]) -> Answer:
        """What DNS says of `name`, without the addresses that `refused` finds in it."""


class Asker:
    """Puts questions for one service; counts every result, and says seldom what is wrong with it."""

    def __init__(self, service: str, resolver: Resolver, counters: ServiceCounters, clock: Clock) -> None:
        self._service = service
        self._resolver = resolver
        self._counters = counters
        self._seldom = Seldom(clock)

    async def ask(self, name: str, qtype: str) -> Reply:
        reply = await self._resolver.query(name, qtype)
        self._counters.dns_queries[reply.result] += 1
        if reply.ignored:
            self._counters.dns_queries["ignored"] += reply.ignored
            self._complain("ignored", reply, "datagrams that answer no question of ours: passed over")
        if reply.result == "malformed":
            self._complain(reply.result, reply, "a reply whose records answer no question of ours: not used")
        if reply.truncated:
            self._complain("truncated", reply, "the reply is cut off at 64 kB: nobody leaves by it")
        return reply

    def _complain(self, kind: str, reply: Reply, problem: str) -> None:
        seen = reply.exchange
        if seen is not None and (more := self._seldom.may_say(kind)) is not None:
            where = f"{seen.qtype} {seen.name} from {seen.server}"
            log.warning("%s: DNS, %s: %s%s", self._service, where, problem, more)


class AddressLookup:
    """A and AAAA, at the same time. A family whose addresses come first does not wait long for the other."""

    def __init__(
        self, asker: Asker, families: Collection[Family], port: int, early: Callable[[Answer], None]
    ) -> None:
        self._asker = asker
        self._families = families
        self._port = port
        self._early = early  # takes an answer that is not complete yet

    async def __call__(self, name: str, refused: Callable[[Answer], Collection[Address]]) -> Answer:
        queries = {
            family: spawn(self._asker.ask(name, QTYPE[family]), name=f"{family} of {name}")
            for family in self._families
        }
        await asyncio.wait(queries.values(), return_when=asyncio.FIRST_COMPLETED)
        _, late = await asyncio.wait(queries.values(), timeout=RESOLUTION_DELAY_S)
        if late:
            so_far = self._answer(queries, refused)
            if so_far.partial:
                self._early(so_far)
            await asyncio.wait(late)
        return self._answer(queries, refused)

    def _answer(
        self,
        queries: Mapping[Family, asyncio.Task[Reply]],
        refused: Callable[[Answer], Collection[Address]],
    ) -> Answer:
        replies = {family: query.result() if query.done() else None for family, query in queries.items()}
        answer = merge(replies, self._port)
        ours = refused(answer)
        return merge(replies, self._port, frozenset(ours)) if ours else answer


class _Kept(NamedTuple):
    ips: tuple[str, ...]
    until: float


class ServiceLookup:
    """SRV, with the addresses that come along, and further queries only for those that never do.

    What is cut off at 64 kB is another part each time (CoreDNS shuffles it): only then are addresses kept for
    a while, those of pods that fail excepted (`doubtful` names them).
    """

    def __init__(
        self, asker: Asker, families: Collection[Family], doubtful: Callable[[], Set[str]], clock: Clock
    ) -> None:
        self._doubtful = doubtful
        self._asker = asker
        self._families = frozenset(families)
        self._clock = clock
        self._room = asyncio.Semaphore(FOLLOW_UPS_AT_ONCE)
        self._silent = False  # whether a follow-up of this poll got no reply: the others would only wait too
        self._kept: dict[str, _Kept] = {}

    async def __call__(self, name: str, refused: Callable[[Answer], Collection[Address]]) -> Answer:
        reply = await self._asker.ask(name, SRV)
        missing = without_glue(reply, self._families)
        addresses = dict(reply.glue)
        unknown = await self._fill_in(addresses, missing, reply) if missing else frozenset()
        answer = named(reply, addresses, unknown, self._families)
        ours = refused(answer)
        return named(reply, addresses, unknown, self._families, frozenset(ours)) if ours else answer

    async def _fill_in(
        self, addresses: dict[str, tuple[str, ...]], missing: Sequence[str], reply: Reply
    ) -> frozenset[str]:
        """Add what is known or can be learned of the `missing`; the names of which nothing can be."""
        now = self._clock.now()
        trusted = {srv.target for srv in reply.srvs if reply.truncated} - self._doubtful()
        self._kept = {each: kept for each, kept in self._kept.items() if each in trusted and now < kept.until}
        for target, ips in reply.glue.items() if reply.truncated else ():
            self._keep(target, ips, reply.ttl)
        self._silent = False
        families = self._families_of(reply.glue)
        addresses.update((target, ()) for target in missing)  # glue of the wrong family is none
        asked = [target for target in missing if target not in self._kept]
        learned = await asyncio.gather(*(self._follow_up(target, families) for target in asked))
        addresses.update((target, self._kept[target].ips) for target in missing if target in self._kept)
        return frozenset(target for target, known in zip(asked, learned, strict=True) if not known)

    def _keep(self, target: str, ips: tuple[str, ...], ttl: int | None) -> None:
        self._kept[target] = _Kept(ips, self._clock.now() + min(ttl or 0, KEPT_AT_MOST_S))

    def _families_of(self, glue: Mapping[str, Collection[str]]) -> Collection[Family]:
        """Which families to ask for: those that the others of this service have."""
        seen = {Address(ip, 0).family for ips in glue.values() for ip in ips}
        return seen & self._families or self._families

    async def _follow_up(self, target: str, families: Collection[Family]) -> bool:
        """Ask for the addresses of one target; whether it is known now which it has."""
        async with self._room:
            if self._silent:
                return False
            replies = [await self._asker.ask(f"{target}.", QTYPE[family]) for family in families]
        ips = tuple(ip for reply in replies for ip in reply.ips)
        failed = [reply for reply in replies if reply.kind is AnswerKind.FAILED]
        # "unconfirmed" is a no of the second server: beside addresses it can be believed.
        if failed and not (ips and all(reply.result == "unconfirmed" for reply in failed)):
            self._silent |= any(reply.result == "timeout" for reply in replies)
            return False  # half of its addresses would make it another endpoint
        if ips:
            self._keep(target, ips, min(reply.ttl for reply in replies if reply.ttl is not None))
        return True


FAMILIES: dict[IpFamily, Sequence[Family]] = {
    IpFamily.AUTO: (Family.IPV4, Family.IPV6),
    IpFamily.IPV4: (Family.IPV4,),
    IpFamily.IPV6: (Family.IPV6,),
}


def make_lookup(settings: ServiceSettings, resolver: Resolver, pool: Pool, clock: Clock) -> Lookup:
    """How the target of this service is looked up."""
    target = settings.target
    assert not isinstance(target, StaticTarget)
    asker = Asker(settings.name, resolver, pool.counters, clock)
    families = FAMILIES[settings.ip_family]
    if isinstance(target, SrvTarget):

        def doubtful() -> set[str]:
            return {each.identity.name for each in pool.members if each.failing}

        return ServiceLookup(asker, families, doubtful, clock)
    return AddressLookup(asker, families, target.port, pool.apply)
