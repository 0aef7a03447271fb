"""The manifests in deploy/ are what Kubernetes takes, with the one sidecar that the README shows."""

import kubernetes_validate
import pytest

from tests.deploy.kustomize import (
    APPLICATIONS,
    CLASSIC,
    DEPLOY,
    DIRECTORIES,
    clients,
    load,
    needs_kubectl,
    readme_sidecar,
    rendered,
    workloads,
)

pytestmark = needs_kubectl

NATIVE_SINCE = "1.29"
OLDEST = "1.25"  # that kubernetes-validate knows
NEWEST = kubernetes_validate.latest_version()
CUSTOM = "monitoring.coreos.com/"  # of the Prometheus operator; test_monitoring.py looks at these


@pytest.mark.slow
@pytest.mark.parametrize("directory", DIRECTORIES)
def test_every_object_is_valid(directory: str) -> None:
    """No unknown field and no wrong value, in the oldest and the newest version a directory is meant for."""
    oldest = NATIVE_SINCE if directory in APPLICATIONS and directory != CLASSIC else OLDEST

    assert rendered(directory)
    for each in rendered(directory):
        if not each["apiVersion"].startswith(CUSTOM):
            for version in (oldest, NEWEST):
                kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_nothing_is_there_twice_or_nowhere(directory: str) -> None:
    """Every object has a namespace, and no two of a kind have the same name in it."""
    names = [
        (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace"))
        for each in rendered(directory)
    ]

    assert len(set(names)) == len(names)
    assert {kind for kind, _, namespace in names if not namespace} <= {"Namespace"}


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_every_file_is_used(directory: str) -> None:
    """No manifest lies beside a kustomization that has forgotten it."""
    index = load(DEPLOY / directory / "kustomization.yaml")
    patches = [each["path"] for each in index.get("patchesJson6902", [])]
    generated = [file for each in index.get("configMapGenerator", []) for file in each["files"]]
    listed = {*index.get("resources", []), *index.get("patchesStrategicMerge", []), *patches, *generated}

    there = {each.name for each in (DEPLOY / directory).iterdir()} - {"kustomization.yaml"}

    assert there == listed


@pytest.mark.parametrize("directory", APPLICATIONS)
def test_the_sidecar_is_that_of_the_readme(directory: str) -> None:
    """Only HEADWAY_ variables differ, and restartPolicy where there are no native sidecars."""
    expected = readme_sidecar()
    if directory == CLASSIC:
        del expected["restartPolicy"]

    assert clients(directory)
    for client in clients(directory):
        own = {
            **client.sidecar,
            "env": [each for each in client.sidecar["env"] if not each["name"].startswith("HEADWAY_")],
        }
        expected["env"] = [each for each in expected["env"] if not each["name"].startswith("HEADWAY_")]
        assert own == expected


def test_the_base_has_the_readmes_settings() -> None:
    """The first thing that people try is, to the letter, what they have read."""
    [client] = clients("base")

    assert client.sidecar == readme_sidecar()


@pytest.mark.parametrize("directory", APPLICATIONS)
def test_the_sidecar_starts_first(directory: str) -> None:
    """A native sidecar is the first init container; a plain one the first container."""
    for client in clients(directory):
        home = "containers" if directory == CLASSIC else "initContainers"

        assert client.spec[home][0] is client.sidecar
        assert ("restartPolicy" in client.sidecar) is (directory != CLASSIC)
        if directory == CLASSIC:
            assert "initContainers" not in client.spec


def test_each_overlay_is_about_what_its_name_says() -> None:
    """The table in deploy/README.md is true."""
    kinds = {directory: {each.workload["kind"] for each in clients(directory)} for directory in APPLICATIONS}
    several = [len(each.settings.services) for each in clients("overlays/several")]
    targets = [str(each.settings.services[0].target) for each in clients("overlays/statefulset")]

    assert kinds["base"] == {"Deployment"}
    assert "Job" in kinds["overlays/job"]
    assert "StatefulSet" in kinds["overlays/statefulset"]
    assert any(target.startswith("srv://") for target in targets)
    assert several == [2]


@pytest.mark.parametrize("directory", APPLICATIONS)
def test_the_readme_lists_the_directory(directory: str) -> None:
    """Whoever looks for the right overlay finds it in the table."""
    assert f"| `{directory}` |" in (DEPLOY / "README.md").read_text()


@pytest.mark.parametrize("directory", APPLICATIONS)
def test_selectors_find_their_pods(directory: str) -> None:
    """A workload selects exactly its own template."""
    for workload in workloads(directory):
        if selector := workload["spec"].get("selector"):
            assert selector["matchLabels"] == workload["spec"]["template"]["metadata"]["labels"]
