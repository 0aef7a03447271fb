"""Puts one question to the name servers until one of them answers."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from proxy.controlpath import channel
from proxy.model import Address, AnswerKind, Clock, Exchange
from proxy.observe.seldom import Seldom
from proxy.policy import servers
from proxy.policy.records import Reply
from proxy.policy.resolv_conf import ResolvConf
from proxy.policy.servers import Trouble
from proxy.tasks import spawn

log = logging.getLogger("headway.dns")

GOOD_FOR_S = 2.0  # a server that has just answered another question is not at fault when one name fails
AT_FAULT = frozenset({"timeout", "unreachable", "servfail", "refused"})
DENIALS = frozenset({AnswerKind.NXDOMAIN, AnswerKind.EMPTY})


class Resolver(Protocol):
    async def query(self, name: str, qtype: str) -> Reply:
        """What DNS says of `name`, a full name with its trailing dot. Never raises for what DNS may do."""


class AresResolver:
    """DNS by c-ares: query ids and source ports are random, a truncated answer is asked again over TCP.

    Each try goes to one server and stays open until any of them has answered: the slow one may be the one
    that knows. A server that failed, or was silent while another answered, is asked last for a while. That
    there is no such name is believed of the first server only (unless resolv.conf says `rotate`): the second
    one is often a public server, which knows nothing of the cluster's names.
    """

    def __init__(
        self,
        chosen: Sequence[Address],
        conf: Callable[[], ResolvConf],
        timeout_s: float,
        clock: Clock,
    ) -> None:
        self._chosen = tuple(chosen)  # by DNS_SERVERS; else those of resolv.conf
        self._conf = conf
        self._timeout_s = timeout_s
        self.clock = clock
        self._seldom = Seldom(clock)
        self._turns: Counter[str] = Counter()  # of `options rotate`, by type: A and AAAA are asked in turn
        self._good_at: dict[Address, float] = {}
        self._accused: set[Address] = set()  # those of whose failure the log speaks
        self._troubles: dict[Address, Trouble] = {}

    @property
    def _servers(self) -> tuple[Address, ...]:
        return self._chosen or self._conf().servers

    def servers_and_troubles(self) -> dict[Address, Trouble | None]:
        """Who is asked, and what is wrong with whom."""
        return {server: self._troubles.get(server) for server in self._servers}

    async def query(self, name: str, qtype: str) -> Reply:
        """The first good reply to any of the tries counts, a slow server's too."""
        conf = self._conf()
        may_deny = self._servers if conf.rotate else self._servers[:1]
        question = _Question(self, name, qtype, conf, may_deny, self._timeout_s)
        try:
            async with asyncio.timeout(self._timeout_s):
                await question.put(self._ranked(qtype))
        except TimeoutError:
            pass
        finally:
            await question.end()
        return question.reply

    def _ranked(self, qtype: str) -> list[Address]:
        known = self._servers
        if self._conf().rotate:
            self._turns[qtype] += 1
            turn = self._turns[qtype] % len(known)
            known = known[turn:] + known[:turn]
        return servers.ranked(known, self._troubles, self.clock.now())

    def heard(self, server: Address, reply: Reply) -> None:
        """Note what a try showed of its server."""
        now = self.clock.now()
        if reply.kind is not AnswerKind.FAILED:
            self._good_at[server] = now
            self._troubles.pop(server, None)
            if server in self._accused:
                self._accused.discard(server)
                log.info("DNS: %s answers again", server)
        elif reply.result in AT_FAULT and now - self._good_at.get(server, -GOOD_FOR_S) >= GOOD_FOR_S:
            before = self._troubles.get(server)
            self._troubles[server] = servers.failed(before, reply.result, now)
            if before is None and (more := self._seldom.may_say(str(server))) is not None:
                self._accused.add(server)
                last = ": it is asked last for a while" if len(self._servers) > 1 else ""
                log.warning("DNS: %s fails (%s)%s%s", server, reply.result, last, more)


class _Question:
    """One question on its way: the tries under way, and the best reply so far."""

    def __init__(
        self,
        resolver: AresResolver,
        name: str,
        qtype: str,
        conf: ResolvConf,
        may_deny: Sequence[Address],
        timeout_s: float,
    ) -> None:
        self._resolver = resolver
        self._name, self._qtype = name, qtype
        self._conf = conf
        self._may_deny = may_deny
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._patience_s = timeout_s  # how long a server may be silent while another one answers
        self._asked: dict[asyncio.Task[Reply], tuple[Address, float]] = {}  # which server, and when
        self._heard: set[Address] = set()
        self._events: Counter[str] = Counter()
        self.reply = Reply(AnswerKind.FAILED, "timeout")

    async def put(self, ranked: Sequence[Address]) -> None:
        """Ask one server after the other. A failure is a reason to ask the next one at once."""
        count = servers.tries(len(ranked), self._conf)
        waits = servers.waits(self._timeout_s, count, self._conf)
        self._patience_s = waits[0] if waits else self._timeout_s
        for number in range(count):
            self._ask(ranked[number % len(ranked)])
            wait_s = waits[number] if number < len(waits) else self._timeout_s
            if number + 1 >= len(ranked) and self.reply.result == "unconfirmed":
                wait_s = self._patience_s  # for the first server, which may well be dead
            if await self._settled(wait_s, has_another=number + 1 < len(ranked)):
                break
            if number + 1 >= len(ranked) and self.reply.result == "unconfirmed":
                break

    def _ask(self, server: Address) -> None:
        asking = channel.ask(
            *(server, self._name, self._qtype, self._resolver.clock),
            deadline_s=self._timeout_s,
            use_vc=self._conf.use_vc,
            on_event=self._note,
        )
        task = spawn(asking, name=f"DNS query for {self._name}")
        self._asked[task] = server, self._loop.time()

    async def _settled(self, wait_s: float, *, has_another: bool) -> bool:
        """Whether no further try is of use; False when it is time for the next one."""
        due = self._loop.time() + wait_s
        while self._asked:
            left_s = max(0.0, due - self._loop.time())
            done, _ = await asyncio.wait(self._asked, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return False
            for task in done:
                self._take(task)
            if self.reply.kind is not AnswerKind.FAILED:
                return True
            if has_another:
                return False
        # A server that fails will do so again. Garbage may be anyone's.
        return self.reply.result != "malformed"

    def _note(self, event: str) -> None:
        self._events[event] += 1

    def _take(self, task: asyncio.Task[Reply]) -> None:
        server, _ = self._asked.pop(task)
        reply = task.result()
        self._heard.add(server)
        self._resolver.heard(server, reply)
        if reply.kind in DENIALS and server not in self._may_deny:
            reply = reply._replace(kind=AnswerKind.FAILED, result="unconfirmed")
        if reply.kind is not AnswerKind.FAILED or self.reply.result == "timeout":
            self.reply = reply  # of several failures the first says most

    async def end(self) -> None:
        """Give up what is still under way; whoever was silent too long is remembered for it."""
        now = self._loop.time()
        silent = [server for server, since in self._asked.values() if now - since >= self._patience_s]
        for server in dict.fromkeys(silent):
            if server not in self._heard:
                self._resolver.heard(server, Reply(AnswerKind.FAILED, "timeout"))
        if self.reply.exchange is None:
            asked = ", ".join(dict.fromkeys(str(server) for server, _ in self._asked.values()))
            by = "tcp" if self._events["tcp"] else "udp"  # over TCP: a datagram could not hold the answer
            seen = Exchange(self._name, self._qtype, self.reply.result, asked, by, seconds=now - self._began)
            self.reply = self.reply._replace(exchange=seen)
        self.reply = self.reply._replace(ignored=self._events["ignored"])
        for task in self._asked:
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)
