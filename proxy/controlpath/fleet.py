"""Asks DNS now and then how many sidecars there are, as their headless Service tells it."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from proxy.config import Settings
from proxy.controlpath.prober import Prober
from proxy.controlpath.resolver import AresResolver, Resolver
from proxy.model import Clock, Rng
from proxy.observe.seldom import Seldom
from proxy.policy.jitter import jittered
from proxy.policy.records import QTYPE
from proxy.policy.resolv_conf import ResolvConf
from proxy.policy.search import candidates

log = logging.getLogger("headway.fleet")

ASK_EVERY_S = 60.0
FIRST_WITHIN_S = 1.0
AGAIN_S = 2.0  # after a change: a fleet that starts is not listed at once; then twice as long each time
UNTIL_KNOWN = 100  # sidecars: a large fleet that starts would have checked everything before DNS answers


class Fleet:
    """Tells `hear` the number whenever it changes. When DNS fails, or knows nobody, the last one stays.

    Until the first answer it is taken for a large one; without an answer its size is 0, which is unknown.
    """

    def __init__(
        self,
        host: str,
        resolver: Resolver,
        conf: Callable[[], ResolvConf],
        hear: Callable[[int], None],
        clock: Clock,
        rng: Rng,
    ) -> None:
        self._host = host
        self._resolver = resolver
        self._conf = conf
        self._hear = hear
        self._clock = clock
        self._rng = rng
        self._seldom = Seldom(clock)
        self._name = ""
        self.size = 0  # 0: nobody knows yet
        self._told = 0

    async def run(self) -> None:
        self._tell(self.size or UNTIL_KNOWN)
        await self._clock.sleep(FIRST_WITHIN_S * self._rng.random())
        pause_s = AGAIN_S
        while True:
            before = self.size
            await self.ask()
            pause_s = AGAIN_S if self.size != before else min(2 * pause_s, ASK_EVERY_S)
            await self._clock.sleep(jittered(pause_s, self._rng))

    async def ask(self) -> None:
        """Learn the number from the first name that has addresses."""
        said = ""
        names = candidates(self._host, self._conf())
        for name in sorted(names, key=lambda name: name != self._name):  # the one that worked comes first
            replies = await asyncio.gather(*(self._resolver.query(name, qtype) for qtype in QTYPE.values()))
            if found := max(len(reply.ips) for reply in replies):  # a pod of both families is one pod
                self._found(found, name)
                return
            said = said or ", ".join(dict.fromkeys(reply.result for reply in replies))
        self._tell(self.size)
        if (more := self._seldom.may_say("none")) is not None:
            kept = f"the last number, {self.size}, stays" if self.size else "checks come at their usual pace"
            log.warning("FLEET: no address for %s (%s): %s%s", self._host, said, kept, more)

    def _found(self, size: int, name: str) -> None:
        self._name = name
        if size != self.size:
            log.debug("FLEET: %d sidecars (%s)", size, name)
            self.size = size
        self._tell(size)

    def _tell(self, size: int) -> None:
        if size != self._told:
            self._told = size
            self._hear(size)


def make_fleet(
    settings: Settings, conf: Callable[[], ResolvConf], probers: Sequence[Prober], clock: Clock, rng: Rng
) -> Fleet:
    """Has the checks of all services follow what FLEET says. Asks as the first service asks for its pods."""

    def hear(sidecars: int) -> None:
        for prober in probers:
            prober.follow_fleet(sidecars)

    assert settings.fleet is not None
    first = settings.services[0]
    resolver = AresResolver(first.dns_servers, conf, first.dns_timeout_s, clock)
    return Fleet(settings.fleet, resolver, conf, hear, clock, rng)
