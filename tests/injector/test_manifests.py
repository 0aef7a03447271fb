"""deploy/injector: what kubectl makes of it is valid, fits together, and grants no right too many."""

import re
import shutil
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from proxy import __version__
from proxy.inject.order import DOMAIN, ordered
from proxy.inject.workloads import KINDS
from proxy.injector.authority import issue, why_renew
from proxy.injector.command import injector
from tests.injector.cluster import Cluster
from tests.injector.replicas import Replica, play
from tests.injector.scenes import DEFAULTS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]

HERE = Path(__file__).parents[2] / "deploy" / "injector"
WAYS = [".", "cert-manager"]
CONFIGURATION, DEPLOYMENT = "MutatingWebhookConfiguration", "Deployment"
Manifests = dict[tuple[str, str], Any]


@cache
def rendered(way: str) -> Manifests:
    """What `kubectl apply -k` would send, by kind and name."""
    made = subprocess.run(
        ["kubectl", "kustomize", str(HERE / way)], check=True, capture_output=True, text=True, timeout=60
    )
    listed = list(yaml.safe_load_all(made.stdout))
    found = {(each["kind"], each["metadata"]["name"]): each for each in listed}
    assert len(found) == len(listed)
    return found


def the(way: str, kind: str) -> Any:
    return rendered(way)[kind, "headway-injector"]


def pod_of(way: str) -> Any:
    return the(way, DEPLOYMENT)["spec"]["template"]


def container(way: str) -> Any:
    (only,) = pod_of(way)["spec"]["containers"]
    return only


@pytest.mark.parametrize("version", ["1.29", "1.34", "1.37"])
@pytest.mark.parametrize("way", WAYS)
def test_valid(way: str, version: str) -> None:
    """Every object passes the schema of old and new clusters, with no field that they do not know."""
    for (kind, _), manifest in rendered(way).items():
        if not manifest["apiVersion"].startswith("cert-manager.io/"):
            kubernetes_validate.validate(manifest, version, strict=True)
        assert manifest["metadata"].get("namespace", "headway-system") == "headway-system", kind


def test_what_there_is() -> None:
    """The rights exist only where the injector makes its own certificate."""
    common = {"Namespace", "ServiceAccount", "Service", DEPLOYMENT, "PodDisruptionBudget", "NetworkPolicy"}
    rights = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
    certificates = {"Issuer", "Certificate"}

    assert {kind for kind, _ in rendered(".")} == common | {CONFIGURATION} | rights
    assert {kind for kind, _ in rendered("cert-manager")} == common | {CONFIGURATION} | certificates
    mounted = [pod_of(way)["spec"]["automountServiceAccountToken"] for way in WAYS]
    assert mounted == [True, False]


@pytest.mark.parametrize("way", WAYS)
def test_the_webhook(way: str) -> None:
    """It can stop nothing from starting, and never waits for itself or the cluster's own pods."""
    webhook, _ = the(way, CONFIGURATION)["webhooks"]
    (rule,) = webhook["rules"]

    assert (webhook["failurePolicy"], webhook["sideEffects"]) == ("Ignore", "None")
    assert (webhook["timeoutSeconds"], webhook["reinvocationPolicy"]) == (5, "IfNeeded")
    assert webhook["admissionReviewVersions"] == ["v1"]
    assert (rule["operations"], rule["resources"]) == (["CREATE"], ["pods"])
    enabled = {"headway.dev/injection": "enabled"}
    assert [
        selects(webhook["namespaceSelector"], named(name) | enabled) for name in ("shop", "kube-system")
    ] == [
        True,
        False,
    ]
    assert not selects(webhook["namespaceSelector"], named("headway-system") | enabled)
    assert not selects(webhook["namespaceSelector"], named("shop"))
    assert not selects(webhook["namespaceSelector"], named("shop") | {"headway.dev/injection": "disabled"})


@pytest.mark.parametrize("way", WAYS)
def test_the_webhook_that_only_advises(way: str) -> None:
    """It hears of the workloads that we know, where the other hears of their pods, and holds up nothing."""
    webhook, advice = the(way, CONFIGURATION)["webhooks"]
    kinds = {kind.lower() + "s": groups for kind, (groups, _) in KINDS.items()}

    assert (advice["failurePolicy"], advice["sideEffects"]) == ("Ignore", "None")
    assert advice["timeoutSeconds"] == 1
    assert all(
        advice[key] == webhook[key]
        for key in ("namespaceSelector", "objectSelector", "admissionReviewVersions")
    )
    for rule in advice["rules"]:
        assert all(rule["apiGroups"][0] in kinds[each] for each in rule["resources"])
        assert "CREATE" in rule["operations"]


def named(namespace: str) -> dict[str, str]:
    return {"kubernetes.io/metadata.name": namespace}


def selects(selector: Any, labels: dict[str, str]) -> bool:
    """As Kubernetes does: NotIn is also true of a label that is not there."""
    return all(
        (labels.get(each["key"]) in each["values"]) == (each["operator"] == "In")
        for each in selector["matchExpressions"]
    )


def test_pods_that_decline() -> None:
    """The label and the annotation are one word and mean the same; the injector's own pods are left out."""
    webhook, _ = the(".", CONFIGURATION)["webhooks"]
    selector = webhook["objectSelector"]

    assert selects(selector, {})
    assert selects(selector, {"app": "shop", f"{DOMAIN}inject": "true"})
    assert not selects(selector, {f"{DOMAIN}inject": "false"})
    assert ordered({f"{DOMAIN}inject": "false"}, DEFAULTS) is None
    assert not selects(selector, pod_of(".")["metadata"]["labels"])


@pytest.mark.parametrize("way", WAYS)
def test_the_way_from_the_api_server(way: str) -> None:
    """Webhook, Service, Deployment, budget and policy find each other by name, port and label."""
    webhook, advice = the(way, CONFIGURATION)["webhooks"]
    service, pod, labels = the(way, "Service"), container(way), pod_of(way)["metadata"]["labels"]
    (port,) = service["spec"]["ports"]
    ports = {each["name"]: each["containerPort"] for each in pod["ports"]}
    options = parsed(way)

    assert webhook["clientConfig"] == advice["clientConfig"]
    assert webhook["clientConfig"]["service"] == {
        "namespace": "headway-system",
        "name": service["metadata"]["name"],
        "path": "/inject",
        "port": port["port"],
    }
    assert ports[port["targetPort"]] == options["listen"].port
    assert ports["telemetry"] == options["telemetry"].port
    for selector in (
        service["spec"]["selector"],
        the(way, DEPLOYMENT)["spec"]["selector"]["matchLabels"],
        the(way, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        the(way, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    assert {each["port"] for each in the(way, "NetworkPolicy")["spec"]["ingress"][0]["ports"]} == set(ports)


def parsed(way: str) -> dict[str, Any]:
    """What the command line in the Deployment means to the command."""
    arguments = [*container(way)["command"], *container(way).get("args", [])]
    assert arguments[:4] == ["python", "-m", "proxy", "injector"]
    app = typer.Typer(add_completion=False)
    app.command()(injector)
    return typer.main.get_command(app).make_context("injector", arguments[4:]).params


@pytest.mark.parametrize("way", WAYS)
def test_the_command_line(way: str) -> None:
    """The options exist, and the files are where the volume is."""
    options = parsed(way)
    (mount,) = container(way)["volumeMounts"]
    (volume,) = pod_of(way)["spec"]["volumes"]

    assert options["self_signed"] is (way == ".")
    assert str(options["certificates"]) == mount["mountPath"]
    assert mount["name"] == volume["name"]
    assert options["image"] == container(way)["image"] == f"headway:{__version__}"
    if way == ".":
        assert volume["emptyDir"]["medium"] == "Memory"
    else:
        assert volume["secret"]["secretName"] == options["secret"]


@pytest.mark.parametrize("way", WAYS)
def test_it_runs_restricted(way: str) -> None:
    """The namespace enforces the strictest Pod Security Standard, which this pod obeys."""
    security = {**pod_of(way)["spec"]["securityContext"], **container(way)["securityContext"]}

    assert rendered(way)["Namespace", "headway-system"]["metadata"]["labels"][
        "pod-security.kubernetes.io/enforce"
    ] == ("restricted")
    assert security["runAsNonRoot"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("way", WAYS)
def test_two_of_them(way: str) -> None:
    """One may always be taken away, on a cluster of a single node as well."""
    spec = the(way, DEPLOYMENT)["spec"]
    spread = spec["template"]["spec"]["topologySpreadConstraints"]

    assert spec["replicas"] == 2
    assert the(way, "PodDisruptionBudget")["spec"]["minAvailable"] == 1
    assert {each["whenUnsatisfiable"] for each in spread} == {"ScheduleAnyway"}
    assert parsed(way)["drain"] + 5 < spec["template"]["spec"]["terminationGracePeriodSeconds"]


def granted() -> set[tuple[str, str, str]]:
    """Every right: verb, resource, and the only name it holds for."""
    rules = [*the(".", "Role")["rules"], *the(".", "ClusterRole")["rules"]]
    return {
        (verb, resource, name)
        for rule in rules
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def test_exactly_the_rights_it_needs(tmp_path: Path) -> None:
    """From the first start to a renewal it asks for all that it is granted, and for nothing else."""
    verbs = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}
    asked = set()

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        await a.bootstrap.once()
        a.clock.advance(70 * 86400)
        await a.bootstrap.once()
        for method, path in cluster.asked:
            found = re.search(r"/(secrets|mutatingwebhookconfigurations)(?:/([\w-]+))?$", path)
            assert found is not None
            asked.add((verbs[method], found[1], found[2] or ""))

    play(tmp_path, scene)

    assert asked == granted()


def test_the_certificate_of_cert_manager() -> None:
    """It is for the names that our own would be for, and its authority is the one that is trusted."""
    certificate = the("cert-manager", "Certificate")["spec"]
    annotations = the("cert-manager", CONFIGURATION)["metadata"]["annotations"]

    assert annotations == {"cert-manager.io/inject-ca-from": "headway-system/headway-injector"}
    now = datetime.now(UTC)
    options = parsed("cert-manager")
    names = [
        f"{options['service']}.headway-system.svc",
        f"{options['service']}.headway-system.svc.cluster.local",
    ]
    assert why_renew(issue(certificate["dnsNames"], now), names, now) == ""
