"""Asks name servers for addresses. The only import of aiodns."""

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any, Protocol

import aiodns
import pycares
from aiodns import error as ares

from proxy.model import Address, AnswerKind, Family
from proxy.policy.answers import Reply
from proxy.tasks import spawn

PATIENCE = (1 / 7, 2 / 7)  # shares of the deadline: how long to wait before asking once more
TRIES = len(PATIENCE) + 1
_QTYPE = {Family.IPV4: "A", Family.IPV6: "AAAA"}
_FAILURES = {
    ares.ARES_ESERVFAIL: "servfail",
    ares.ARES_EREFUSED: "refused",
    ares.ARES_ETIMEOUT: "timeout",
    ares.ARES_ECONNREFUSED: "unreachable",
}


class Resolver(Protocol):
    async def query(self, name: str, family: Family) -> Reply:
        """The addresses of `name`, a full name with its trailing dot. Never raises for what DNS may do."""


class AresResolver:
    """DNS by c-ares: query ids and source ports are random, a truncated answer is asked again over TCP.

    Each try has a channel of its own. c-ares would answer from its cache (NXDOMAIN too) until the TTL is
    over, shorten timeouts it was told by what it measured, drop what comes after its next try, and may lose
    a callback for ever (1.34.7): a fresh channel costs 0.4 ms and rules all of that out. A and AAAA also
    leave from different ports, so that the kernel's conntrack race (kubernetes#56903) drops neither.
    """

    def __init__(self, servers: Sequence[Address], timeout_s: float) -> None:
        self._servers = [str(server) for server in servers]
        self._timeout_s = timeout_s

    async def query(self, name: str, family: Family) -> Reply:
        """Asks up to three times; the first good reply to any of them counts, a slow server's too."""
        reply = Reply(AnswerKind.FAILED, result="timeout")
        asked: set[asyncio.Task[Reply]] = set()
        try:
            async with asyncio.timeout(self._timeout_s):
                for number in count():
                    if number < TRIES:
                        asked.add(spawn(self._ask(name, family, number), name=f"DNS query for {name}"))
                    patience_s = PATIENCE[number] * self._timeout_s if number < len(PATIENCE) else None
                    done, asked = await asyncio.wait(
                        asked, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED
                    )
                    reply = min([*(each.result() for each in done), reply], key=_is_failure)
                    if not (asked and _is_failure(reply)):
                        break
        except TimeoutError:
            pass
        finally:
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return reply

    async def _ask(self, name: str, family: Family, number: int) -> Reply:
        channel = None
        try:
            channel = _Channel(self._servers or None, timeout=self._timeout_s, tries=1)
            if number:
                channel.begin_with(number)
            return _success(await channel.query_dns(name, _QTYPE[family]))
        except aiodns.error.DNSError as error:
            return _failure(error.args[0])
        except (pycares.AresError, UnicodeError):  # no descriptor left; no name that DNS could carry
            return Reply(AnswerKind.FAILED, result="error")
        finally:
            if channel is not None:
                await channel.close()


class _Channel(aiodns.DNSResolver):
    """A resolver that the running loop drives.

    Left alone, aiodns 4 has c-ares drive itself: two threads and four more descriptors for each channel, one
    of them an inotify instance (128 for all containers of a uid), and 0.6 ms instead of 0.4.
    """

    def _make_channel(self, **options: Any) -> tuple[bool, pycares.Channel]:
        return False, pycares.Channel(sock_state_cb=self._sock_state_cb, timeout=self._timeout, **options)

    def _sock_state_cb(self, fd: int, readable: bool, writable: bool) -> None:
        if fd in self._write_fds and not writable:
            # aiodns 4.0.4 forgets this: a TCP socket that waits for its reply is writable, so the loop spins
            self._write_fds.discard(fd)
            self.loop.remove_writer(fd)
        super()._sock_state_cb(fd, readable, writable)

    def begin_with(self, number: int) -> None:
        """Ask the server with this number first, counted around."""
        servers = list(self._channel.servers)
        number %= max(1, len(servers))
        self._channel.servers = servers[number:] + servers[:number]

    async def close(self) -> None:
        await super().close()
        del self._channel  # it holds a method of this object: no cycle is left for the collector


def _is_failure(reply: Reply) -> bool:
    return reply.kind is AnswerKind.FAILED


def _success(result: pycares.DNSResult) -> Reply:
    if not result.answer:
        # c-ares has errors for "no records" and for the usual failures; an unusual one, such as NOTAUTH,
        # looks like this.
        return Reply(AnswerKind.FAILED, result="error")
    # CNAMEs lead to the addresses in the same answer; they are no addresses themselves.
    ips = tuple(addr for record in result.answer if (addr := getattr(record.data, "addr", None)))
    return Reply(AnswerKind.ENDPOINTS, ips) if ips else Reply(AnswerKind.EMPTY, result="empty")


def _failure(code: int) -> Reply:
    if code == ares.ARES_ENOTFOUND:
        return Reply(AnswerKind.NXDOMAIN, result="nxdomain")
    if code == ares.ARES_ENODATA:
        return Reply(AnswerKind.EMPTY, result="empty")
    return Reply(AnswerKind.FAILED, result=_FAILURES.get(code, "error"))
