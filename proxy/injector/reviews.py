"""Answers admission reviews: bytes in, bytes out. Knows no sockets, clocks or metrics."""

import base64
from collections.abc import Mapping
from copy import copy
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from proxy.errors import HeadwayError
from proxy.inject.order import DOMAIN, INJECTED, Order, ordered
from proxy.inject.pod import LISTS, Refusal, inject
from proxy.inject.sidecar import NAME
from proxy.injector.patch import Operation, changes

API_VERSION, KIND = "admission.k8s.io/v1", "AdmissionReview"
# What kubectl and controllers show as "invalid": the pod is wrong, and trying again will not help.
UNPROCESSABLE = 422
MOST_CONTAINERS = 200  # each is looked at for each port; no node runs that many, yet 3 MiB can list 200 000
MOST_ANNOTATED = 256 << 10  # characters; Kubernetes takes no more bytes (TotalAnnotationSizeLimitB)
MOST_SHOWN = 2000  # characters of what somebody wrote that go into an answer and the log
LONGEST_NAME = 253  # Kubernetes limits it to that, but only after us


class BadReview(HeadwayError):
    """This is no admission review of a kind we know; the text says what is wrong with it."""

    source = "client"
    reason = "bad_review"


class Result(StrEnum):
    INJECTED = "injected"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class Reviewed(NamedTuple):
    """The answer, and what there is to log about it."""

    body: bytes
    result: Result
    namespace: str
    pod: str  # its name, or the beginning of one that it will get
    reason: str = ""  # why it was refused, or stays as it is although sidecars are for all here
    dry_run: bool = False


class _Kind(msgspec.Struct):
    kind: str
    version: str
    group: str = ""


class _Request(msgspec.Struct, rename="camel"):
    uid: str
    kind: _Kind
    operation: str
    namespace: str = ""
    name: str = ""
    sub_resource: str = ""
    dry_run: bool | None = False
    object: msgspec.Raw = msgspec.Raw(b"null")  # null when something is deleted


class _Review(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    request: _Request


class _Metadata(msgspec.Struct, rename="camel"):
    name: str | None = None
    generate_name: str | None = None
    annotations: dict[str, str] | None = None


class _Port(msgspec.Struct, rename="camel"):
    container_port: int


class _Container(msgspec.Struct):
    name: str
    ports: list[_Port] | None = None


class _Spec(msgspec.Struct, rename="camel"):
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None


class _Pod(msgspec.Struct):
    """What we look at; whatever is null here was left out by whoever made the pod."""

    metadata: _Metadata | None = None
    spec: _Spec | None = None


_reviews = msgspec.json.Decoder(_Review)
_pods = msgspec.json.Decoder(_Pod)
_documents = msgspec.json.Decoder(dict[str, Any])


def review(body: bytes, defaults: Order | None) -> Reviewed:
    """The answer to the review in `body`. Raises BadReview."""
    try:
        asked = _reviews.decode(body)
        if (asked.api_version, asked.kind) != (API_VERSION, KIND):
            found = _in_short(f"{asked.api_version} {asked.kind}")
            raise BadReview(f"this is {found}; {API_VERSION} {KIND} is understood")
        if not asked.request.uid:
            raise BadReview("the request has no uid")
        return _decide(asked.request, defaults)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadReview(f"this is no {API_VERSION} {KIND} of a pod: {error}") from error


def _decide(request: _Request, defaults: Order | None) -> Reviewed:
    if not _is_new_pod(request):
        return _answer(request, request.name, Result.UNCHANGED)
    pod = _pods.decode(request.object)
    metadata, spec = pod.metadata or _Metadata(), pod.spec or _Spec()
    name = metadata.name or metadata.generate_name or request.name
    annotations = metadata.annotations or {}
    # Without these the API server will refuse it, in better words than ours.
    is_pod = pod.metadata is not None and bool(spec.containers) and _size(annotations) <= MOST_ANNOTATED
    containers = [*(spec.containers or ()), *(spec.init_containers or ())]
    if not is_pod or _has_sidecar(containers, annotations):
        return _answer(request, name, Result.UNCHANGED)
    try:
        patch = _patch(request.object, len(containers), ordered(annotations, defaults))
    except Refusal as refusal:
        # Whoever asked hears that it cannot be. Who said nothing must not be kept from starting by us.
        result = Result.REFUSED if _asks(annotations) else Result.UNCHANGED
        return _answer(request, name, result, reason=_in_short(str(refusal)))
    return _answer(request, name, Result.INJECTED if patch else Result.UNCHANGED, patch)


def _is_new_pod(request: _Request) -> bool:
    kind = request.kind
    is_pod = (kind.group, kind.version, kind.kind) == ("", "v1", "Pod")
    return is_pod and request.operation == "CREATE" and not request.sub_resource


def _size(annotations: Mapping[str, str]) -> int:
    return sum(map(len, annotations)) + sum(map(len, annotations.values()))


def _has_sidecar(containers: list[_Container], annotations: Mapping[str, str]) -> bool:
    """Whether the command put it in, or we did, and other webhooks have worked on the pod since.

    Changing it would undo what those did, or what the command was told and no annotation says.
    """
    return INJECTED in annotations and any(each.name == NAME for each in containers)


def _asks(annotations: Mapping[str, str]) -> bool:
    return any(name.startswith(DOMAIN) and name != INJECTED for name in annotations)


def _patch(pod: msgspec.Raw, containers: int, order: Order | None) -> list[Operation]:
    if order is None:
        return []
    if containers > MOST_CONTAINERS:
        raise Refusal([f"it has {containers} containers, more than {MOST_CONTAINERS}"])
    before = _documents.decode(pod)
    after = _to_change(before)
    inject(after, order)
    return list(changes(before, after))


def _to_change(pod: Mapping[str, Any]) -> dict[str, Any]:
    """A pod without a sidecar, copied as far as `inject` changes it: the rest may be 3 MiB."""
    after = {**pod, "metadata": {**pod["metadata"]}, "spec": {**pod["spec"]}}
    for holder, keys in ((after["metadata"], ("annotations",)), (after["spec"], LISTS)):
        holder.update({key: copy(holder[key]) for key in keys if key in holder})
    return after


def _in_short(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _answer(
    request: _Request, pod: str, result: Result, patch: list[Operation] | None = None, reason: str = ""
) -> Reviewed:
    response: dict[str, Any] = {"uid": request.uid, "allowed": result is not Result.REFUSED}
    if patch:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(msgspec.json.encode(patch)).decode()}
    if result is Result.REFUSED:
        response["status"] = {
            "status": "Failure",
            "message": f"headway: {reason}",
            "reason": "Invalid",
            "code": UNPROCESSABLE,
        }
    elif reason:
        response["warnings"] = [f"headway: no sidecar was added: {reason}"]
    body = msgspec.json.encode({"apiVersion": API_VERSION, "kind": KIND, "response": response})
    named = (request.namespace[:LONGEST_NAME], pod[:LONGEST_NAME])
    return Reviewed(body, result, *named, reason, bool(request.dry_run))
