"""Polls DNS for one service and hands each answer to the pool."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from proxy.config import DnsTarget, IpFamily, ServiceSettings
from proxy.controlpath.resolver import Resolver
from proxy.model import Address, Answer, AnswerKind, Clock, Family, Rng
from proxy.policy.answers import Reply, merge
from proxy.policy.jitter import jittered
from proxy.policy.search import SearchRules, candidates
from proxy.pool import Pool
from proxy.tasks import spawn

log = logging.getLogger("headway.discovery")

EARLIEST_S = 1.0  # trouble asks for a poll, but never more than once in this time
RESOLUTION_DELAY_S = 0.05  # RFC 8305 3: how long one family's addresses wait for the other's
SEARCH_AGAIN_S = 60.0  # how often names that come before the one that worked are asked again

# Of the answers for several names, the one furthest down counts. Like glibc, go on after an empty one: to
# CoreDNS `web.svc.cluster.local` is an existing name without addresses wherever a namespace is called web.
_RANK = (AnswerKind.NXDOMAIN, AnswerKind.EMPTY, AnswerKind.FAILED, AnswerKind.ENDPOINTS)

_FAMILIES: dict[IpFamily, Sequence[Family]] = {
    IpFamily.AUTO: (Family.IPV4, Family.IPV6),
    IpFamily.IPV4: (Family.IPV4,),
    IpFamily.IPV6: (Family.IPV6,),
}


class Discovery:
    """`poll_soon` is for whoever meets a pod that does not answer: DNS may already know better."""

    def __init__(
        self,
        target: DnsTarget,
        settings: ServiceSettings,
        search: SearchRules,
        resolver: Resolver,
        leads_back: Callable[[Address], bool],
        pool: Pool,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self._port = target.port
        self._host = target.host
        self._names = candidates(target.host, search)
        self._name = ""  # the one that worked last
        self._search_at = float("-inf")
        self._families = _FAMILIES[settings.ip_family]
        self._interval_s = settings.dns_interval_s
        self._resolver = resolver
        self._leads_back = leads_back
        self._refused: set[Address] = set()  # what led back in the last answer
        self._pool = pool
        self._clock = clock
        self._rng = rng
        self._wanted = asyncio.Event()

    def poll_soon(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        while True:
            started = self._clock.now()
            self._wanted.clear()
            await self.poll()
            if self._pool.counters.waiting:  # somebody has nowhere to go until DNS says something else
                self._wanted.set()
            try:
                async with asyncio.timeout(jittered(self._interval_s, self._rng)):
                    await self._wanted.wait()
                    await self._clock.sleep(started + EARLIEST_S - self._clock.now())
            except TimeoutError:
                pass

    async def poll(self) -> None:
        """Ask once, for every name that the target may stand for, until one of them has endpoints.

        A name that had some ends the list: a wildcard behind it shall not take over while no pod is ready.
        Those before it are asked again now and then: maybe their pods were only not ready at the time.
        """
        searching = self._clock.now() >= self._search_at
        answers: list[Answer] = []
        for name in self._names if searching else self._names[-1:]:
            answers.append(await self._look_up(name))
            if answers[-1].kind is AnswerKind.ENDPOINTS:
                self._found(name)
                if searching and not any(answer.kind is AnswerKind.FAILED for answer in answers):
                    self._search_at = self._clock.now() + SEARCH_AGAIN_S
                break
        self._pool.apply(max(answers, key=lambda answer: _RANK.index(answer.kind)))

    def _found(self, name: str) -> None:
        if name != self._name:
            if not self._host.endswith("."):
                log.info("%s: %s is %s", self._pool.name, self._host, name)
            self._name = name
            self._names = self._names[: self._names.index(name) + 1]

    async def _look_up(self, name: str) -> Answer:
        """What DNS says of `name`. A family whose addresses come first does not wait long for the other."""
        queries = {each: spawn(self._query(name, each), name=f"{each} of {name}") for each in self._families}
        await asyncio.wait(queries.values(), return_when=asyncio.FIRST_COMPLETED)
        _, late = await asyncio.wait(queries.values(), timeout=RESOLUTION_DELAY_S)
        if late:
            early = self._answer(queries)
            if early.partial:
                self._pool.apply(early)
            await asyncio.wait(late)
        return self._answer(queries)

    async def _query(self, name: str, family: Family) -> Reply:
        reply = await self._resolver.query(name, family)
        self._pool.counters.dns_queries[reply.result] += 1
        return reply

    def _answer(self, queries: Mapping[Family, asyncio.Task[Reply]]) -> Answer:
        """What is known so far, without addresses that lead back to this very service."""
        replies = {family: query.result() if query.done() else None for family, query in queries.items()}
        answer = merge(replies, self._port)
        ours = {address for address in answer.addresses if self._leads_back(address)}
        if ours - self._refused:
            where = f"{', '.join(map(str, sorted(ours)))}, where this service itself listens"
            log.error("%s: DNS leads back to %s: not used", self._pool.name, where)
        self._refused = ours if not answer.partial else self._refused | ours
        return merge(replies, self._port, ours) if ours else answer
