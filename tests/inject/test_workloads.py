"""Where pods are: in the lists of the API, and in kinds that only others know."""

import json
from typing import Any

import pytest
import yaml

from proxy.inject.manifest import Rewritten, rewrite, uninjecting
from tests.inject.texts import inject, ok, out

CONTAINERS = {"containers": [{"name": "app", "image": "app:1"}]}
TARGET = {"headway.dev/target": "orders:8080"}
PODS = """\
apiVersion: v1
kind: PodList
metadata: {resourceVersion: "7"}
items:
- metadata:
    name: one
  spec: # as the API answers: only the list says what they are
    containers:
    - name: app
      image: app:1
- apiVersion: v1
  kind: Pod
  metadata: {name: two}
  spec:
    containers:
    - name: app
      image: app:1
"""


def manifest(kind: str, version: str = "example.org/v1", **more: Any) -> str:
    return json.dumps({"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, **more})


def passed_over(text: str, target: str | None = "orders:8080") -> list[str]:
    """The objects that are said to stay as they are; and they do."""
    result = inject(text, target)
    assert result == Rewritten(text, text, passed_over=result.passed_over)
    return [each.removeprefix("app.yaml, document 1 (line 1), ") for each in result.passed_over]


# --- lists --------------------------------------------------------------------------------------


def test_a_list_of_pods() -> None:
    """Each pod gets its sidecar, whether it says that it is one or not; and it goes again."""
    changed = ok(PODS)

    pods = yaml.safe_load(changed)["items"]
    assert [each["spec"]["initContainers"][0]["name"] for each in pods] == ["headway", "headway"]
    assert "kind" not in pods[0]
    assert "  spec: # as the API answers: only the list says what they are\n" in changed
    assert out(changed) == PODS


@pytest.mark.parametrize(
    "kind,version,path",
    [
        ("Pod", "v1", []),
        ("PodTemplate", "v1", ["template"]),
        ("Deployment", "apps/v1", ["spec", "template"]),
        ("Job", "batch/v1", ["spec", "template"]),
        ("CronJob", "batch/v1", ["spec", "jobTemplate", "spec", "template"]),
    ],
)
def test_lists_of_every_kind(kind: str, version: str, path: list[str]) -> None:
    """The kind of a list is that of its items, with List at the end."""
    item: dict[str, Any] = {"spec": CONTAINERS}
    for key in reversed(path):
        item = {key: item}
    result = inject(json.dumps({"apiVersion": version, "kind": f"{kind}List", "items": [item, item]}))

    assert (result.refusals, result.wanted, result.text.count("startupProbe")) == ([], 2, 2)


def test_where_an_item_of_a_list_is_refused() -> None:
    """It has the name that it would have had with its kind."""
    result = inject(PODS.replace("- name: app", "- name: headway"))

    assert [each.split(":\n")[0] for each in result.refusals] == [
        "app.yaml, document 1 (line 1), Pod one",
        "app.yaml, document 1 (line 1), Pod two",
    ]
    assert result.kept == ""


# --- other kinds --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text,title",
    [
        (manifest("Rollout", spec={"template": {"spec": CONTAINERS}}), "example.org/v1 Rollout web"),
        (manifest("Pod", spec=CONTAINERS), "example.org/v1 Pod web"),
        (manifest("Job", spec={"tasks": [{"template": {"spec": CONTAINERS}}]}), "example.org/v1 Job web"),
        (
            manifest("JobSet", spec={"jobs": [{"template": {"spec": {"template": {"spec": CONTAINERS}}}}]}),
            "example.org/v1 JobSet web",
        ),
        (
            json.dumps({"apiVersion": "a/v1", "kind": "RolloutList", "items": [{"spec": CONTAINERS}]}),
            "a/v1 Rollout …",
        ),
    ],
)
def test_pods_of_other_kinds(text: str, title: str) -> None:
    """Where all pods get a sidecar, those that do not are named; where nobody asked, nothing is."""
    assert passed_over(text) == [title]
    assert passed_over(text, target=None) == []


@pytest.mark.parametrize(
    "text",
    [
        manifest("Rollout", spec={"template": {"metadata": {"annotations": TARGET}, "spec": CONTAINERS}}),
        manifest("Workflow", spec={"podMetadata": {"annotations": TARGET}}),
        manifest("Namespace", "v1", metadata={"name": "web", "annotations": TARGET}),
        manifest("Rollout", metadata={"name": "web", "annotations": {"headway.dev/inject": "maybe"}}),
    ],
)
def test_annotations_of_other_kinds(text: str) -> None:
    """Whoever asks hears that nothing was done, wherever the annotation stands."""
    kind = json.loads(text)["kind"]

    assert [each.split()[1:] for each in passed_over(text, target=None)] == [[kind, "web"]]


@pytest.mark.parametrize(
    "text",
    [
        manifest(
            "Rollout",
            spec={
                "template": {"metadata": {"annotations": {"headway.dev/inject": "false"}}, "spec": CONTAINERS}
            },
        ),
        manifest("Rollout", spec={"template": {"spec": {"containers": [{"name": "headway"}]}}}),
        manifest("Service", "v1", spec={"ports": [{"port": 80}]}),
        manifest("Rollout", spec={"workloadRef": {"kind": "Deployment", "name": "web"}}),
        manifest(
            "CustomResourceDefinition",
            spec={"schema": {"properties": {"spec": {"properties": {"containers": {"type": "array"}}}}}},
        ),
    ],
)
def test_other_kinds_with_nothing_to_say(text: str) -> None:
    """They decline, somebody has written the sidecar in, or they have no pods."""
    assert passed_over(text) == []


def test_a_known_kind_beside_an_unknown_one() -> None:
    """In one list: the one is changed, the other named."""
    rollout = {"apiVersion": "example.org/v1", "kind": "Rollout", "spec": {"template": {"spec": CONTAINERS}}}
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": CONTAINERS}
    result = inject(json.dumps({"apiVersion": "v1", "kind": "List", "items": [rollout, pod]}))

    changed = json.loads(result.text)["items"]
    assert changed[0] == rollout
    assert changed[1]["spec"]["initContainers"][0]["name"] == "headway"
    assert [each.split(", ")[-1] for each in result.passed_over] == ["example.org/v1 Rollout …"]


def test_uninject_names_only_what_was_injected() -> None:
    """A wish for a sidecar is none for its end."""
    wish, mark = (
        manifest("Rollout", spec={"template": {"metadata": {"annotations": each}, "spec": CONTAINERS}})
        for each in (TARGET, {"headway.dev/injected": "0.1.0"})
    )

    assert rewrite("app.yaml", wish, uninjecting).passed_over == []
    assert len(rewrite("app.yaml", mark, uninjecting).passed_over) == 1
