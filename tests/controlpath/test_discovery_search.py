"""Discovery of a short name: which full name it stands for, and that it stays that way."""

import pytest

from proxy.model import AnswerKind
from proxy.policy.records import Reply
from proxy.policy.resolv_conf import ResolvConf
from tests.controlpath.asking import IPS
from tests.controlpath.world import World, with_world

# A pod's resolv.conf: three domains of the cluster, then the node's own.
DOMAINS = ("demo.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example")
RULES = ResolvConf(domains=DOMAINS, ndots=5)
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

    with_world(test, ResolvConf(domains=DOMAINS, ndots=ndots), TARGET=f"{target}:80")


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
    """A name whose query failed is asked again after an interval, although a later one had pods."""
    replies = dict.fromkeys(ALL, Reply(AnswerKind.NXDOMAIN, result="nxdomain"))

    class Scripted:
        async def query(self, name: str, qtype: str) -> Reply:
            return replies[name]

    async def test(world: World) -> None:
        world.resolver = Scripted()
        replies[IN_DEMO] = Reply(AnswerKind.FAILED, result="timeout")
        replies[AS_IS] = Reply(AnswerKind.ENDPOINTS, ips=("127.0.0.99",))
        await world.discovery.poll()
        assert world.ips == WILDCARD

        replies[IN_DEMO] = Reply(AnswerKind.ENDPOINTS, ips=IPS)
        world.clock.advance(world.settings.dns_interval_s)
        await world.discovery.poll()
        assert world.ips == sorted(IPS)

    with_world(test, RULES, TARGET="web:80", IP_FAMILY="ipv4")


def test_a_failed_query_outweighs_a_no() -> None:
    """When one name's query failed and the others do not exist, nothing was learned: the pods stay."""
    replies = dict.fromkeys(ALL, Reply(AnswerKind.NXDOMAIN, result="nxdomain"))

    class Scripted:
        async def query(self, name: str, qtype: str) -> Reply:
            return replies[name]

    async def test(world: World) -> None:
        world.resolver = Scripted()
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


# --- resolv.conf changes ------------------------------------------------------------------------


def test_a_changed_search_list_is_used_at_the_next_poll() -> None:
    """When the name that worked is no longer one of the candidates, the search begins anew."""

    async def test(world: World) -> None:
        await world.discovery.poll()
        world.asked()
        world.conf = ResolvConf(domains=("other.svc.cluster.local",), ndots=5)
        world.dns.set("web.other.svc.cluster.local.", WILDCARD)
        await world.discovery.poll()

        assert (world.asked(), world.ips) == (["web.other.svc.cluster.local."], WILDCARD)

    with_world(test, RULES, TARGET="web:80")


def test_a_changed_list_that_keeps_the_name_keeps_it() -> None:
    """A domain added behind, or other servers, have nothing searched for again."""

    async def test(world: World) -> None:
        await world.discovery.poll()
        world.asked()
        world.conf = ResolvConf(domains=(*DOMAINS, "new.example"), ndots=5, use_vc=True)
        await world.discovery.poll()

        assert (world.asked(), world.ips) == ([IN_DEMO], sorted(IPS))

    with_world(test, RULES, TARGET="web:80")


def test_a_changed_ndots_is_used() -> None:
    """With ndots 0 the name is asked as it is, once the old one has no claim."""

    async def test(world: World) -> None:
        world.dns.set(IN_DEMO, [])
        await world.discovery.poll()
        assert world.asked() == ALL
        world.conf = ResolvConf(domains=DOMAINS, ndots=0)
        await world.discovery.poll()

        assert world.asked() == [AS_IS, IN_DEMO, IN_SVC, IN_CLUSTER, IN_CORP]

    with_world(test, RULES, TARGET="web:80")


@pytest.mark.parametrize("gone", [(), ("nowhere.example",)])
def test_a_search_list_that_is_lost_empties_no_pool(gone: tuple[str, ...]) -> None:
    """A resolv.conf that was emptied by mistake: the pods stay until the hold is over."""

    async def test(world: World) -> None:
        await world.discovery.poll()
        world.conf = ResolvConf(domains=gone, ndots=5)
        await world.discovery.poll()
        assert world.ips == sorted(IPS)

        world.conf = RULES
        await world.discovery.poll()
        assert world.ips == sorted(IPS)
        assert world.pool.membership.doubt_since is None

    with_world(test, RULES, TARGET="web:80")
