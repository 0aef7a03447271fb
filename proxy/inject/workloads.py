"""Knows where in a Kubernetes object its pod is."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import msgspec

from proxy.inject.order import DOMAIN

IN_TEMPLATE = ("spec", "template")
APPS = ("apps", "extensions")  # the second until Kubernetes 1.16

# The API group matters: others have kinds of these names too, of other shapes (volcano's Job).
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Pod": (("",), ()),
    "PodTemplate": (("",), ("template",)),
    "ReplicationController": (("",), IN_TEMPLATE),
    "Deployment": (APPS, IN_TEMPLATE),
    "StatefulSet": (APPS, IN_TEMPLATE),
    "DaemonSet": (APPS, IN_TEMPLATE),
    "ReplicaSet": (APPS, IN_TEMPLATE),
    "Job": (("batch",), IN_TEMPLATE),
    "CronJob": (("batch",), ("spec", "jobTemplate", *IN_TEMPLATE)),
}


class Workload(msgspec.Struct, frozen=True):
    """A workload as people call it, and its pod: an empty one where none is written."""

    title: str
    pod: MutableMapping[str, Any]
    misplaced: tuple[str, ...] = ()  # annotations of ours on the object instead of on its pods


def workloads(document: Any) -> Iterator[Workload]:
    """The workloads in one document, those inside a List too."""
    if not isinstance(document, Mapping):
        return
    kind, version = document.get("kind"), document.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(version, str):
        return
    if kind == "List" and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from workloads(item)
    groups, path = KINDS.get(kind, ((), ()))
    if version.rpartition("/")[0] in groups:
        yield _workload(document, kind, path)


def _workload(document: Mapping[str, Any], kind: str, path: tuple[str, ...]) -> Workload:
    pod: Any = document
    for key in path:
        pod = pod.get(key) if isinstance(pod, Mapping) else None
    metadata = _mapping(document.get("metadata"))
    name = metadata.get("name") or f"{metadata.get('generateName', '')}…"
    title = f"{kind} {metadata['namespace']}/{name}" if metadata.get("namespace") else f"{kind} {name}"
    outside = [str(key) for key in _mapping(metadata.get("annotations")) if str(key).startswith(DOMAIN)]
    return Workload(title, pod if isinstance(pod, MutableMapping) else {}, tuple(outside) if path else ())


def annotations(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(_mapping(pod.get("metadata")).get("annotations"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
