"""Answers admission reviews: bytes in, bytes out. Knows no sockets, clocks or metrics."""

import base64
from collections.abc import Mapping
from copy import copy
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from proxy.errors import HeadwayError
from proxy.inject.order import Order
from proxy.inject.pod import LISTS, Refusal, inject
from proxy.inject.remarks import remarks
from proxy.injector.advice import advice, as_warnings
from proxy.injector.asked import Metadata, Pod, Request, Review
from proxy.injector.patch import Operation, changes
from proxy.injector.wanted import asks, wanted

API_VERSION, KIND = "admission.k8s.io/v1", "AdmissionReview"
# What kubectl and controllers show as "invalid": the pod is wrong, and trying again will not help.
UNPROCESSABLE = 422
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


_reviews = msgspec.json.Decoder(Review)
_pods = msgspec.json.Decoder(Pod)
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
        raise BadReview(f"this is no {API_VERSION} {KIND} of a pod or a workload: {error}") from error


def _decide(request: Request, defaults: Order | None) -> Reviewed:
    if not _is_new_pod(request):
        return _answer(request, request.name, Result.UNCHANGED, warnings=_of_workload(request, defaults))
    pod = _pods.decode(request.object)
    metadata = pod.metadata or Metadata()
    name = metadata.name or metadata.generate_name or request.name
    try:
        order = wanted(pod, defaults)
        if order is None:
            return _answer(request, name, Result.UNCHANGED)
        before = _documents.decode(request.object)
        after = _to_change(before)
        inject(after, order)
    except Refusal as refusal:
        reason = _in_short(str(refusal))
        # Whoever asked hears that it cannot be. Who said nothing must not be kept from starting by us.
        if asks(metadata):
            return _answer(request, name, Result.REFUSED, reason=reason)
        warnings = [f"no sidecar was added: {each}" for each in refusal.reasons]
        return _answer(request, name, Result.UNCHANGED, reason=reason, warnings=warnings)
    said = [] if metadata.owner_references else remarks(after, order)  # a controller reads none
    return _answer(request, name, Result.INJECTED, list(changes(before, after)), warnings=said)


def _of_workload(request: Request, defaults: Order | None) -> list[str]:
    """What to say of a workload's pods before there are any; nothing where they stay what they were."""
    if request.kind.kind == "Pod" or request.operation not in ("CREATE", "UPDATE") or request.sub_resource:
        return []
    before, after = msgspec.json.decode(request.old_object), msgspec.json.decode(request.object)
    return advice(before, after, defaults)


def _is_new_pod(request: Request) -> bool:
    kind = request.kind
    is_pod = (kind.group, kind.version, kind.kind) == ("", "v1", "Pod")
    return is_pod and request.operation == "CREATE" and not request.sub_resource


def _to_change(pod: Mapping[str, Any]) -> dict[str, Any]:
    """A pod without a sidecar, copied as far as `inject` changes it: the rest may be 3 MiB."""
    after = {**pod, "metadata": {**pod["metadata"]}, "spec": {**pod["spec"]}}
    for holder, keys in ((after["metadata"], ("annotations",)), (after["spec"], LISTS)):
        holder.update({key: copy(holder[key]) for key in keys if key in holder})
    return after


def _in_short(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _answer(
    request: Request,
    pod: str,
    result: Result,
    patch: list[Operation] | None = None,
    *,
    reason: str = "",
    warnings: list[str] | None = None,
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
    if warnings:
        response["warnings"] = as_warnings(warnings)
    body = msgspec.json.encode({"apiVersion": API_VERSION, "kind": KIND, "response": response})
    named = (request.namespace[:LONGEST_NAME], pod[:LONGEST_NAME])
    return Reviewed(body, result, *named, reason, bool(request.dry_run))
