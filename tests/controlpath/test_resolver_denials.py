"""That there is no such name is believed of the first server only: the second may be a public one."""

import asyncio

import pytest

from proxy.controlpath.resolver import AresResolver
from proxy.demo.ports import free_ports
from proxy.demo.zone import Mode
from proxy.model import Address, AnswerKind
from proxy.policy.records import Reply
from tests.controlpath.asking import IPS, WEB, Servers, address, resolver
from tests.support import virtual

DENIALS: list[Mode] = ["nxdomain", "empty"]


async def timed(asking: AresResolver, qtype: str = "A") -> tuple[Reply, float]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    reply = await asking.query(WEB, qtype)
    return reply, loop.time() - began


def server_of(reply: Reply) -> str:
    assert reply.exchange is not None
    return reply.exchange.server


@pytest.mark.parametrize("mode", DENIALS)
@pytest.mark.parametrize("qtype", ["A", "AAAA"])
def test_a_no_of_the_second_server_proves_nothing(mode: Mode, qtype: str) -> None:
    """The first is silent, the second knows no such name: nothing was learned, and that is known early."""

    async def story() -> None:
        async with Servers(2) as servers:
            servers.all[0].mode, servers.all[1].mode = "drop", mode
            reply, took_s = await timed(servers.resolver(timeout_s=3.5), qtype)

            assert (reply.kind, reply.result) == (AnswerKind.FAILED, "unconfirmed")
            assert server_of(reply) == servers.all[1].address
            assert servers.counts() == [1, 1]
            assert 0.5 <= took_s < 2.5  # 0.5 s before the second is asked, and once more: not all 3.5 s

    virtual.with_sockets(story())


@pytest.mark.parametrize("mode", DENIALS)
@pytest.mark.parametrize("broken", ["servfail", "refused"])
def test_a_no_after_a_failure(mode: Mode, broken: Mode) -> None:
    """The first fails at once, and so there is nobody to wait for: the first failure says most."""

    async def story() -> None:
        async with Servers(2) as servers:
            servers.all[0].mode, servers.all[1].mode = broken, mode
            reply, took_s = await timed(servers.resolver(timeout_s=10.0))

            assert (reply.kind, reply.result) == (AnswerKind.FAILED, broken)
            assert server_of(reply) == servers.all[0].address
            assert servers.counts() == [1, 1]
            assert took_s < 5.0

    virtual.with_sockets(story())


def test_a_no_after_one_that_is_gone() -> None:
    """The port of the first refuses, the second has no AAAA: that is a failure, at once."""

    async def story() -> None:
        async with Servers(1) as servers:
            gone = Address("127.0.0.1", free_ports(1)[0])
            servers.all[0].mode_for["AAAA"] = "empty"
            reply, took_s = await timed(resolver(gone, *servers.all, timeout_s=10.0), "AAAA")

            assert (reply.kind, reply.result) == (AnswerKind.FAILED, "unreachable")
            assert took_s < 5.0

    virtual.with_sockets(story())


@pytest.mark.parametrize("mode", DENIALS)
def test_one_in_trouble_is_waited_for_but_not_long(mode: Mode) -> None:
    """While the first is asked last, the second's no comes first; it is the first one's reply that counts."""

    async def story() -> None:
        async with Servers(2) as servers:
            asking = servers.resolver(timeout_s=3.5)
            servers.all[0].mode = "servfail"
            await asking.query(WEB, "A")
            servers.all[0].mode, servers.all[1].mode = "drop", mode
            reply, took_s = await timed(asking)
            assert reply.result == "unconfirmed"
            assert server_of(reply) == servers.all[1].address
            assert took_s < 2.5

            servers.all[0].mode = "answer"
            reply, _ = await timed(asking)
            assert sorted(reply.ips) == sorted(IPS)

    virtual.with_sockets(story())


def test_a_slow_first_server_still_has_the_last_word() -> None:
    """The second one's no does not end the question while the first may still answer."""

    async def story() -> None:
        async with Servers(2) as servers:
            servers.all[0].delay_s, servers.all[1].mode = 0.6, "nxdomain"
            reply, _ = await timed(servers.resolver(timeout_s=3.5))

            assert (reply.result, server_of(reply)) == ("ok", servers.all[0].address)

    virtual.with_sockets(story())


@pytest.mark.parametrize("mode", DENIALS)
def test_with_rotate_each_server_is_as_good(mode: Mode) -> None:
    """`options rotate` says that all servers know the same: any one's no is believed."""

    async def story() -> None:
        async with Servers(2) as servers:
            asking = servers.resolver(timeout_s=3.5, rotate=True)
            for server in servers.all:
                server.mode = mode
            replies = [await asking.query(WEB, "A") for _ in range(2)]

            assert [reply.result for reply in replies] == [mode] * 2
            assert servers.counts() == [1, 1]

    virtual.with_sockets(story())


def test_rotate_takes_turns_for_each_type() -> None:
    """A and AAAA, asked together, both go to each server in turn: no server is the one for a type."""

    async def story() -> None:
        async with Servers(2) as servers:
            asking = servers.resolver(timeout_s=3.5, rotate=True)
            for _ in range(4):
                await asyncio.gather(asking.query(WEB, "A"), asking.query(WEB, "AAAA"))

            assert [(each.count("A"), each.count("AAAA")) for each in servers.all] == [(2, 2), (2, 2)]

    virtual.with_sockets(story())


def test_a_no_of_the_second_server_is_no_trouble_of_it() -> None:
    """It has answered: the log has nothing against it."""

    async def story() -> None:
        async with Servers(2) as servers:
            asking = servers.resolver(timeout_s=1.4)
            servers.all[0].mode, servers.all[1].mode = "drop", "nxdomain"
            await asking.query(WEB, "A")
            first, second = map(address, servers.all)
            known = asking.servers_and_troubles()

            assert known[second] is None
            assert (trouble := known[first]) is not None
            assert trouble.result == "timeout"

    virtual.with_sockets(story())
