"""Name servers and their health: who fails is asked last for a while, which the log says once a minute."""

import logging

import pytest

from proxy.clock import SystemClock
from proxy.controlpath.resolver import AresResolver
from proxy.demo.zone import Mode
from proxy.policy.resolv_conf import ResolvConf
from tests.controlpath.asking import WEB, Servers, address
from tests.support import virtual


@pytest.mark.parametrize("mode", ["drop", "servfail", "refused"])
def test_a_failing_server_is_asked_last_for_a_while(mode: Mode) -> None:
    """After a failure the other server gets the questions; 5 s later the first one has its chance again."""

    async def story() -> None:
        async with Servers(2) as servers:
            asking = servers.resolver()
            servers.all[0].mode = mode
            await asking.query(WEB, "A")
            servers.counts()
            for _ in range(3):
                await asking.query(WEB, "A")
            assert servers.counts() == [0, 3]

            servers.all[0].mode = "answer"
            servers.clock.advance(5.1)
            for _ in range(3):
                await asking.query(WEB, "A")
            assert servers.counts() == [3, 0]

    virtual.with_sockets(story())


def test_a_server_that_keeps_failing_is_asked_more_and_more_seldom() -> None:
    """The pause doubles with each failure in a row: 5 s, 10 s, 20 s."""

    async def story() -> None:
        async with Servers(2) as servers:
            asking = servers.resolver()
            servers.all[0].mode = "servfail"
            tried = []
            for second in range(40):
                await asking.query(WEB, "A")
                if servers.counts()[0]:
                    tried.append(second)
                servers.clock.advance(1)

            assert tried == [0, 5, 15, 35]

    virtual.with_sockets(story())


def test_one_in_trouble_is_still_asked_when_all_others_fail() -> None:
    """Asked last is asked: when the good one dies too, the first one answers."""

    async def story() -> None:
        async with Servers(2) as servers:
            asking = servers.resolver()
            servers.all[0].mode = "servfail"
            await asking.query(WEB, "A")
            servers.all[0].mode, servers.all[1].mode = "answer", "servfail"
            servers.counts()

            assert (await asking.query(WEB, "A")).result == "ok"
            assert servers.counts() == [1, 1]

    virtual.with_sockets(story())


def test_health_can_be_looked_up() -> None:
    """Who is asked, and what is wrong with whom, until it answers again."""

    async def story() -> None:
        async with Servers(2) as servers:
            asking = servers.resolver()
            first, second = map(address, servers.all)
            servers.all[0].mode = "servfail"
            await asking.query(WEB, "A")

            known = asking.servers_and_troubles()
            trouble = known[first]
            assert list(known) == [first, second]
            assert known[second] is None
            assert trouble is not None
            assert (trouble.times, trouble.result) == (1, "servfail")

            servers.all[0].mode = "answer"
            servers.clock.advance(5.1)
            await asking.query(WEB, "A")
            assert asking.servers_and_troubles() == {first: None, second: None}

    virtual.with_sockets(story())


def test_rotate_takes_turns() -> None:
    """`options rotate`: each question begins with another server."""

    async def story() -> None:
        async with Servers(3) as servers:
            asking = servers.resolver(rotate=True)
            for _ in range(6):
                await asking.query(WEB, "A")

            assert servers.counts() == [2, 2, 2]

    virtual.with_sockets(story())


def test_the_first_server_is_asked_without_rotate() -> None:
    """While it answers, the others are not bothered."""

    async def story() -> None:
        async with Servers(3) as servers:
            asking = servers.resolver()
            for _ in range(6):
                await asking.query(WEB, "A")

            assert servers.counts() == [6, 0, 0]

    virtual.with_sockets(story())


@pytest.mark.parametrize("chosen", [True, False])
def test_dns_servers_wins_over_resolv_conf(chosen: bool) -> None:
    """Without DNS_SERVERS the servers of resolv.conf are asked, as it says them at the time."""

    async def story() -> None:
        async with Servers(3) as servers:
            first, second, third = map(address, servers.all)
            says = [ResolvConf((second,))]
            asking = AresResolver([first] if chosen else [], lambda: says[0], 0.35, SystemClock())
            await asking.query(WEB, "A")
            says[0] = ResolvConf((third,))
            await asking.query(WEB, "A")

            assert servers.counts() == ([2, 0, 0] if chosen else [0, 1, 1])

    virtual.with_sockets(story())


# --- the log ------------------------------------------------------------------------------------


def test_a_flapping_server_is_mentioned_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """One line when a server fails and one when it is back, not two a second; the rest is counted."""
    caplog.set_level(logging.INFO, "headway.dns")

    async def story() -> None:
        async with Servers(1) as servers:
            asking = servers.resolver()
            where = servers.all[0].address
            for _ in range(6):
                for mode in ("servfail", "answer"):
                    servers.all[0].mode = mode
                    await asking.query(WEB, "A")
                    servers.clock.advance(5)

            assert caplog.messages == [
                f"DNS: {where} fails (servfail)",
                f"DNS: {where} answers again",
            ]
            servers.all[0].mode = "servfail"
            await asking.query(WEB, "A")
            assert caplog.messages[2:] == [f"DNS: {where} fails (servfail) (5 more since the last line)"]

    virtual.with_sockets(story())


def test_the_log_says_what_becomes_of_a_failing_server(caplog: pytest.LogCaptureFixture) -> None:
    """With a second server at hand, the failing one is asked last for a while: a warning, once."""

    async def story() -> None:
        async with Servers(2) as servers:
            servers.all[0].mode = "refused"
            asking = servers.resolver()
            for _ in range(3):
                await asking.query(WEB, "A")
                servers.clock.advance(30)

            where = servers.all[0].address
            assert caplog.messages == [f"DNS: {where} fails (refused): it is asked last for a while"]

    virtual.with_sockets(story())
