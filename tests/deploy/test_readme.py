"""The steps that the READMEs tell people to take lead to what deploy/ has."""

import json
import re

import pytest

from proxy.inject.order import Order, ordered
from tests.deploy.kustomize import DEPLOY, Object, load, named, needs_kubectl, rendered
from tests.tables import README

TOLD = README.read_text()
APPLIED = {*re.findall(r"-k deploy/([\w/-]+)", TOLD), "injector/cert-manager"}
STEPS = TOLD.split("## From zero to a balanced application")[1].split("```")[1]
KINDS = {"deploy": "Deployment", "deployment": "Deployment", "statefulset": "StatefulSet"}


@needs_kubectl
@pytest.mark.parametrize("directory", sorted(APPLIED))
def test_what_is_to_be_applied_is_there(directory: str) -> None:
    """And kubectl makes objects of it."""
    assert rendered(directory)


def test_the_table_of_directories_is_whole() -> None:
    """Each directory that it lists can be applied, and no example is missing."""
    listed = re.findall(r"^\|.*\| `([\w/-]+)` \|$", (DEPLOY / "README.md").read_text(), re.MULTILINE)

    assert all((DEPLOY / each / "kustomization.yaml").exists() for each in listed)
    assert {f"overlays/{each.name}" for each in (DEPLOY / "overlays").iterdir()} <= set(listed)


@needs_kubectl
def test_the_steps_name_what_the_example_has() -> None:
    """The image that is loaded, the containers that are looked into, the pod that is deleted."""
    shop, orders = named("base", "Deployment", "shop"), named("base", "StatefulSet", "orders")
    [image] = re.findall(r"load docker-image (\S+)", STEPS)
    looked_into = re.findall(r"-n (\w+) (?:logs|exec) (\w+)/(\w+) -c (\w+)", STEPS)

    assert {each["image"] for each in containers(shop) + containers(orders)} == {image}
    assert looked_into
    for namespace, kind, name, container in looked_into:
        workload = named("base", KINDS[kind], name)
        assert workload["metadata"]["namespace"] == namespace
        assert container in [each["name"] for each in containers(workload)]
    assert re.findall(r"delete pod (\S+)-\d|scale (statefulset) (\w+)", STEPS) == [
        ("orders", "", ""),
        ("", "statefulset", "orders"),
    ]


@needs_kubectl
def test_the_webhook_hears_of_pods_as_told() -> None:
    """The label is the one that it selects by, and the annotation asks for a sidecar."""
    webhook, _ = named("injector", "MutatingWebhookConfiguration", "headway-injector")["webhooks"]
    [(label, value)] = re.findall(r"kubectl label namespace \w+ ([\w./]+)=(\w+)", TOLD)
    [patch] = re.findall(r"--patch \\\n +'(.*)'", TOLD)
    annotations = json.loads(patch)["spec"]["template"]["metadata"]["annotations"]
    order = ordered(annotations, Order(image="headway:1", settings={}))

    assert {"key": label, "operator": "In", "values": [value]} in webhook["namespaceSelector"][
        "matchExpressions"
    ]
    assert order is not None
    assert order.settings == {"TARGET": "orders.shop.svc.cluster.local.:8080"}


def test_all_builds_take_the_same_arguments() -> None:
    """Who needs a mirror for `make image` gets Compose's image through it, too."""
    dockerfile, makefile = ((README.parent / name).read_text() for name in ("Dockerfile", "Makefile"))
    arguments = re.findall(r"^ARG (\w+)", dockerfile, re.MULTILINE)
    [passed] = re.findall(r"^FROM_OUTSIDE := (.*)", makefile, re.MULTILINE)
    composed = load(DEPLOY / "compose.yaml")["services"]["orders"]["build"]["args"]

    assert composed == passed.split()
    assert [each for each in arguments if each not in ("VERSION", "REVISION", "CREATED")] == composed


def containers(workload: Object) -> list[Object]:
    spec = workload["spec"]["template"]["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]
