"""Polls DNS for one service and hands each answer to the pool."""

import asyncio
from collections.abc import Sequence

from proxy.config import DnsTarget, IpFamily, ServiceSettings
from proxy.controlpath.resolver import Resolver
from proxy.model import Answer, AnswerKind, Clock, Family, Rng
from proxy.policy.answers import Reply, merge
from proxy.policy.jitter import jittered
from proxy.policy.search import SearchRules, candidates
from proxy.pool import Pool

EARLIEST_S = 1.0  # trouble asks for a poll, but never more than once in this time

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
        pool: Pool,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self._port = target.port
        self._names = candidates(target.host, search)
        self._families = _FAMILIES[settings.ip_family]
        self._interval_s = settings.dns_interval_s
        self._resolver = resolver
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
            try:
                async with asyncio.timeout(jittered(self._interval_s, self._rng)):
                    await self._wanted.wait()
                    await self._clock.sleep(started + EARLIEST_S - self._clock.now())
            except TimeoutError:
                pass

    async def poll(self) -> None:
        """Ask once, for every name that the target may stand for, until one of them exists."""
        worst: Answer | None = None
        for name in self._names:
            answer = await self._look_up(name)
            if answer.kind in (AnswerKind.ENDPOINTS, AnswerKind.EMPTY):
                if worst is None or worst.kind is not AnswerKind.FAILED:
                    self._names = [name]  # every earlier name surely does not exist: ask only this one now
                self._pool.apply(answer)
                return
            if worst is None or answer.kind is AnswerKind.FAILED:
                worst = answer
        assert worst is not None
        self._pool.apply(worst)

    async def _look_up(self, name: str) -> Answer:
        """What DNS says of `name`. Addresses of the family that answers first are used at once."""
        replies: dict[Family, Reply | None] = dict.fromkeys(self._families)
        for coming in asyncio.as_completed([self._query(name, family) for family in self._families]):
            family, reply = await coming
            replies[family] = reply
            if reply.kind is AnswerKind.ENDPOINTS and None in replies.values():
                self._pool.apply(merge(replies, self._port))
        return merge(replies, self._port)

    async def _query(self, name: str, family: Family) -> tuple[Family, Reply]:
        reply = await self._resolver.query(name, family)
        self._pool.counters.dns_queries[reply.result] += 1
        return family, reply
