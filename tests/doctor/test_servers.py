"""`headway doctor` and name servers at fault: silent, failing, or without TCP."""

from pathlib import Path
from typing import Any

import pytest

from proxy.config import from_env
from proxy.demo.dns import DnsServer
from proxy.demo.ports import free_ports
from proxy.demo.zone import Mode
from proxy.doctor.gather import survey
from proxy.doctor.seen import Place
from proxy.model import Address
from proxy.policy.resolv_conf import parse
from tests.controlpath.asking import scripted
from tests.doctor.scene import CLUSTER, KUBERNETES, WEB, Cluster, quiet_ips, with_cluster
from tests.support import FakeClock

SOON = "100ms"


def test_all_is_well(tmp_path: Path) -> None:
    """A healthy service gives no finding and status 0, by addresses, by SRV and by a list."""

    async def test(world: Cluster) -> None:
        listed = ",".join(pod.address for pod in world.pods)
        ended = await world.doctor(
            SERVICES="a,b,c",
            A_TARGET=f"{WEB}:{world.port}",
            B_TARGET=f"srv://_http._tcp.{WEB}",
            B_LISTEN="127.0.0.1:1",
            C_TARGET=f"static://{listed}",
            C_LISTEN="127.0.0.1:2",
        )

        assert (ended.status, ended.findings) == (0, [])
        assert [len(each["endpoints"]) for each in ended.facts["services"]] == [3, 3, 3]
        assert [pod.taken for pod in world.pods] == [3, 3, 3]

    with_cluster(tmp_path, test)


def test_a_search_list_that_leads_straight_to_it_costs_nothing(tmp_path: Path) -> None:
    """A short name in the pod's own namespace is found at once: nothing to complain about."""

    async def test(world: Cluster) -> None:
        ended = await world.doctor(TARGET=f"web:{world.port}")

        assert (ended.status, ended.facts["services"][0]["found"]) == (0, WEB)
        assert (ended.facts["namespace"], ended.facts["cluster_domain"]) == ("demo", "cluster.local")

    with_cluster(tmp_path, test)


def test_it_stays_within_a_few_dozen_packets(tmp_path: Path) -> None:
    """Watching for an hour does not mean asking more often."""

    async def test(world: Cluster) -> None:
        await world.pods[0].close()
        env = {"HEADWAY_TARGET": f"web:{world.port}", "HEADWAY_DNS_SERVERS": world.dns.address}
        place = Place(parse(CLUSTER), domain="cluster.local")
        found = await survey(from_env(env).settings, place, 3600.0, FakeClock())

        assert found.services[0].glances[-1].at_s == 3600.0
        assert world.dns.count() <= 24
        assert [pod.taken for pod in world.pods[1:]] == [1, 1]
        assert len(found.services[0].checks[Address(world.pods[0].ip, world.port)]) <= 13

    with_cluster(tmp_path, test)


# --- servers ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("mode,code", [("drop", "dns_silent"), ("servfail", "dns_server_failing")])
def test_one_of_two_servers_is_bad(tmp_path: Path, mode: Mode, code: str) -> None:
    """Each server is asked by itself: the good one is no excuse for the bad one, but the way round it."""

    async def test(world: Cluster) -> None:
        async with DnsServer("127.0.0.2") as bad:
            bad.mode = mode
            both = f"{bad.address},{world.dns.address}"
            finding = (await world.doctor(DNS_SERVERS=both, DNS_TIMEOUT=SOON)).only(code, service="")

            assert bad.address in finding.what
            assert f"{world.dns.address} does" in finding.what
            assert f"HEADWAY_DNS_SERVERS={world.dns.address}" in finding.fix
            assert bad.address not in finding.fix

    with_cluster(tmp_path, test)


@pytest.mark.slow
def test_no_server_answers(tmp_path: Path) -> None:
    """When DNS is gone altogether that is the only finding, not ten that follow from it."""

    async def test(world: Cluster) -> None:
        world.dns.mode = "drop"
        finding = (await world.doctor(TARGET="web.demo:80", DNS_TIMEOUT=SOON)).only("dns_silent", service="")

        assert "takes TCP connections" in finding.what
        assert "UDP is blocked" in finding.fix
        assert len(world.dns.queries) == 3

    with_cluster(tmp_path, test)


def test_nobody_listens_where_the_server_should_be(tmp_path: Path) -> None:
    """A wrong address of a name server is told apart from one that is slow."""

    async def test(world: Cluster) -> None:
        (port,) = free_ports(1)
        finding = (await world.doctor(DNS_SERVERS=f"127.0.0.1:{port}")).only("dns_silent", service="")

        assert "nobody listens" in finding.what
        assert "HEADWAY_DNS_SERVERS" in finding.fix

    with_cluster(tmp_path, test)


@pytest.mark.parametrize("mode", ["servfail", "refused"])
def test_the_only_server_fails(tmp_path: Path, mode: Mode) -> None:
    """CoreDNS without its API server answers SERVFAIL to everything."""

    async def test(world: Cluster) -> None:
        world.dns.mode = mode
        finding = (await world.doctor()).only("dns_server_failing", service="")

        assert f"answers {mode.upper()}" in finding.what
        assert "kubectl -n kube-system get pods -l k8s-app=kube-dns" in finding.fix

    with_cluster(tmp_path, test)


def test_a_server_that_only_knows_other_names(tmp_path: Path) -> None:
    """Consul's DNS refuses the cluster's names: that is none of its faults when it knows the target's."""

    async def test(world: Cluster) -> None:
        name = "web.service.consul."
        world.dns.set(name, ["127.0.0.21"])
        world.dns.script = lambda query, _: None if str(query.q.qname) == name else refusal(query)

        assert (await world.doctor(TARGET=f"{name}:{world.port}")).findings == []

    with_cluster(tmp_path, test)


def refusal(query: Any, rcode: int = 5) -> bytes:
    reply = query.reply()
    reply.header.rcode = rcode
    packed: bytes = reply.pack()
    return packed


@pytest.mark.parametrize("rcode,says", [(2, "SERVFAIL"), (5, "REFUSED")])
def test_a_server_that_fails_for_one_name_is_not_condemned(tmp_path: Path, rcode: int, says: str) -> None:
    """It says that headway.invalid. does not exist, so it works: the finding is the service's."""

    async def test(world: Cluster) -> None:
        failing = {WEB, KUBERNETES}
        world.dns.script = lambda query, _: refusal(query, rcode) if str(query.q.qname) in failing else None
        finding = (await world.doctor()).only("dns_server_failing", service="web")

        assert f"A {WEB}" in finding.what
        assert says in finding.what
        assert world.dns.count("A", "headway.invalid.") == 1

    with_cluster(tmp_path, test)


# --- single questions ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_server_that_ignores_aaaa(tmp_path: Path) -> None:
    """The A records come, the AAAA query is dropped: ask for IPv4 only."""

    async def test(world: Cluster) -> None:
        world.dns.mode_for["AAAA"] = "drop"
        finding = (await world.doctor(DNS_TIMEOUT=SOON)).only("dns_silent")

        assert f"AAAA {WEB}" in finding.what
        assert "HEADWAY_IP_FAMILY=ipv4" in finding.fix

    with_cluster(tmp_path, test)


def test_a_search_domain_that_leads_to_a_broken_server(tmp_path: Path) -> None:
    """A name before the right one gets SERVFAIL: with the full name it is not asked at all."""

    async def test(world: Cluster) -> None:
        world.resolv_conf.write_text("search corp.example svc.cluster.local\noptions ndots:5\n")
        world.dns.script = lambda query, _: refusal(query) if b"corp" in query.q.qname.label else None
        ended = await world.doctor(TARGET=f"web.demo:{world.port}")

        assert ended.codes == ["dns_server_failing", "ndots"]
        assert "A web.demo.corp.example." in ended.findings[0].what
        assert f"HEADWAY_TARGET={WEB}:{world.port}" in ended.findings[0].fix

    with_cluster(tmp_path, test)


def test_a_server_that_fails_now_and_then(tmp_path: Path) -> None:
    """Two of three later answers are SERVFAIL: seen, because it is asked more than once."""

    async def test(world: Cluster) -> None:
        def script(query: Any, _: Any) -> bytes | None:
            asked = world.dns.count("A", WEB)
            return refusal(query) if asked in (2, 4) else None

        world.dns.script = script
        finding = (await world.doctor(watch_s=0.1)).only("dns_server_failing")

        assert "2 of 3 queries" in finding.what

    with_cluster(tmp_path, test)


# --- the size of answers ------------------------------------------------------------------------


def test_tcp_is_blocked(tmp_path: Path) -> None:
    """While the answers are small nothing is lost yet; with more pods it will be."""

    async def test(world: Cluster) -> None:
        async with scripted(lambda query, _: world.dns.packet(query, "udp") or b"") as udp_only:
            finding = (await world.doctor(DNS_SERVERS=str(udp_only))).only("truncated", service="")

        assert "no TCP connection (refused)" in finding.what
        assert "NetworkPolicy" in finding.fix

    with_cluster(tmp_path, test)


def test_tcp_is_blocked_and_needed(tmp_path: Path) -> None:
    """The answer does not fit, and the way round is closed: nothing is learned of this service."""

    async def test(world: Cluster) -> None:
        world.dns.set(WEB, quiet_ips(200))
        async with scripted(lambda query, _: world.dns.packet(query, "udp") or b"") as udp_only:
            ended = await world.doctor(DNS_SERVERS=str(udp_only))

        assert (ended.status, ended.codes) == (1, ["truncated", "truncated"])
        assert f"A {WEB}" in ended.findings[1].what
        assert "UDP and TCP" in ended.findings[1].fix

    with_cluster(tmp_path, test)
