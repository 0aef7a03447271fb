"""`headway doctor` and names: those that do not exist, cost too much, or stand for no pods."""

from pathlib import Path

import pytest

from tests.doctor.scene import IPS, KUBERNETES, WEB, Cluster, with_cluster

OTHER_SUFFIX = "search demo.svc.corp.internal svc.corp.internal corp.internal\noptions ndots:5\n"

# --- not found ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target,tried",
    [
        ("web.", "no such name: web."),
        ("web.prod", "web.prod.svc.cluster.local., web.prod.cluster"),
        (
            "web.demo.svc.cluster.local.svc.cluster.local.",
            "no such name: web.demo.svc.cluster.local.svc.cluster.local.",
        ),
        ("web.demo.svc.cluster.internal", "web.demo.svc.cluster.internal.svc.cluster.local."),
        ("web.demo.svc.", "no such name: web.demo.svc."),
    ],
)
def test_a_similar_name_exists(tmp_path: Path, target: str, tried: str) -> None:
    """Wrong namespace, a doubled or wrong suffix, a dot too many: the name that exists is the fix."""

    async def test(world: Cluster) -> None:
        finding = (await world.doctor(TARGET=f"{target}:80")).only("name_not_found", target.split(".")[0])

        assert tried in finding.what
        assert f"{WEB} exists" in finding.what
        assert finding.fix == f"HEADWAY_TARGET={WEB}:80"

    with_cluster(tmp_path, test)


@pytest.mark.parametrize("by", ["setting", "file", "search list"])
def test_where_the_namespace_comes_from(tmp_path: Path, by: str) -> None:
    """POD_NAMESPACE, else the service account's file, else the search list: there the Service is sought."""

    async def test(world: Cluster) -> None:
        world.serve("api.shop.svc.cluster.local.", IPS)
        world.resolv_conf.write_text("search svc.cluster.local cluster.local\n")
        if by == "setting":
            world.env["POD_NAMESPACE"] = "shop"
            world.namespace.write_text("elsewhere")
        elif by == "file":
            world.namespace.write_text("shop\n")
        else:
            world.resolv_conf.write_text("search shop.svc.cluster.local svc.cluster.local cluster.local\n")
        finding = (await world.doctor(TARGET="api.prod:80")).only("name_not_found", "api")

        assert finding.fix == "HEADWAY_TARGET=api.shop.svc.cluster.local.:80"

    with_cluster(tmp_path, test)


def test_no_pod_is_ready(tmp_path: Path) -> None:
    """DNS works and nothing similar exists: it may be a typo, or a Service whose pods are all unready."""

    async def test(world: Cluster) -> None:
        world.dns.set(WEB, [])
        world.dns.set_srv(WEB, [])
        finding = (await world.doctor(TARGET="web.demo:80")).only("name_not_found")

        names = ("web.demo.demo.svc.cluster.local.", WEB, "web.demo.cluster.local.", "web.demo.")
        assert f"no such name: {', '.join(names)}" in finding.what
        assert "not there either: web.default.svc.cluster.local." in finding.what
        assert f"DNS works: {KUBERNETES} exists" in finding.what
        assert "Zero ready pods look the same" in finding.fix
        assert "kubectl get endpointslices -l kubernetes.io/service-name=web -n demo" in finding.fix

    with_cluster(tmp_path, test)


def test_a_dns_that_is_not_the_clusters(tmp_path: Path) -> None:
    """It answers, but does not even know kubernetes.default: then the name may well be right."""

    async def test(world: Cluster) -> None:
        world.dns.mode = "nxdomain"
        finding = (await world.doctor(TARGET="web:80")).only("name_not_found")

        assert f"{world.dns.address} does not know {KUBERNETES} either" in finding.what
        assert "ClusterFirstWithHostNet" in finding.fix
        assert "HEADWAY_DNS_SERVERS" in finding.fix

    with_cluster(tmp_path, test)


def test_a_node_s_resolv_conf(tmp_path: Path) -> None:
    """A pod on the host's network without the cluster's search list: its dnsPolicy is the fault."""

    async def test(world: Cluster) -> None:
        world.resolv_conf.write_text("search corp.example\n")
        world.env["KUBERNETES_SERVICE_HOST"] = "10.96.0.1"
        finding = (await world.doctor(TARGET="web.demo:80")).only("name_not_found")

        assert f"{world.resolv_conf} does not search a cluster's domain" in finding.what
        assert "dnsPolicy" in finding.fix

    with_cluster(tmp_path, test)


def test_the_wrong_family(tmp_path: Path) -> None:
    """The name exists, but only with addresses that IP_FAMILY leaves out."""

    async def test(world: Cluster) -> None:
        finding = (await world.doctor(IP_FAMILY="ipv6")).only("name_not_found")

        assert f"exists without such a record: {WEB}" in finding.what
        assert f"{WEB} has A records" in finding.what
        assert finding.fix == "HEADWAY_IP_FAMILY=auto"

    with_cluster(tmp_path, test)


def test_records_without_an_address(tmp_path: Path) -> None:
    """SRV records whose hosts have no address lead nowhere."""

    async def test(world: Cluster) -> None:
        name = "_http._tcp.odd.demo.svc.cluster.local."
        world.dns.set_srv(name, [("nobody.example.", 80)])
        ended = await world.doctor(TARGET=f"srv://{name}", LISTEN="127.0.0.1:1")

        assert f"{name} has records" in ended.only("name_not_found", "odd").what

    with_cluster(tmp_path, test)


# --- SRV ----------------------------------------------------------------------------------------


def test_an_unnamed_port(tmp_path: Path) -> None:
    """The Service exists and no port of it has a name: name it, or go by the number that SRV lists."""

    async def test(world: Cluster) -> None:
        world.dns.set_srv(f"_http._tcp.{WEB}", [])
        finding = (await world.doctor(TARGET=f"srv://_http._tcp.{WEB}", LISTEN="127.0.0.1:1")).only("no_srv")

        assert f"{WEB} exists, but no port of it is named 'http'" in finding.what
        assert f"its ports are {world.port}" in finding.what
        assert f"HEADWAY_TARGET={WEB}:{world.port}" in finding.fix
        assert "spec.ports[].name" in finding.fix

    with_cluster(tmp_path, test)


def test_a_port_of_another_name(tmp_path: Path) -> None:
    """The port is called grpc, not http: the fix is the right SRV name, of a short target too."""

    async def test(world: Cluster) -> None:
        world.dns.set_srv(f"_http._tcp.{WEB}", [])
        world.serve(WEB, IPS, port_name="grpc")
        ended = await world.doctor(TARGET="srv://_http._tcp.web.demo", LISTEN="127.0.0.1:1")

        assert ended.only("no_srv").fix == f"HEADWAY_TARGET=srv://_grpc._tcp.{WEB}"

    with_cluster(tmp_path, test)


def test_srv_of_a_service_elsewhere(tmp_path: Path) -> None:
    """Neither the port nor the Service is there, but one of its name in the pod's own namespace."""

    async def test(world: Cluster) -> None:
        ended = await world.doctor(TARGET="srv://_http._tcp.web.prod", LISTEN="127.0.0.1:1")

        assert ended.only("name_not_found").fix == f"HEADWAY_TARGET=srv://_http._tcp.{WEB}"

    with_cluster(tmp_path, test)


def test_srv_of_a_service_that_is_nowhere(tmp_path: Path) -> None:
    """Without ready pods the Service's own name is gone too: that is not the port's fault."""

    async def test(world: Cluster) -> None:
        target = "srv://_http._tcp.api.shop.svc.cluster.local"
        ended = await world.doctor(TARGET=target, LISTEN="127.0.0.1:1")

        assert "service-name=api -n shop" in ended.only("name_not_found", "api").fix

    with_cluster(tmp_path, test)


# --- found, but ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target,costs", [("web.demo", 2), ("web.demo.svc", 4), ("web.demo.svc.cluster.local", 6)]
)
def test_a_name_that_is_searched_for(tmp_path: Path, target: str, costs: int) -> None:
    """Each name of the search list that is tried in vain costs a query for either family."""

    async def test(world: Cluster) -> None:
        finding = (await world.doctor(TARGET=f"{target}:{world.port}")).only("ndots")

        assert f"costs {costs} more queries" in finding.what
        assert f"HEADWAY_TARGET={WEB}:{world.port}" in finding.fix

    with_cluster(tmp_path, test)


def test_an_srv_name_that_is_searched_for(tmp_path: Path) -> None:
    """SRV costs one query for each name; the fix stays an SRV target."""

    async def test(world: Cluster) -> None:
        target = f"srv://_http._tcp.{WEB.rstrip('.')}"
        ended = await world.doctor(TARGET=target, LISTEN="127.0.0.1:1")

        # It has six dots: with ndots:5 it is asked as it is.
        assert ended.findings == []
        finding = (await world.doctor(TARGET="srv://_http._tcp.web.demo", LISTEN="127.0.0.1:1")).only("ndots")
        assert "costs 1 more queries" in finding.what
        assert f"HEADWAY_TARGET=srv://_http._tcp.{WEB}" in finding.fix

    with_cluster(tmp_path, test)


def test_a_cluster_ip_by_its_srv_record(tmp_path: Path) -> None:
    """Its SRV record leads to the Service itself: `0 100 80 vip.demo...`, as CoreDNS has it."""

    async def test(world: Cluster) -> None:
        vip = "vip.demo.svc.cluster.local."
        world.dns.set(vip, IPS[:1])
        world.dns.set_srv(vip, [(vip, 80)])
        world.dns.set_srv(f"_http._tcp.{vip}", [(vip, world.port)])
        by_name = (await world.doctor(TARGET=f"{vip}:80")).only("not_headless", "vip")
        by_srv = await world.doctor(TARGET=f"srv://_http._tcp.{vip}", LISTEN="127.0.0.1:1")

        assert "0 100 80 vip.demo.svc.cluster.local" in by_name.what
        assert "clusterIP: None" in by_name.fix
        assert "`vip-pods`" in by_name.fix
        assert by_srv.only("not_headless", "vip").fix == by_name.fix

    with_cluster(tmp_path, test)


@pytest.mark.parametrize(
    "variable,host,proof",
    [
        ("WEB_SERVICE_HOST", "127.0.0.21", "its address 127.0.0.21 is the cluster ip in WEB_SERVICE_HOST"),
        ("KUBERNETES_SERVICE_HOST", "127.0.1.1", "looks like a cluster ip"),
        ("KUBERNETES_SERVICE_HOST", "127.1.0.1", ""),
        ("KUBERNETES_SERVICE_HOST", "fd00::1", ""),
        ("KUBERNETES_SERVICE_HOST", "api.example", ""),
    ],
)
def test_a_cluster_ip_by_the_variables_of_services(
    tmp_path: Path, variable: str, host: str, proof: str
) -> None:
    """A DNS without SRV: the address is one that Kubernetes put into the environment, or close to it."""

    async def test(world: Cluster) -> None:
        world.dns.set(WEB, IPS[:1])
        world.dns.set_srv(WEB, [])
        world.env[variable] = host
        ended = await world.doctor()

        if proof:
            assert proof in ended.only("not_headless").what
        else:
            assert ended.findings == []

    with_cluster(tmp_path, test)


@pytest.mark.parametrize(
    "variable,host", [("KUBERNETES_SERVICE_HOST", "127.0.1.1"), ("WEB_SERVICE_HOST", IPS[0])]
)
def test_one_pod_is_headless_when_srv_names_it(tmp_path: Path, variable: str, host: str) -> None:
    """A single pod is a pod when SRV says so, whatever somebody put into the environment."""

    async def test(world: Cluster) -> None:
        world.serve(WEB, IPS[:1])
        world.env[variable] = host

        assert (await world.doctor()).findings == []

    with_cluster(tmp_path, test)


def test_what_only_looks_like_a_cluster_ip_is_checked_all_the_same(tmp_path: Path) -> None:
    """A single pod in the Services' /16 that is down: both are said, since it may well be a pod."""

    async def test(world: Cluster) -> None:
        world.dns.set(WEB, IPS[:1])
        world.dns.set_srv(WEB, [])
        world.env["KUBERNETES_SERVICE_HOST"] = "127.0.1.1"
        await world.pods[0].close()

        assert (await world.doctor()).codes == ["not_headless", "checks_fail"]

    with_cluster(tmp_path, test)
