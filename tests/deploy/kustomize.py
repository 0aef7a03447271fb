"""What kubectl makes of the directories in deploy/, as plain objects."""

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from proxy.config import Settings, from_env
from tests.tables import README

Object = dict[str, Any]

DEPLOY = README.parent / "deploy"
KUBECTL = shutil.which("kubectl")
needs_kubectl = pytest.mark.skipif(
    KUBECTL is None, reason="needs kubectl: sudo apt-get install kubernetes-client, or any other"
)

CLASSIC = "overlays/classic"
APPLICATIONS = ["base", *(f"overlays/{each.name}" for each in sorted((DEPLOY / "overlays").iterdir()))]
DIRECTORIES = [*APPLICATIONS, "network-policy", "monitoring", "injector/monitoring"]


class Client(NamedTuple):
    """A pod that has the sidecar: the workload it belongs to, its spec, its containers."""

    workload: Object
    spec: Object
    sidecar: Object
    app: Object

    @property
    def settings(self) -> Settings:
        """What the proxy makes of the sidecar's variables. Raises SettingsError."""
        plain = {each["name"]: each["value"] for each in self.sidecar["env"] if "value" in each}
        return from_env(plain).settings


@cache
def rendered(directory: str) -> list[Object]:
    """The objects of one directory."""
    return _objects(built(DEPLOY / directory))


def built(kustomization: Path) -> str:
    """What `kubectl apply -k` would send."""
    assert KUBECTL
    # What a current kubectl writes to stderr: that fields are deprecated which an older one needs.
    done = subprocess.run(
        [KUBECTL, "kustomize", str(kustomization)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_kind(directory: str, kind: str) -> list[Object]:
    return [each for each in rendered(directory) if each["kind"] == kind]


def named(directory: str, kind: str, name: str) -> Object:
    """The one object of this kind and name."""
    [found] = [each for each in of_kind(directory, kind) if each["metadata"]["name"] == name]
    return found


def workloads(directory: str) -> list[Object]:
    """Whatever makes pods."""
    return [each for each in rendered(directory) if "template" in each.get("spec", {})]


def clients(directory: str) -> list[Client]:
    return [client for each in workloads(directory) for client in _clients(each)]


def _clients(workload: Object) -> Iterator[Client]:
    spec = workload["spec"]["template"]["spec"]
    containers = {each["name"]: each for each in [*spec.get("initContainers", []), *spec["containers"]]}
    if "headway" in containers:
        yield Client(workload, spec, containers["headway"], containers["app"])


def readme_sidecar() -> Object:
    """The container as the project's README shows it."""
    blocks = [block.split("```")[0] for block in README.read_text().split("```yaml")[1:]]
    pods = [each for block in blocks for each in _objects(block) if each.get("kind") == "Pod"]
    [sidecar] = [each for pod in pods for each in pod["spec"].get("initContainers", [])]
    return dict(sidecar)


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def _objects(text: str) -> list[Object]:
    return [each for each in YAML(typ="safe").load_all(StringIO(text)) if each]
