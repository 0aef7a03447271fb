"""Search lists with a domain that fails, and what leads back to the service itself."""

from collections.abc import Mapping

import pytest

from proxy.model import AnswerKind
from proxy.policy.records import Reply
from proxy.policy.resolv_conf import ResolvConf
from tests.controlpath.asking import IPS
from tests.controlpath.world import World, with_world
from tests.support import virtual

RULES = ResolvConf(domains=("demo.svc.cluster.local", "svc.cluster.local", "corp.example"), ndots=5)
IN_DEMO, IN_SVC, IN_CORP, AS_IS = ALL = [
    "web.demo.svc.cluster.local.",
    "web.svc.cluster.local.",
    "web.corp.example.",
    "web.",
]
NO = Reply(AnswerKind.NXDOMAIN, "nxdomain")
FOUND = Reply(AnswerKind.ENDPOINTS, ips=IPS)


def failed(result: str) -> Reply:
    return Reply(AnswerKind.FAILED, result)


class Scripted:
    """Says what it is told to of each name, NXDOMAIN of all others; notes the names asked."""

    def __init__(self, replies: Mapping[str, Reply]) -> None:
        self.replies = dict(replies)
        self.asked: list[str] = []

    async def query(self, name: str, qtype: str) -> Reply:
        self.asked.append(name)
        return self.replies.get(name, NO)


@pytest.mark.parametrize("result", ["servfail", "timeout", "unconfirmed"])
@pytest.mark.parametrize("broken", [IN_SVC, IN_CORP, AS_IS])
def test_a_domain_that_nobody_serves_does_not_hold_up_the_pod(result: str, broken: str) -> None:
    """The first name does not exist and a later one fails: resolved, with nobody, until somebody comes."""

    async def test(world: World) -> None:
        world.resolver = dns = Scripted({broken: failed(result)})
        await world.discovery.poll()
        assert (world.pool.resolved, world.ips, dns.asked) == (True, [], ALL)

        dns.replies[IN_DEMO] = FOUND
        await world.discovery.poll()
        assert world.ips == sorted(IPS)

    with_world(test, RULES, by=virtual.with_sockets, TARGET="web:80", IP_FAMILY="ipv4")


def test_it_is_so_by_a_real_server_too() -> None:
    """One domain's server is silent, another one's answers SERVFAIL."""

    async def test(world: World) -> None:
        def script(query: object, transport: str) -> bytes | tuple[()] | None:
            name = str(query.q.qname).lower()  # type: ignore[attr-defined]
            if name == IN_SVC:
                return ()
            reply = query.reply()  # type: ignore[attr-defined]
            reply.header.rcode = 2
            return bytes(reply.pack()) if name == IN_CORP else None

        world.dns.set(IN_DEMO, [])
        world.dns.script = script
        await world.discovery.poll()

        assert (world.pool.resolved, world.ips) == (True, [])
        assert world.results == {"nxdomain": 2, "timeout": 1, "servfail": 1}

    with_world(test, RULES, by=virtual.with_sockets, timeout_s=0.5, TARGET="web:80", IP_FAMILY="ipv4")


@pytest.mark.parametrize("result", ["servfail", "timeout"])
def test_a_failing_domain_is_asked_less_and_less(result: str) -> None:
    """Once a name has worked, those before it are asked again after the interval, twice that, ... 60 s."""

    async def test(world: World) -> None:
        world.resolver = dns = Scripted({IN_DEMO: failed(result), IN_SVC: FOUND})
        searched = []
        for second in range(0, 300, 5):
            dns.asked.clear()
            await world.discovery.poll()
            assert world.ips == sorted(IPS)
            if IN_DEMO in dns.asked:
                searched.append(second)
            world.clock.advance(5)

        assert searched == [0, 5, 15, 35, 75, 135, 195, 255]

    with_world(test, RULES, by=virtual.with_sockets, TARGET="web:80", IP_FAMILY="ipv4", DNS_INTERVAL="5s")


# --- what leads back ----------------------------------------------------------------------------


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


def judging(world: World) -> list[str]:
    """The addresses looked at, in order."""
    looked_at: list[str] = []
    judge = world.discovery._leads_back

    def look(address: object) -> bool:
        looked_at.append(address.ip)  # type: ignore[attr-defined]
        return judge(address)  # type: ignore[arg-type]

    world.discovery._leads_back = look
    return looked_at


def test_each_address_is_judged_once() -> None:
    """With every poll the same addresses: only a new one, or one that was away, is looked at."""

    async def test(world: World) -> None:
        looked_at = judging(world)
        world.resolver = dns = Scripted({IN_DEMO: FOUND})
        for _ in range(3):
            await world.discovery.poll()
        assert sorted(looked_at) == sorted(IPS)

        looked_at.clear()
        dns.replies[IN_DEMO] = Reply(AnswerKind.ENDPOINTS, ips=("127.0.0.99", *IPS[1:]))
        await world.discovery.poll()
        dns.replies[IN_DEMO] = failed("servfail")
        await world.discovery.poll()
        dns.replies[IN_DEMO] = FOUND
        await world.discovery.poll()
        assert looked_at == ["127.0.0.99", IPS[0]]

    with_world(test, RULES, by=virtual.with_sockets, TARGET="web:80", IP_FAMILY="ipv4")


def test_leading_back_is_said_once_with_a_search_list(caplog: pytest.LogCaptureFixture) -> None:
    """Names without any address come before or after the one that leads back: one line, not one a poll."""

    async def test(world: World) -> None:
        world.ours = {IPS[0]}
        world.resolver = Scripted({IN_SVC: Reply(AnswerKind.ENDPOINTS, ips=(IPS[0],))})
        for _ in range(4):
            world.clock.advance(100)
            await world.discovery.poll()
        assert world.ips == []

    with_world(test, RULES, by=virtual.with_sockets, TARGET="web:80", IP_FAMILY="ipv4")
    assert len(errors(caplog)) == 1


def test_two_names_that_list_addresses(caplog: pytest.LogCaptureFixture) -> None:
    """The first leads back altogether, the next one has pods: one line, however often both are asked."""

    async def test(world: World) -> None:
        world.ours = {"127.0.0.98"}
        leads_back = Reply(AnswerKind.ENDPOINTS, ips=("127.0.0.98",))
        world.resolver = Scripted({IN_DEMO: leads_back, IN_SVC: FOUND})
        for _ in range(4):
            world.clock.advance(100)
            await world.discovery.poll()
        assert world.ips == sorted(IPS)

    with_world(test, RULES, by=virtual.with_sockets, TARGET="web:80", IP_FAMILY="ipv4")
    assert len(errors(caplog)) == 1
