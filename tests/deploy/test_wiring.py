"""Ports, names, probes and times in the manifests agree with the settings and with each other."""

from urllib.parse import urlsplit

import pytest

from proxy.config import ServiceSettings, SrvTarget, StaticTarget
from tests.deploy.kustomize import (
    APPLICATIONS,
    Client,
    Object,
    clients,
    named,
    needs_kubectl,
    of_kind,
    workloads,
)

pytestmark = needs_kubectl

EVERY_CLIENT = pytest.mark.parametrize("directory", APPLICATIONS)


@EVERY_CLIENT
def test_the_settings_are_accepted(directory: str) -> None:
    """`headway check` would have nothing to say."""
    for client in clients(directory):
        assert client.settings.services


@EVERY_CLIENT
def test_the_target_is_a_headless_service_that_is_there(directory: str) -> None:
    """By its full name; with the pods' own port for host:port, and the Service port's name for srv://."""
    for _, settings in _services(directory):
        service, target = _service_behind(directory, settings), settings.target

        [port] = service["spec"]["ports"]
        namespace = service["metadata"]["namespace"]
        host = f"{service['metadata']['name']}.{namespace}.svc.cluster.local."  # complete: no search list
        if isinstance(target, SrvTarget):
            assert target.host == f"_{port['name']}._tcp.{host}"
        else:
            assert str(target) == f"{host}:{_target_port(directory, service)}"
        assert service["spec"]["clusterIP"] == "None"


@EVERY_CLIENT
def test_the_service_finds_pods_that_listen(directory: str) -> None:
    """Its pods open the very port that connections go to, and are ready once they answer there."""
    for _, settings in _services(directory):
        service = _service_behind(directory, settings)

        [container] = _containers_behind(directory, service)
        [port] = container["ports"]
        assert str(port["containerPort"]) in container["command"]
        assert container["readinessProbe"]["httpGet"]["port"] == port["name"]


@EVERY_CLIENT
def test_the_application_connects_where_headway_listens(directory: str) -> None:
    """Each service has a variable <NAME>_URL of the application that names localhost and its port."""
    for client, service in _services(directory):
        urls = [urlsplit(each["value"]) for each in client.app["env"] if each["name"].endswith("_URL")]

        [listen] = service.listen
        assert listen.host in ("127.0.0.1", "localhost")
        assert [each.port for each in urls if each.hostname == "localhost"].count(listen.port) == 1
        assert len(urls) == len(client.settings.services)


@EVERY_CLIENT
def test_probes_and_prometheus_ask_where_telemetry_is(directory: str) -> None:
    """The port that probes and PodMonitor name is TELEMETRY_LISTEN's, which every address of the pod has."""
    for client in clients(directory):
        telemetry = client.settings.telemetry_listen
        [port] = client.sidecar["ports"]

        assert telemetry is not None
        assert (telemetry.host, telemetry.port) == ("", port["containerPort"])
        for probe, path in (("startupProbe", "/readyz"), ("livenessProbe", "/livez")):
            assert client.sidecar[probe]["httpGet"] == {"path": path, "port": port["name"]}
        assert "readinessProbe" not in client.sidecar  # what happens to DNS must not take the application out


@EVERY_CLIENT
def test_nothing_in_the_pod_wants_a_port_of_headways(directory: str) -> None:
    """The listeners, the pages and the containers' ports are all different."""
    for client in clients(directory):
        settings = client.settings
        listens = [*(each for service in settings.services for each in service.listen)]
        pages = settings.telemetry_listen, settings.admin_listen
        ours = [each.port for each in [*listens, *pages] if each]
        theirs = [each["containerPort"] for each in client.app.get("ports", [])]

        assert len({*ours, *theirs}) == len(ours) + len(theirs)


@EVERY_CLIENT
def test_the_grace_period_holds_the_drain(directory: str) -> None:
    """Where Headway gets SIGTERM with the application, it ends by itself before the kubelet kills it."""
    for client in clients(directory):
        assert client.spec.get("terminationGracePeriodSeconds", 30) > client.settings.drain_timeout_s


@EVERY_CLIENT
def test_no_pod_asks_the_api(directory: str) -> None:
    """No RBAC: not even a token."""
    for workload in workloads(directory):
        assert workload["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_a_job_ends_with_its_application() -> None:
    """It does not restart the application, and its sidecar is one that the kubelet stops."""
    [client] = [each for each in clients("overlays/job") if each.workload["kind"] == "Job"]

    assert client.spec["restartPolicy"] == "Never"
    assert client.sidecar["restartPolicy"] == "Always"


def test_dual_stack_listens_on_both_loopbacks() -> None:
    """An application that tries ::1 first for localhost is served, and DNS lists both addresses of a pod."""
    [client] = clients("overlays/dual-stack")
    [service] = client.settings.services

    assert [each.host for each in service.listen] == ["localhost"]
    assert service.ip_family == "auto"
    assert named("overlays/dual-stack", "Service", "orders")["spec"]["ipFamilyPolicy"] == "PreferDualStack"


def test_the_network_policy_lets_through_what_is_needed() -> None:
    """DNS over both transports, the pods on their port, and Prometheus on the telemetry port."""
    [policy] = of_kind("network-policy", "NetworkPolicy")
    [client] = clients("base")
    [settings] = client.settings.services
    service = _service_behind("base", settings)
    dns, pods = policy["spec"]["egress"]
    [telemetry] = policy["spec"]["ingress"]

    labels = client.workload["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"] == labels
    assert policy["metadata"]["namespace"] == client.workload["metadata"]["namespace"]
    assert {(each["protocol"], each["port"]) for each in dns["ports"]} == {("UDP", 53), ("TCP", 53)}
    assert "to" not in dns
    assert pods["to"] == [{"podSelector": {"matchLabels": service["spec"]["selector"]}}]
    assert [each["port"] for each in pods["ports"]] == [_target_port("base", service)]
    assert client.settings.telemetry_listen is not None
    assert [each["port"] for each in telemetry["ports"]] == [client.settings.telemetry_listen.port]
    [monitor] = of_kind("monitoring", "PodMonitor")
    [prometheus] = telemetry["from"]
    namespace = prometheus["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert namespace == monitor["metadata"]["namespace"]


# --- where things are ---------------------------------------------------------------------------


def _services(directory: str) -> list[tuple[Client, ServiceSettings]]:
    found = [(client, each) for client in clients(directory) for each in client.settings.services]
    assert found
    return found


def _service_behind(directory: str, settings: ServiceSettings) -> Object:
    target = settings.target
    assert not isinstance(target, StaticTarget)
    host = target.service if isinstance(target, SrvTarget) else target.host
    return named(directory, "Service", host.split(".")[0])


def _containers_behind(directory: str, service: Object) -> list[Object]:
    wanted = service["spec"]["selector"].items()
    templates = [each["spec"]["template"] for each in workloads(directory)]
    chosen = [each for each in templates if wanted <= each["metadata"]["labels"].items()]
    return [container for each in chosen for container in each["spec"]["containers"]]


def _target_port(directory: str, service: Object) -> int:
    [port] = service["spec"]["ports"]
    [number] = [
        each["containerPort"]
        for container in _containers_behind(directory, service)
        for each in container["ports"]
        if each["name"] == port["targetPort"]
    ]
    return int(number)
