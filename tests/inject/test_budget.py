"""Pods with resources of their own: the sidecar shares them with the application, or does not fit in."""

from typing import Any

import pytest

from tests.inject.pods import order, pod, reasons, said

SIDECAR = {"restartPolicy": "Always"}


def whole(**amounts: Any) -> dict[str, Any]:
    """`whole(requests_memory="1Gi")`: resources, of a pod or of a container."""
    resources: dict[str, Any] = {}
    for name, text in amounts.items():
        kind, _, resource = name.partition("_")
        resources.setdefault(kind, {})[resource] = text
    return {"resources": resources}


def init(*containers: dict[str, Any]) -> dict[str, Any]:
    return {"initContainers": [{"name": f"init-{at}", **each} for at, each in enumerate(containers)]}


def test_a_classic_sidecar_with_a_larger_limit_than_the_pods() -> None:
    """The API server refuses it, so we do, and name both ways out."""
    small = pod(**whole(limits_memory="128Mi", requests_memory="100Mi"))

    assert reasons(small, order(classic=True)) == [
        "the sidecar's memory limit 256Mi is more than spec.resources.limits.memory, 128Mi for the whole pod:"
        " raise that, or lower headway.dev/memory-limit"
    ]
    assert reasons(small, order(classic=True, memory_limit="128Mi")) == []
    assert reasons(pod(**whole(limits_memory="268435456")), order(classic=True)) == []


def test_a_native_sidecar_with_a_larger_limit_than_the_pods() -> None:
    """Of init containers the API server compares no limit; that the pod's is what counts is said."""
    small = pod(**whole(limits_memory="128Mi", requests_memory="100Mi"))

    assert said(small, order()) == [
        "the sidecar's memory limit 256Mi is more than spec.resources.limits.memory, 128Mi for the whole pod:"
        " it may take what the application needs"
    ]
    assert said(small, order(memory_limit="128Mi")) == []


@pytest.mark.parametrize("classic", [False, True])
@pytest.mark.parametrize(
    "resources,app,reason",
    [
        (
            whole(requests_memory="1Gi"),
            whole(requests_memory="1000Mi"),
            "with the sidecar the containers request 1064Mi of memory, more than"
            " spec.resources.requests.memory, 1Gi for the whole pod:"
            " raise that, or lower headway.dev/memory, which is 64Mi",
        ),
        (
            whole(requests_cpu=1),
            whole(requests_cpu="0.995"),
            "with the sidecar the containers request 1005m of cpu, more than spec.resources.requests.cpu,"
            " 1 for the whole pod: raise that, or lower headway.dev/cpu, which is 10m",
        ),
        (  # the request that the API server fills in is that of the containers: it may not pass the limit
            whole(limits_memory="1Gi"),
            whole(requests_memory="1000Mi"),
            "with the sidecar the containers request 1064Mi of memory, more than"
            " spec.resources.limits.memory, 1Gi for the whole pod:"
            " raise that, or lower headway.dev/memory, which is 64Mi",
        ),
        (  # a container without a request requests its limit
            whole(requests_memory="1Gi"),
            whole(limits_memory="1Gi"),
            "with the sidecar the containers request 1088Mi of memory, more than"
            " spec.resources.requests.memory, 1Gi for the whole pod:"
            " raise that, or lower headway.dev/memory, which is 64Mi",
        ),
    ],
)
def test_more_requested_than_the_pod_has(
    resources: dict[str, Any], app: dict[str, Any], reason: str, classic: bool
) -> None:
    """What the containers request together with the sidecar must fit into the pod's own request."""
    assert reasons(pod(app, **resources), order(classic=classic)) == [reason]


@pytest.mark.parametrize("classic", [False, True])
@pytest.mark.parametrize(
    "resources,app",
    [
        (whole(requests_memory="1064Mi"), whole(requests_memory="1000Mi")),
        (whole(requests_cpu="1"), whole(requests_cpu="990m", requests_memory="10Gi")),
        (whole(requests_memory="1Gi"), whole(requests_memory="100Mi", limits_memory="1Gi")),
        (whole(requests_memory="1Gi", limits_memory="2Gi"), {}),
        ({"resources": None}, whole(requests_memory="1Gi")),
        ({"resources": {"requests": None, "limits": "none"}}, {"resources": [1]}),
        (whole(requests_memory="much"), whole(requests_memory="more")),  # which the API server tells them
    ],
)
def test_what_fits(resources: dict[str, Any], app: dict[str, Any], classic: bool) -> None:
    """Exactly enough is enough, and what is not set limits nothing."""
    assert reasons(pod(app, **resources), order(classic=classic)) == []


@pytest.mark.parametrize(
    "containers,native,classic",
    [
        ([whole(requests_memory="400Mi")], 464, 400),  # before the application: beside a native sidecar only
        ([whole(requests_memory="100Mi")], 264, 264),
        ([SIDECAR | whole(requests_memory="300Mi")], 564, 564),
        ([SIDECAR | whole(requests_memory="300Mi"), whole(requests_memory="700Mi")], 1064, 1000),
        ([whole(requests_memory="700Mi"), SIDECAR | whole(requests_memory="300Mi")], 764, 700),
    ],
)
def test_init_containers(containers: list[dict[str, Any]], native: int, classic: int) -> None:
    """As Kubernetes counts: who runs at the same time is added up, and the worst time decides."""
    for is_classic, needed in ((False, native), (True, classic)):
        for given, fits in ((needed, True), (needed - 1, False)):
            subject = pod(
                whole(requests_memory="200Mi"), **whole(requests_memory=f"{given}Mi"), **init(*containers)
            )

            found = reasons(subject, order(classic=is_classic))
            assert not found if fits else f"request {needed}Mi of memory" in found[0]


def test_the_earlier_sidecar_is_not_counted() -> None:
    """A second run finds as much room as the first."""
    subject = pod(whole(requests_memory="100Mi"), **whole(requests_memory="164Mi"))

    assert said(subject, order()) == []
    assert said(subject, order()) == []
    assert said(subject, order(memory="32Mi")) == []
    assert len(reasons(subject, order(memory="65Mi"))) == 1


@pytest.mark.parametrize("classic", [False, True])
def test_a_pod_that_would_have_requested_its_limit(classic: bool) -> None:
    """With the sidecar a container has a request, which is then all that the pod requests."""
    limited = whole(limits_memory="4Gi", limits_cpu=2)

    assert said(pod(**limited), order(classic=classic)) == [
        "no other container requests cpu, so that the pod no longer requests its limit, 2, but 10m:"
        " set spec.resources.requests.cpu",
        "no other container requests memory, so that the pod no longer requests its limit, 4Gi, but 64Mi:"
        " set spec.resources.requests.memory",
    ]
    assert said(pod(whole(limits_cpu=1, requests_memory="1Gi"), **limited), order(classic=classic)) == []
    requests = {"requests": {"cpu": 1, "memory": "1Gi"}}
    assert said(pod(resources=limited["resources"] | requests), order(classic=classic)) == []
