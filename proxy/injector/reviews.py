"""Answers admission reviews: bytes in, bytes out. Knows no sockets, clocks or metrics."""

import base64
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from proxy.errors import HeadwayError
from proxy.inject.order import DOMAIN, INJECTED, Order, ordered
from proxy.inject.pod import Refusal, inject
from proxy.injector.patch import Operation, changes

API_VERSION, KIND = "admission.k8s.io/v1", "AdmissionReview"
# What kubectl and controllers show as "invalid": the pod is wrong, and trying again will not help.
UNPROCESSABLE = 422


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
    containers: list[_Container]
    init_containers: list[_Container] | None = None


class _Pod(msgspec.Struct):
    """What must be so in a pod for it to be changed."""

    metadata: _Metadata
    spec: _Spec


_reviews = msgspec.json.Decoder(_Review)
_pods = msgspec.json.Decoder(_Pod)
_documents = msgspec.json.Decoder(dict[str, Any])


def review(body: bytes, defaults: Order | None) -> Reviewed:
    """The answer to the review in `body`. Raises BadReview."""
    try:
        asked = _reviews.decode(body)
        if (asked.api_version, asked.kind) != (API_VERSION, KIND):
            raise BadReview(f"this is {asked.api_version} {asked.kind}; {API_VERSION} {KIND} is understood")
        if not asked.request.uid:
            raise BadReview("the request has no uid")
        return _decide(asked.request, defaults)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadReview(f"this is no {API_VERSION} {KIND} of a pod: {error}") from error


def _decide(request: _Request, defaults: Order | None) -> Reviewed:
    if not _is_new_pod(request):
        return _answer(request, request.name, Result.UNCHANGED)
    metadata = _pods.decode(request.object).metadata
    name = metadata.name or metadata.generate_name or request.name
    annotations = metadata.annotations or {}
    try:
        patch = _patch(request.object, ordered(annotations, defaults))
    except Refusal as refusal:
        # Whoever asked hears that it cannot be. Who said nothing must not be kept from starting by us.
        result = Result.REFUSED if _asks(annotations) else Result.UNCHANGED
        return _answer(request, name, result, reason=str(refusal))
    return _answer(request, name, Result.INJECTED if patch else Result.UNCHANGED, patch)


def _is_new_pod(request: _Request) -> bool:
    kind = request.kind
    is_pod = (kind.group, kind.version, kind.kind) == ("", "v1", "Pod")
    return is_pod and request.operation == "CREATE" and not request.sub_resource


def _asks(annotations: Mapping[str, str]) -> bool:
    return any(name.startswith(DOMAIN) and name != INJECTED for name in annotations)


def _patch(pod: msgspec.Raw, order: Order | None) -> list[Operation]:
    if order is None:
        return []
    after = _documents.decode(pod)
    inject(after, order)
    patch = list(changes(_documents.decode(pod), after))
    return [] if all(map(_only_takes_away, patch)) else patch


def _only_takes_away(operation: Operation) -> bool:
    """Whether a field goes that others wrote, such as a default or a volume mount by the API server.

    When we are called again for the same pod, our own sidecar has them. A list's item is another matter: it
    may be a setting that the pod no longer asks for.
    """
    return operation["op"] == "remove" and not operation["path"].rpartition("/")[2].isdigit()


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
    return Reviewed(body, result, request.namespace, pod, reason, bool(request.dry_run))
