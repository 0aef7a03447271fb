"""What whoever applies a pod or a workload is warned of by `kubectl apply`."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.inject.order import INJECTED, Order
from proxy.injector.advice import LONGEST, MOST_WARNINGS, as_warnings
from proxy.injector.reviews import BadReview, Result, review
from tests.injector.scenes import DEFAULTS, TARGET, asking, pod
from tests.injector.test_reviews import FIELDS, FOR_ALL, JSON, PARTS

TYPO = TARGET | {"headway.dev/balancr": "p2c"}
UNKNOWN = "annotation headway.dev/balancr is not known; did you mean headway.dev/balancer?"
SLOW = TARGET | {"headway.dev/drain-timeout": "40s"}
SHORT = (
    "headway: HEADWAY_DRAIN_TIMEOUT is 40 s, but the kubelet kills after terminationGracePeriodSeconds, 30 s"
)


def by_a_person(about: Any) -> Any:
    del about["metadata"]["ownerReferences"]
    return about


def workload(
    annotations: dict[str, str] | None = None, kind: str = "Deployment", group: str = "apps", **metadata: Any
) -> dict[str, Any]:
    """As an API server has it: the pod's metadata has what its author wrote, and labels."""
    written = pod(annotations)
    template: Any = {"metadata": {"labels": {"app": "shop"}}, "spec": written["spec"]}
    if annotations is not None:
        template["metadata"]["annotations"] = annotations
    spec = {"template": template}
    if kind == "CronJob":
        spec = {"schedule": "0 3 * * *", "jobTemplate": {"spec": spec}}
    return {"kind": kind, "apiVersion": f"{group}/v1", "metadata": {"name": "shop", **metadata}, "spec": spec}


def told(about: Any, defaults: Order | None = DEFAULTS, before: Any = None, **request: Any) -> list[str]:
    """The warnings; a workload is let through as it is, whatever they are."""
    group, _, version = about["apiVersion"].rpartition("/")
    kind = {"group": group, "version": version, "kind": about["kind"]}
    operation = "UPDATE" if before else "CREATE"
    asked = {"kind": kind, "operation": operation, "oldObject": before, **request}
    answer = review(json.dumps(asking(about, **asked)).encode(), defaults)
    response = json.loads(answer.body)["response"]
    if about["kind"] != "Pod":
        assert (answer.result, answer.reason) == (Result.UNCHANGED, "")
        assert response.keys() - {"warnings"} == {"uid", "allowed"}
        assert response["allowed"]
    warnings: list[str] = response.get("warnings", [])
    assert warnings or "warnings" not in response
    return warnings


# --- pods ---------------------------------------------------------------------------------------


def test_a_person_who_applies_a_pod() -> None:
    """The pod gets its sidecar, and whoever made it hears what `headway inject` says as well."""
    assert told(by_a_person(pod(SLOW))) == [SHORT]
    assert told(by_a_person(pod(TARGET))) == []


def test_a_controller_that_makes_pods() -> None:
    """It reads nothing; its log would only fill."""
    assert told(pod(SLOW)) == []


# --- workloads ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind,group",
    [
        ("Deployment", "apps"),
        ("StatefulSet", "apps"),
        ("DaemonSet", "apps"),
        ("Job", "batch"),
        ("CronJob", "batch"),
    ],
)
def test_pods_that_will_be_refused(kind: str, group: str) -> None:
    """Else the Deployment is "created", and why there are no pods stands in the events of its ReplicaSet."""
    assert told(workload(TYPO, kind, group)) == [f"headway: its pods will be refused: {UNKNOWN}"]


def test_what_the_command_says() -> None:
    """The pods will run, but not as one may expect."""
    assert told(workload(SLOW)) == [SHORT]


def test_pods_that_asked_for_nothing() -> None:
    """They will start without the sidecar that all others get."""
    about = workload()
    about["spec"]["template"]["spec"]["os"] = {"name": "windows"}

    assert told(about, FOR_ALL) == [
        "headway: its pods will get no sidecar: it runs on Windows, the sidecar on Linux only"
    ]
    assert told(about) == []


@pytest.mark.parametrize("defaults", [DEFAULTS, FOR_ALL])
def test_annotations_in_the_wrong_place(defaults: Order) -> None:
    """On the Deployment instead of its pods nothing would ever read them."""
    declined = {"annotations": {"headway.dev/inject": "false"}}
    said = "headway: headway.dev/inject would count in the annotations of the pod template, not here"

    assert told(workload() | {"metadata": declined}, defaults) == [said]
    assert told(workload(TARGET) | {"metadata": {"annotations": TARGET}}, defaults) == []  # they are in both


@pytest.mark.parametrize(
    "about",
    [
        workload(),
        workload(TARGET),
        workload({"headway.dev/inject": "false", "headway.dev/balancr": "p2c"}),
        workload(TYPO, ownerReferences=[{"kind": "Shop", "name": "shop", "uid": "7"}]),
        workload(TYPO, "Deployment", "example.com"),
        workload(TYPO, "Rollout", "argoproj.io"),
        {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "shop"}},
    ],
)
def test_nothing_to_say(about: dict[str, Any]) -> None:
    """Of pods that will do, or say no, or are nobody's to mend here."""
    assert told(about) == []


def test_pods_that_have_it_already_or_decline_by_label() -> None:
    """The webhook leaves those alone, so there is nothing to say of them."""
    there, declining = workload({**TYPO, INJECTED: "0.1.0"}), workload(TYPO)
    there["spec"]["template"]["spec"]["initContainers"] = [{"name": "headway"}]
    declining["spec"]["template"]["metadata"]["labels"]["headway.dev/inject"] = "false"

    assert told(there) == told(declining) == []


def test_only_what_a_request_changes() -> None:
    """Whoever scales or labels a Deployment did not write its pods, nor does a controller that updates it."""
    before = workload(TYPO, labels={"a": "b"})

    assert told(workload(TYPO, labels={"a": "c"}), before=before) == []
    assert told(workload(SLOW), before=before) == [SHORT]
    assert told(workload(TYPO), operation="DELETE") == []
    assert told(workload(TYPO), before=before, subResource="status") == []


# --- as Kubernetes wants them -------------------------------------------------------------------


def test_no_more_than_kubernetes_passes_on() -> None:
    """It cuts at 256 characters each and 4096 of all webhooks together, and drops what has a line break."""
    many = as_warnings([f"{number} " + "long " * 100 for number in range(30)])

    assert max(map(len, many)) == LONGEST
    assert len(many) == MOST_WARNINGS
    assert many[-1] == "headway: 21 more warnings"
    assert as_warnings(["a\nb\x7f\u2028c"]) == ["headway: a b  c"]
    assert as_warnings(["x"] * MOST_WARNINGS) == ["headway: x"] * MOST_WARNINGS


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.dictionaries(st.sampled_from(PARTS), JSON), JSON)
@settings(max_examples=60, deadline=None)
def test_workloads_that_no_api_server_sends(spec: Any, container: Any, metadata: Any) -> None:
    """Whatever stands where, there are warnings or a rejection, never a crash."""
    about = workload(TARGET) | {"metadata": metadata}
    about["spec"]["template"]["spec"] |= {"containers": [{"name": "app", **container}], **spec}
    try:
        told(about)
    except BadReview:
        return
