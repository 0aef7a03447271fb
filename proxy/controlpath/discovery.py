"""Polls DNS for one service and hands each answer to the pool."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

import msgspec

from proxy.config import ServiceSettings, StaticTarget
from proxy.controlpath.lookup import Lookup
from proxy.model import Address, Answer, AnswerKind, Clock, Rng
from proxy.policy.jitter import jittered
from proxy.policy.resolv_conf import ResolvConf
from proxy.policy.search import candidates
from proxy.pool import Pool

log = logging.getLogger("headway.discovery")

EARLIEST_S = 1.0  # trouble asks for a poll, but never more than once in this time
CONFIRM_AFTER_S = 1.25  # a hiccup of a second does not confirm itself
SEARCH_AGAIN_S = 60.0  # how often names that come before the one that worked are asked again

# Of the answers for several names, the one furthest down counts. Like glibc, go on after an empty one: to
# CoreDNS `web.svc.cluster.local` is an existing name without addresses wherever a namespace is called web.
_RANK = (AnswerKind.NXDOMAIN, AnswerKind.EMPTY, AnswerKind.FAILED, AnswerKind.ENDPOINTS)


class Discovery:
    """`poll_soon` is for whoever meets a pod that does not answer: DNS may already know better."""

    def __init__(
        self,
        settings: ServiceSettings,
        look_up: Lookup,
        conf: Callable[[], ResolvConf],
        leads_back: Callable[[Address], bool],
        pool: Pool,
        clock: Clock,
        rng: Rng,
    ) -> None:
        target = settings.target
        assert not isinstance(target, StaticTarget)
        self._host = target.host
        self._conf = conf
        self._names: list[str] = []
        self._searched: ResolvConf | None = None  # the search rules that made them
        self._name = ""  # the one that worked last
        self._search_at = float("-inf")
        self._interval_s = settings.dns_interval_s
        self._look_up = look_up
        self._leads_back = leads_back
        self._listed: set[Address] = set()  # by any answer of this poll
        self._judged: dict[Address, bool] = {}  # whether an address leads back: finding out costs a bind()
        self._search_pause_s = 0.0
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
            if self._pool.membership.unconfirmed:
                await self._clock.sleep(started + CONFIRM_AFTER_S - self._clock.now())
                continue
            if (
                self._pool.counters.waiting and not self._pool.members
            ):  # they have nowhere to go until DNS helps
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
        self._follow_search_list()
        self._listed.clear()
        searching = self._clock.now() >= self._search_at
        answers: list[Answer] = []
        for name in self._names if searching else self._names[-1:]:
            answers.append(await self._look_up(name, self._leading_back))
            if answers[-1].kind is AnswerKind.ENDPOINTS:
                self._found(name)
                if searching:
                    self._search_later(any(answer.kind is AnswerKind.FAILED for answer in answers))
                break
        if self._listed:
            self._judged = {each: ours for each, ours in self._judged.items() if each in self._listed}
        best = self._best(answers)
        exchanges = tuple(each for answer in answers for each in answer.exchanges)
        await self._clock.sleep(0)  # a large answer took the loop some ms already
        self._pool.apply(msgspec.structs.replace(best, exchanges=exchanges))

    def _search_later(self, failed: bool) -> None:
        """Ask the names before this one again in a while; sooner, at first, where one of them failed."""
        twice = 2 * self._search_pause_s or self._interval_s
        self._search_pause_s = min(twice, SEARCH_AGAIN_S) if failed else SEARCH_AGAIN_S
        self._search_at = self._clock.now() + self._search_pause_s

    def _best(self, answers: list[Answer]) -> Answer:
        """The answer that counts. While no name has ever worked, a failure does not outweigh the first's no:
        a domain of the search list that nobody serves must not hold up the pod.
        """
        rank: Sequence[AnswerKind] = _RANK
        if not self._name and answers[0].kind is not AnswerKind.FAILED:
            rank = (AnswerKind.FAILED, *(kind for kind in _RANK if kind is not AnswerKind.FAILED))
        return max(answers, key=lambda answer: rank.index(answer.kind))

    def _follow_search_list(self) -> None:
        """Begin anew when resolv.conf has changed."""
        conf = self._conf()
        if conf != self._searched:
            self._searched = conf
            names = candidates(self._host, conf)
            if not self._names or self._name not in names:
                self._search_at, self._search_pause_s = float("-inf"), 0.0
                self._names = names
            else:
                self._names = names[: names.index(self._name) + 1]

    def _found(self, name: str) -> None:
        if name != self._name:
            if not self._host.endswith("."):
                log.info("%s: %s is %s", self._pool.name, self._host, name)
            self._name = name
            self._names = self._names[: self._names.index(name) + 1]

    def _leading_back(self, answer: Answer) -> Collection[Address]:
        """Addresses in `answer` that lead back to this very service."""
        listed = {identity.address for identity in answer.endpoints}
        listed |= {each.other for each in answer.endpoints.values() if each.other is not None}
        verdicts = {address: self._leads_back(address) for address in listed - self._judged.keys()}
        if any(verdicts.values()):
            where = ", ".join(str(address) for address, ours in sorted(verdicts.items()) if ours)
            where += ", where this service itself listens"
            log.error("%s: DNS leads back to %s: not used", self._pool.name, where)
        self._listed |= listed
        self._judged |= verdicts
        return {address for address in listed if self._judged[address]}
