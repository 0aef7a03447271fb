"""Discovery of a short name: which full name it stands for, and that it stays that way."""

import pytest

from proxy.model import AnswerKind, Family
from proxy.policy.answers import Reply
from proxy.policy.search import SearchRules
from tests.controlpath.asking import IPS
from tests.controlpath.world import World, with_world

# A pod's resolv.conf: three domains of the cluster, then the node's own.
RULES = SearchRules(("demo.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"), ndots=5)
IN_DEMO, IN_SVC, IN_CLUSTER, IN_CORP, AS_IS = ALL = [
    "web.demo.svc.cluster.local.",
    "web.svc.cluster.local.",
    "web.cluster.local.",
    "web.corp.example.",
    "web.",
]
WILDCARD = ["127.0.0.99"]


def test_the_first_name_that_has_pods_is_the_one() -> None:
    """Names are tried in order until one has pods; from then on only that one is asked."""

    async def test(world: World) -> None:
        world.dns.set(IN_DEMO, [])
        world.dns.set(IN_CLUSTER, IPS)
        await world.discovery.poll()

        assert (world.asked(), world.ips) == ([IN_DEMO, IN_SVC, IN_CLUSTER], sorted(IPS))

        await world.discovery.poll()

        assert (world.asked(), world.ips) == ([IN_CLUSTER], sorted(IPS))

    with_world(test, RULES, TARGET="web:80")


@pytest.mark.parametrize(
    "target,ndots,first",
    [
        ("web", 1, "web.demo.svc.cluster.local."),
        ("web.demo", 1, "web.demo."),
        ("web.demo", 5, "web.demo.demo.svc.cluster.local."),
        ("web.demo.svc.cluster.local", 4, "web.demo.svc.cluster.local."),
        ("web.demo.svc.cluster.local", 5, "web.demo.svc.cluster.local.demo.svc.cluster.local."),
    ],
)
def test_ndots_decides_what_is_asked_first(target: str, ndots: int, first: str) -> None:
    """A name with at least ndots dots is first asked as it is; the search list comes after."""

    async def test(world: World) -> None:
        await world.discovery.poll()

        assert world.asked()[0] == first

    with_world(test, SearchRules(RULES.domains, ndots), TARGET=f"{target}:80")


def test_a_trailing_dot_means_this_name_and_no_other() -> None:
    """`web.` is asked as it is, even when it does not exist."""

    async def test(world: World) -> None:
        await world.discovery.poll()

        assert world.asked() == [AS_IS]

    with_world(test, RULES, TARGET="web.:80")


def test_a_name_without_any_pod_is_searched_for_again() -> None:
    """While no name has pods, each poll tries them all: the Service may be made later."""

    async def test(world: World) -> None:
        world.dns.set(IN_DEMO, [])
        await world.discovery.poll()
        assert (world.asked(), world.ips, world.pool.resolved) == (ALL, [], True)

        world.dns.set(IN_SVC, IPS)
        await world.discovery.poll()
        assert (world.asked(), world.ips) == ([IN_DEMO, IN_SVC], sorted(IPS))

    with_world(test, RULES, TARGET="web:80")


def test_a_namespace_of_the_same_name_is_not_the_service() -> None:
    """web.svc.cluster.local exists, empty, when a namespace is called web: pods that come later are found."""

    async def test(world: World) -> None:
        world.dns.set(IN_DEMO, [])
        world.dns.set_srv(IN_SVC, [("x.", 1)])  # a name with other records: CoreDNS says NODATA
        await world.discovery.poll()
        assert world.ips == []

        world.dns.set(IN_DEMO, IPS)
        await world.discovery.poll()
        assert world.ips == sorted(IPS)

    with_world(test, RULES, TARGET="web:80")


def test_no_later_name_takes_over() -> None:
    """When all pods go, a wildcard further down the search list does not get their connections."""

    async def test(world: World) -> None:
        world.dns.set(IN_CORP, WILDCARD)
        await world.discovery.poll()
        world.dns.set(IN_DEMO, [])
        for _ in range(3):
            world.clock.advance(61)
            await world.discovery.poll()

        assert (world.asked(), world.ips) == ([IN_DEMO], [])

        world.dns.set(IN_DEMO, IPS)
        await world.discovery.poll()

        assert world.ips == sorted(IPS)

    with_world(test, RULES, TARGET="web:80")


def test_an_earlier_name_takes_over_when_its_pods_come() -> None:
    """A wildcard that answered while no pod was ready yet has to give way within a minute."""

    async def test(world: World) -> None:
        world.dns.set(IN_DEMO, [])
        world.dns.set(IN_CORP, WILDCARD)
        await world.discovery.poll()
        assert (world.asked(), world.ips) == ([IN_DEMO, IN_SVC, IN_CLUSTER, IN_CORP], WILDCARD)

        world.dns.set(IN_DEMO, IPS)
        world.clock.advance(59)
        await world.discovery.poll()
        assert (world.asked(), world.ips) == ([IN_CORP], WILDCARD)

        world.clock.advance(1)
        await world.discovery.poll()
        assert (world.asked(), world.ips) == ([IN_DEMO], sorted(IPS))

    with_world(test, RULES, TARGET="web:80")


def test_a_failed_query_rules_no_name_out() -> None:
    """A name whose query failed is asked again at the next poll, although a later one had pods."""
    replies = dict.fromkeys(ALL, Reply(AnswerKind.NXDOMAIN, result="nxdomain"))

    class Scripted:
        async def query(self, name: str, family: Family) -> Reply:
            return replies[name]

    async def test(world: World) -> None:
        world.discovery._resolver = Scripted()
        replies[IN_DEMO] = Reply(AnswerKind.FAILED, result="timeout")
        replies[AS_IS] = Reply(AnswerKind.ENDPOINTS, ("127.0.0.99",))
        await world.discovery.poll()
        assert world.ips == WILDCARD

        replies[IN_DEMO] = Reply(AnswerKind.ENDPOINTS, IPS)
        await world.discovery.poll()
        assert world.ips == sorted(IPS)

    with_world(test, RULES, TARGET="web:80", IP_FAMILY="ipv4")


def test_a_failed_query_outweighs_a_no() -> None:
    """When one name's query failed and the others do not exist, nothing was learned: the pods stay."""
    replies = dict.fromkeys(ALL, Reply(AnswerKind.NXDOMAIN, result="nxdomain"))

    class Scripted:
        async def query(self, name: str, family: Family) -> Reply:
            return replies[name]

    async def test(world: World) -> None:
        world.discovery._resolver = Scripted()
        replies[IN_DEMO] = Reply(AnswerKind.FAILED, result="servfail")
        await world.discovery.poll()

        assert not world.pool.resolved

    with_world(test, RULES, TARGET="web:80", IP_FAMILY="ipv4")


def test_the_name_found_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A person can read in the log which name the short one stands for."""
    caplog.set_level("INFO", "headway.discovery")

    async def test(world: World) -> None:
        for _ in range(3):
            await world.discovery.poll()

        assert caplog.messages == [f"{world.pool.name}: web is {IN_DEMO}"]

    with_world(test, RULES, TARGET="web:80")
