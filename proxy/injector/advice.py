"""Says what a person who applies a workload should read: how its pods will fare. Changes nothing."""

from typing import Any

import msgspec

from proxy.inject.order import DOMAIN, Order
from proxy.inject.refusal import Refusal
from proxy.inject.remarks import remarks
from proxy.inject.suitable import settings_for
from proxy.inject.workloads import MISPLACED, Workload, workloads
from proxy.injector.asked import Metadata, Pod
from proxy.injector.wanted import asks, wanted

# Kubernetes cuts each warning at 256 characters, and drops some beyond 4096 from all webhooks together.
MOST_WARNINGS, LONGEST = 10, 256


def advice(before: Any, after: Any, defaults: Order | None) -> list[str]:
    """What to say of the workload `after`; nothing where its pods are those of `before`, or it is none."""
    workload = next(workloads(after), None)
    if workload is None or msgspec.convert(after.get("metadata") or {}, Metadata).owner_references:
        return []  # whatever made it reads no warnings
    old = next(workloads(before), None)
    if old is not None and (old.pod, old.misplaced) == (workload.pod, workload.misplaced):
        return []
    return [*_of_place(workload), *_of_pods(workload, defaults)]


def as_warnings(texts: list[str]) -> list[str]:
    """No more and no longer than Kubernetes passes on; what has control characters it would drop."""
    more = len(texts) - MOST_WARNINGS
    shown = texts if more <= 0 else [*texts[: MOST_WARNINGS - 1], f"{more + 1} more warnings"]
    return [
        "".join(each if each.isprintable() else " " for each in _cut(f"headway: {text}")) for text in shown
    ]


def _of_place(workload: Workload) -> list[str]:
    """Annotations on the object, unless something wrote them on everything."""
    inside = _metadata(workload).annotations or {}
    outside = [name for name in workload.misplaced if name not in inside]
    return [f"{', '.join(outside)} {MISPLACED}"] if outside else []


def _of_pods(workload: Workload, defaults: Order | None) -> list[str]:
    metadata = _metadata(workload)
    if (metadata.labels or {}).get(f"{DOMAIN}inject") == "false":
        return []  # the API server will not even ask about them
    try:
        order = wanted(msgspec.convert(workload.pod, Pod), defaults)
        if order is None:
            return []
        settings_for(workload.pod, order, host_network_ok=False)
        return remarks(workload.pod, order)
    except Refusal as refusal:
        fate = "its pods will be refused" if asks(metadata) else "its pods will get no sidecar"
        return [f"{fate}: {each}" for each in refusal.reasons]


def _metadata(workload: Workload) -> Metadata:
    return msgspec.convert(workload.pod, Pod).metadata or Metadata()


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
