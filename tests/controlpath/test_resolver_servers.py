"""One question to several name servers: who is asked when, and whose reply counts."""

from itertools import pairwise

import pytest

from proxy.controlpath.resolver import AresResolver
from proxy.demo.ports import free_ports
from proxy.demo.zone import Mode
from proxy.model import Address
from proxy.policy.resolv_conf import ResolvConf
from tests.controlpath.asking import IPS, WEB, Servers, address, resolver
from tests.support import virtual


@pytest.mark.parametrize("mode", ["drop", "servfail", "refused"])
def test_the_second_server_answers_for_the_first(mode: Mode) -> None:
    """With two servers, one that is silent or broken costs a part of the deadline only."""

    async def story() -> None:
        async with Servers(2) as servers:
            servers.all[0].mode = mode
            reply = await servers.resolver().query(WEB, "A")

            assert sorted(reply.ips) == sorted(IPS)
            assert servers.counts() == [1, 1]
            assert reply.exchange is not None
            assert reply.exchange.server == servers.all[1].address

    virtual.with_sockets(story())


def test_the_second_server_answers_for_one_that_is_gone() -> None:
    """A server that was restarted elsewhere (its port refuses) is passed over."""

    async def story() -> None:
        async with Servers(1) as servers:
            (port,) = free_ports(1)
            reply = await resolver(Address("127.0.0.1", port), *servers.all).query(WEB, "A")

            assert sorted(reply.ips) == sorted(IPS)

    virtual.with_sockets(story())


@pytest.mark.parametrize("mode", ["servfail", "refused"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_server_that_fails_is_asked_once(mode: Mode, count: int) -> None:
    """SERVFAIL from all: known at once and with one query each, however many tries there could be."""

    async def story() -> None:
        async with Servers(count) as servers:
            for server in servers.all:
                server.mode = mode
            reply = await servers.resolver(timeout_s=20.0).query(WEB, "A")

            assert (reply.result, servers.counts()) == (mode, [1] * count)

    virtual.with_sockets(story(), within_s=5.0)


def test_garbage_is_asked_again() -> None:
    """One malformed reply may be anyone's: the only server is asked again, and has the answer."""

    async def story() -> None:
        async with Servers(1) as servers:
            server = servers.all[0]
            server.script = lambda query, transport: b"?" if server.count() == 1 else None
            reply = await servers.resolver(timeout_s=20.0).query(WEB, "A")

            assert (reply.result, servers.counts()) == ("ok", [2])

    virtual.with_sockets(story(), within_s=5.0)


def test_garbage_only_is_given_up_soon() -> None:
    """A server that sends nothing but garbage is asked three times, not for ever."""

    async def story() -> None:
        async with Servers(1) as servers:
            server = servers.all[0]
            server.script = lambda query, transport: (server.packet(query, transport) or b"")[:-3]
            reply = await servers.resolver(timeout_s=20.0).query(WEB, "A")

            assert (reply.result, servers.counts()) == ("malformed", [3])

    virtual.with_sockets(story(), within_s=5.0)


def test_a_no_is_an_answer() -> None:
    """NXDOMAIN of the first server is not doubted: the second one is not asked."""

    async def story() -> None:
        async with Servers(2) as servers:
            servers.all[0].mode = "nxdomain"
            reply = await servers.resolver().query(WEB, "A")

            assert (reply.result, servers.counts()) == ("nxdomain", [1, 0])

    virtual.with_sockets(story())


@pytest.mark.parametrize("count,attempts,queries", [(1, 1, [1]), (1, 5, [5]), (2, 1, [1, 1]), (2, 2, [2, 2])])
def test_attempts_counts_rounds(count: int, attempts: int, queries: list[int]) -> None:
    """`options attempts:n`: a silent server is asked n times before the deadline."""

    async def story() -> None:
        async with Servers(count) as servers:
            for server in servers.all:
                server.mode = "drop"
            reply = await servers.resolver(timeout_s=0.1, attempts=attempts).query(WEB, "A")

            assert (reply.result, servers.counts()) == ("timeout", queries)

    virtual.with_sockets(story())


def test_timeout_is_the_wait_before_the_next_try() -> None:
    """`options timeout:n` of resolv.conf: so long a server may be silent before it is asked again."""

    async def story() -> None:
        async with Servers(1) as servers:
            servers.all[0].mode = "drop"
            says = ResolvConf(timeout_s=0.06)
            asking = AresResolver([address(servers.all[0])], lambda: says, 0.2, servers.clock)
            await asking.query(WEB, "A")

            times = [query.at for query in servers.all[0].queries]
            assert len(times) == 3
            assert all(later - earlier >= 0.05 for earlier, later in pairwise(times))  # else 0.03 at first

    virtual.with_sockets(story())
