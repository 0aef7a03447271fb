"""What becomes of a pod that the API server asks about."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.inject.order import INJECTED, Order, ordered
from proxy.inject.pod import inject
from proxy.injector.reviews import BadReview, Result, Reviewed, review
from tests.injector.scenes import DEFAULTS, TARGET, asking, patch_of, patched, pod

FOR_ALL = Order(image="headway:9", settings={"TARGET": "orders:9090"})


def reviewed(about: Any, defaults: Order | None = DEFAULTS, **request: Any) -> Reviewed:
    return review(json.dumps(asking(about, **request)).encode(), defaults)


def by_hand(before: dict[str, Any], defaults: Order | None = DEFAULTS) -> Any:
    """What `headway inject` makes of the pod."""
    after = copy.deepcopy(before)
    order = ordered(after["metadata"].get("annotations") or {}, defaults)
    assert order is not None
    inject(after, order)
    return after


def migration(**more: Any) -> dict[str, Any]:
    return {"name": "migrate", "image": "shop:3", **more}


# --- pods that get the sidecar ------------------------------------------------------------------


@pytest.mark.parametrize(
    "before",
    [
        pod(TARGET),
        pod({**TARGET, "headway.dev/connect-timeout": "250ms", "a~b/c": "kept"}),
        pod(TARGET, initContainers=[migration()]),
        pod(TARGET, initContainers=[migration(), migration(name="seed")]),
        pod(TARGET, initContainers=None),
        pod(TARGET, initContainers=[]),
        pod({**TARGET, "headway.dev/classic": "true"}),
        pod({**TARGET, INJECTED: "0.0.1"}, initContainers=[migration()]),
    ],
)
def test_the_same_as_by_hand(before: dict[str, Any]) -> None:
    """The patch makes of the pod exactly what the command makes of it."""
    answer = reviewed(before)

    assert answer.result is Result.INJECTED
    assert patched(before, answer.body) == by_hand(before)


def test_pods_that_say_nothing_take_the_defaults() -> None:
    """Where the injector has a target for all, a pod without any annotation gets the sidecar."""
    answer = reviewed(pod(), FOR_ALL)

    assert patched(pod(), answer.body) == by_hand(pod(), FOR_ALL)
    assert [each["path"] for each in patch_of(answer.body)] == [
        "/metadata/annotations",
        "/spec/initContainers",
    ]


@pytest.mark.parametrize(
    "containers,where", [(None, "/spec/initContainers"), ([migration()], "/spec/initContainers/0")]
)
def test_the_patch_is_small(containers: Any, where: str) -> None:
    """Two additions, however large the pod: the container in front of all others, and the mark."""
    before = pod(TARGET) if containers is None else pod(TARGET, initContainers=containers)
    patch = patch_of(reviewed(before).body)

    mark = "/metadata/annotations/" + INJECTED.replace("/", "~1")
    assert sorted((each["op"], each["path"]) for each in patch) == [("add", mark), ("add", where)]


def test_the_answer_is_what_the_api_server_expects() -> None:
    """Kind, version and uid come back; nothing that it would have to warn of is in it."""
    answer = json.loads(reviewed(pod(TARGET)).body)

    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert answer["response"].keys() == {"uid", "allowed", "patchType", "patch"}
    assert answer["response"]["uid"] == "705ab4f5-6393-11e8-b7cc-42010a800002"
    assert answer["response"]["allowed"] is True


def test_where_a_pod_comes_from() -> None:
    """The namespace is the request's, for a new pod has none yet, as it has no name."""
    answer = reviewed(pod(TARGET), namespace="billing", dryRun=True)

    assert (answer.namespace, answer.pod, answer.dry_run) == ("billing", "shop-7d9f8c6b5-", True)


# --- pods that stay as they are -----------------------------------------------------------------


@pytest.mark.parametrize(
    "about,defaults,request_",
    [
        (pod(), DEFAULTS, {}),
        (pod(), None, {}),
        (pod({"prometheus.io/scrape": "true"}), DEFAULTS, {}),
        (pod({"headway.dev/inject": "false"}), FOR_ALL, {}),
        (pod({"headway.dev/inject": "false", **TARGET}), DEFAULTS, {}),
        (pod(TARGET), DEFAULTS, {"operation": "UPDATE"}),
        (pod(TARGET), DEFAULTS, {"subResource": "ephemeralcontainers", "operation": "UPDATE"}),
        (pod(TARGET), DEFAULTS, {"subResource": "binding"}),
        (None, DEFAULTS, {"operation": "DELETE", "oldObject": pod(TARGET)}),
        ({"spec": {}}, DEFAULTS, {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}}),
        ({}, DEFAULTS, {"kind": {"group": "example.com", "version": "v1", "kind": "Pod"}}),
        # What the API server itself will refuse, after us.
        ({"metadata": {}}, FOR_ALL, {}),
        (pod(TARGET) | {"metadata": None}, FOR_ALL, {}),
        (pod(TARGET) | {"spec": None}, FOR_ALL, {}),
        (pod(TARGET, containers=None), FOR_ALL, {}),
        (pod(TARGET, containers=[]), FOR_ALL, {}),
    ],
)
def test_left_alone(about: Any, defaults: Order | None, request_: dict[str, Any]) -> None:
    """Whoever does not ask, and whatever is no new pod, is let through without a change or a word."""
    answer = reviewed(about, defaults, **request_)

    assert (answer.result, answer.reason) == (Result.UNCHANGED, "")
    assert json.loads(answer.body)["response"].keys() == {"uid", "allowed"}


def test_default_that_does_not_fit() -> None:
    """A pod that asked for nothing and cannot have the sidecar starts without it; whoever made it is told."""
    before = pod(hostNetwork=True)
    answer = reviewed(before, FOR_ALL)
    response = json.loads(answer.body)["response"]

    assert (answer.result, response["allowed"], patched(before, answer.body)) == (
        Result.UNCHANGED,
        True,
        before,
    )
    assert "hostNetwork" in answer.reason
    assert response["warnings"] == [f"headway: no sidecar was added: {answer.reason}"]


# --- pods that are refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "annotations,spec,says",
    [
        ({"headway.dev/target": "orders"}, {}, "HEADWAY_TARGET=orders: has no port"),
        ({**TARGET, "headway.dev/balancr": "p2c"}, {}, "did you mean headway.dev/balancer?"),
        ({**TARGET, "headway.dev/inject": "yes"}, {}, '"yes" is neither "true" nor "false"'),
        ({"headway.dev/inject": "true"}, {}, "HEADWAY_TARGET"),
        ({**TARGET, "headway.dev/listen": ":8000"}, {}, "container app declares port 8000"),
        (TARGET, {"hostNetwork": True}, "`headway inject --allow-host-network`"),
    ],
)
def test_refused(annotations: dict[str, str], spec: dict[str, Any], says: str) -> None:
    """Whoever asks for what would not work is told why, at once, and not by an application that hangs."""
    answer = reviewed(pod(annotations, **spec))
    response = json.loads(answer.body)["response"]

    assert (answer.result, response["allowed"]) == (Result.REFUSED, False)
    assert response["status"]["code"] == 422
    assert response["status"]["message"] == f"headway: {answer.reason}"
    assert says in answer.reason
    assert "patch" not in response


# --- what is no review --------------------------------------------------------------------------


def without(key: str) -> dict[str, Any]:
    broken = asking(pod(TARGET))
    del broken["request"][key]
    return broken


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"null",
        b"[]",
        b"{}",
        b'{"kind": "\xff"}',
        b'{"apiVersion": "\xff"}',
        b"[" * 100_000,
        json.dumps(asking(pod(TARGET)) | {"apiVersion": "admission.k8s.io/v1beta1"}).encode(),
        json.dumps(asking(pod(TARGET)) | {"kind": "Pod"}).encode(),
        json.dumps(asking(pod(TARGET)) | {"request": None}).encode(),
        json.dumps(without("uid")).encode(),
        json.dumps(without("kind")).encode(),
        json.dumps(without("operation")).encode(),
        json.dumps(asking(pod(TARGET), uid="")).encode(),
        json.dumps(asking(pod(TARGET), uid=7)).encode(),
        json.dumps(asking([])).encode(),
        json.dumps(asking(pod(TARGET, containers={}))).encode(),
        json.dumps(asking(pod(TARGET, containers=[{}]))).encode(),
        json.dumps(asking(pod(TARGET, initContainers=["migrate"]))).encode(),
        json.dumps(
            asking(pod(TARGET, containers=[{"name": "a", "ports": [{"containerPort": []}]}]))
        ).encode(),
        json.dumps(asking(pod({"headway.dev/target": 7}))).encode(),  # type: ignore[dict-item]
        json.dumps(asking(pod(TARGET, x=1))).replace('"x": 1', '"x": ' + "[" * 5000 + "]" * 5000).encode(),
        json.dumps(asking(pod(TARGET)))[:-200].encode(),
    ],
)
def test_no_review(body: bytes) -> None:
    """It is said that this is no review, and why."""
    with pytest.raises(BadReview, match=r"\w+"):
        review(body, DEFAULTS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("hostNetwork", "initContainers", "containers", "dnsPolicy", "os", "nodeSelector", "volumes")
PARTS = ("ports", "env", "startupProbe", "readinessProbe", "livenessProbe", "restartPolicy", "resources")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.dictionaries(st.sampled_from(PARTS), JSON))
@settings(max_examples=300, deadline=None)
def test_pods_that_no_api_server_sends(spec: dict[str, Any], container: dict[str, Any]) -> None:
    """Whatever stands where in a pod: it is reviewed, or rejected for what it is."""
    about = pod(TARGET, **{"containers": [{"name": "app", **container}], **spec})
    try:
        answer = reviewed(about)
    except BadReview:
        return
    if answer.result is Result.INJECTED:
        assert patched(json.loads(json.dumps(about)), answer.body) == by_hand(about)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_broken_on_the_way(data: st.DataObject) -> None:
    """Whatever bytes were exchanged in a review, there is an answer or a rejection, never a crash."""
    body = bytearray(json.dumps(asking(pod(TARGET, initContainers=[migration()]))).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=8))
        if not body:
            break
    try:
        answer = review(bytes(body), DEFAULTS)
    except BadReview:
        return
    assert json.loads(answer.body)["kind"] == "AdmissionReview"
