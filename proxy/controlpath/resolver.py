"""Asks name servers for addresses. The only import of aiodns."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import aiodns

from proxy.model import Address, AnswerKind, Family
from proxy.policy.answers import Reply

TRIES = 3
_QTYPE = {Family.IPV4: "A", Family.IPV6: "AAAA"}
_FAILURES = {
    aiodns.error.ARES_ESERVFAIL: "servfail",
    aiodns.error.ARES_EREFUSED: "refused",
    aiodns.error.ARES_ETIMEOUT: "timeout",
    aiodns.error.ARES_ECONNREFUSED: "unreachable",
}


class Resolver(Protocol):
    async def query(self, name: str, family: Family) -> Reply:
        """The addresses of `name`, a full name with its trailing dot. Never raises for what DNS may do."""


class AresResolver:
    """DNS by c-ares: query ids and source ports are random, a truncated answer is asked again over TCP.

    Each query has a channel of its own. c-ares would answer from its cache (NXDOMAIN too) until the TTL is
    over, shorten timeouts it was told by what it measured, and may lose a callback for ever (1.34.7): a fresh
    channel costs 0.4 ms and rules all of that out. A and AAAA also leave from different ports, so that the
    kernel's conntrack race (kubernetes#56903) does not drop one of them.
    """

    def __init__(self, servers: Sequence[Address], timeout_s: float) -> None:
        self._servers = [str(server) for server in servers]
        self._timeout_s = timeout_s

    async def query(self, name: str, family: Family) -> Reply:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._ask(name, family)
        except TimeoutError:
            return Reply(AnswerKind.FAILED, result="timeout")

    async def _ask(self, name: str, family: Family) -> Reply:
        # c-ares doubles the wait with each try: 1/7 + 2/7 + 4/7 of the deadline for one server.
        channel = aiodns.DNSResolver(
            nameservers=self._servers or None, timeout=self._timeout_s / (2**TRIES - 1), tries=TRIES
        )
        try:
            result = await channel.query_dns(name, _QTYPE[family])
        except aiodns.error.DNSError as error:
            return _failure(error.args[0])
        finally:
            await channel.close()
        # CNAMEs lead to the addresses in the same answer; they are no addresses themselves.
        ips = tuple(addr for record in result.answer if (addr := getattr(record.data, "addr", None)))
        return Reply(AnswerKind.ENDPOINTS, ips) if ips else Reply(AnswerKind.EMPTY, result="empty")


def _failure(code: int) -> Reply:
    if code == aiodns.error.ARES_ENOTFOUND:
        return Reply(AnswerKind.NXDOMAIN, result="nxdomain")
    if code == aiodns.error.ARES_ENODATA:
        return Reply(AnswerKind.EMPTY, result="empty")
    return Reply(AnswerKind.FAILED, result=_FAILURES.get(code, "error"))
