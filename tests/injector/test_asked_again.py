"""Pods that have the sidecar already: by the command, or by us before other webhooks worked on them."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from proxy import __version__
from proxy.inject.order import INJECTED, Order
from proxy.inject.pod import inject
from proxy.injector.reviews import Result
from tests.injector.scenes import DEFAULTS, TARGET, patched, pod
from tests.injector.test_reviews import FOR_ALL, by_hand, migration, reviewed

PULLED = TARGET | {"headway.dev/image-pull-policy": "IfNotPresent"}


def nothing(sidecar: dict[str, Any]) -> None:
    pass


def filled_in(sidecar: dict[str, Any]) -> None:
    """What the API server puts into every container."""
    sidecar |= {"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"}
    sidecar["volumeMounts"] = [{"name": "kube-api-access-x7l2p", "mountPath": "/var/run/secrets"}]
    for probe in ("startupProbe", "livenessProbe"):
        sidecar[probe] |= {"timeoutSeconds": 1, "successThreshold": 1}


def from_a_mirror(sidecar: dict[str, Any]) -> None:
    sidecar["image"] = "mirror.example/headway:1"


def always_pulled(sidecar: dict[str, Any]) -> None:
    """By the admission plugin AlwaysPullImages."""
    sidecar["imagePullPolicy"] = "Always"


def with_a_variable(sidecar: dict[str, Any]) -> None:
    sidecar["env"].append({"name": "CLUSTER", "value": "eu-1"})


def with_more_memory(sidecar: dict[str, Any]) -> None:
    """By a vertical autoscaler."""
    sidecar["resources"]["limits"]["memory"] = "1Gi"


@pytest.mark.parametrize(
    "change", [nothing, filled_in, from_a_mirror, always_pulled, with_a_variable, with_more_memory]
)
@pytest.mark.parametrize("defaults", [DEFAULTS, FOR_ALL])
def test_what_others_did_stays(change: Callable[[dict[str, Any]], None], defaults: Order) -> None:
    """Asked once more after other webhooks, ours undoes nothing of theirs."""
    about = by_hand(pod(PULLED), defaults)
    change(about["spec"]["initContainers"][0])
    answer = reviewed(about, defaults)

    assert (answer.result, answer.reason, patched(about, answer.body)) == (Result.UNCHANGED, "", about)


@pytest.mark.parametrize(
    "order,spec",
    [
        (Order(image="own:2", settings={"TARGET": "users:9090"}), {}),
        (Order(image="own:2", settings={"TARGET": "users:9090"}, classic=True), {}),
        (Order(image="own:2", settings={"TARGET": "users:9090"}), {"hostNetwork": True}),
        (Order(image="own:2", settings={"TARGET": "users:9090"}), {"initContainers": [migration()]}),
    ],
)
@pytest.mark.parametrize("annotations", [None, TARGET, {"headway.dev/targte": "x"}])
def test_what_the_command_did_stays(
    order: Order, spec: dict[str, Any], annotations: dict[str, str] | None
) -> None:
    """Its options are in no annotation: the webhook's own would be others."""
    about = pod(copy.copy(annotations), **copy.deepcopy(spec))
    inject(about, order, host_network_ok=True)
    answer = reviewed(about, FOR_ALL)

    assert (answer.result, answer.reason, patched(about, answer.body)) == (Result.UNCHANGED, "", about)


def test_a_mark_alone() -> None:
    """Who copied the annotations of another pod gets the sidecar that they ask for."""
    before = pod({**TARGET, INJECTED: "0.0.1"})
    answer = reviewed(before)
    after = patched(before, answer.body)

    assert answer.result is Result.INJECTED
    assert after == by_hand(before)
    assert after["metadata"]["annotations"][INJECTED] == __version__


@pytest.mark.parametrize("where", ["initContainers", "containers"])
def test_a_container_alone(where: str) -> None:
    """One of that name that we did not write is nobody's to change: who asks is told, the others start."""
    mine = [*pod()["spec"].get(where, []), migration(name="headway")]
    asks, silent = pod(TARGET, **{where: mine}), pod(None, **{where: mine})
    refused, left = reviewed(asks, FOR_ALL), reviewed(silent, FOR_ALL)

    assert refused.result is Result.REFUSED
    assert refused.reason.startswith("container headway is there already")
    assert (left.result, patched(silent, left.body)) == (Result.UNCHANGED, silent)
    assert json.loads(left.body)["response"]["warnings"] == [
        f"headway: no sidecar was added: {refused.reason}"
    ]
