"""Every pod in deploy/ is admitted where a namespace enforces the Pod Security Standard "restricted"."""

from typing import Any

import pytest

from tests.deploy.kustomize import APPLICATIONS, named, needs_kubectl, readme_sidecar, workloads
from tests.deploy.restricted import violations


@needs_kubectl
@pytest.mark.parametrize("directory", APPLICATIONS)
def test_every_pod_is_restricted(directory: str) -> None:
    """The application's and the Service's pods, with and without the sidecar."""
    broken = {
        each["metadata"]["name"]: violations(each["spec"]["template"]["spec"])
        for each in workloads(directory)
    }

    assert broken
    assert not any(broken.values()), broken


@needs_kubectl
def test_the_namespace_enforces_it() -> None:
    """Whoever tries the example sees that it is true."""
    labels = named("base", "Namespace", "shop")["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_readmes_sidecar_is_restricted() -> None:
    """Nor does it write anything: its root file system is read-only, which the standard does not ask for."""
    sidecar = readme_sidecar()

    assert not violations({"containers": [sidecar]})
    assert sidecar["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"privileged": True}, "is privileged"),
        ({"allowPrivilegeEscalation": None}, "may escalate privileges"),
        ({"runAsNonRoot": False}, "may run as root"),
        ({"runAsUser": 0}, "runs as root"),
        ({"capabilities": {"drop": ["NET_RAW"]}}, "keeps capabilities"),
        ({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}, "adds capabilities"),
        ({"seccompProfile": {"type": "Unconfined"}}, "has no seccomp profile"),
        ({"seLinuxOptions": {"type": "spc_t"}}, "has SELinux options of its own"),
        ({"procMount": "Unmasked"}, "has a proc mount of its own"),
    ],
)
def test_a_broken_rule_is_seen(change: dict[str, Any], said: str) -> None:
    """This is a test of the test: each rule finds what it is there for, and nothing else does."""
    sidecar = readme_sidecar()
    sidecar["securityContext"] = {**sidecar["securityContext"], **change}

    assert violations({"containers": [sidecar]}) == [f"headway {said}"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"hostNetwork": True}, "hostNetwork is set"),
        (
            {"volumes": [{"name": "node", "hostPath": {"path": "/"}}]},
            "volume node is of a kind that is not allowed",
        ),
        ({"initContainers": [{"name": "old"}]}, "old may run as root"),
    ],
)
def test_a_broken_rule_of_the_pod_is_seen(spec: dict[str, Any], said: str) -> None:
    """The same for what belongs to the pod, or to a container that only starts it."""
    assert said in violations({"containers": [readme_sidecar()], **spec})
