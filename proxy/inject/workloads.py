"""Knows where in a Kubernetes object its pod is."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import msgspec

from proxy.inject.order import DOMAIN

IN_TEMPLATE = ("spec", "template")
APPS = ("apps", "extensions")  # the second until Kubernetes 1.16
MISPLACED = "would count in the annotations of the pod template, not here"

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


class Stranger(msgspec.Struct, frozen=True):
    """An object of another kind, and what may be pods in it: containers, or annotations of ours."""

    title: str
    pods: tuple[MutableMapping[str, Any], ...]


def workloads(document: Any) -> Iterator[Workload]:
    """The workloads in one document, those inside a List too."""
    for item, kind, version in _objects(document):
        groups, path = KINDS.get(kind, ((), ()))
        if version.rpartition("/")[0] in groups:
            yield _workload(item, kind, path)


def strangers(document: Any) -> Iterator[Stranger]:
    """The other objects in one document from which pods may come, those inside a List too."""
    for item, kind, version in _objects(document):
        if version.rpartition("/")[0] not in KINDS.get(kind, ((), ()))[0] and (pods := tuple(_pods(item))):
            yield Stranger(f"{version} {_title(item, kind)}", pods)


def _objects(
    document: Any, kind: Any = "", version: Any = ""
) -> Iterator[tuple[Mapping[str, Any], str, str]]:
    """The objects in one document, each with its kind and API version.

    Inside a PodList they may have none: like kubectl, we take the list's.
    """
    if not isinstance(document, Mapping):
        return
    if document.get("kind"):
        kind, version = document["kind"], document.get("apiVersion")
    if not kind or not isinstance(kind, str) or not isinstance(version, str):
        return
    if kind.endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _objects(item, kind.removesuffix("List"), version)
    else:
        yield document, kind, version


def _workload(document: Mapping[str, Any], kind: str, path: tuple[str, ...]) -> Workload:
    pod: Any = document
    for key in path:
        pod = pod.get(key) if isinstance(pod, Mapping) else None
    outside = tuple(_ours(annotations(document))) if path else ()
    return Workload(_title(document, kind), pod if isinstance(pod, MutableMapping) else {}, outside)


def _title(document: Mapping[str, Any], kind: str) -> str:
    metadata = _mapping(document.get("metadata"))
    name = metadata.get("name") or f"{metadata.get('generateName', '')}…"
    return f"{kind} {metadata['namespace']}/{name}" if metadata.get("namespace") else f"{kind} {name}"


def _pods(node: Any) -> Iterator[MutableMapping[str, Any]]:
    """Wherever they are: nobody knows the shape of other kinds."""
    if isinstance(node, MutableMapping):
        if isinstance(_mapping(node.get("spec")).get("containers"), list):
            yield node
        if any(_ours(_mapping(node.get("annotations")))):
            yield {"metadata": node}
        node = list(node.values())
    for each in node if isinstance(node, list) else ():
        yield from _pods(each)


def annotations(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(_mapping(pod.get("metadata")).get("annotations"))


def _ours(names: Mapping[str, Any]) -> Iterator[str]:
    return (str(name) for name in names if str(name).startswith(DOMAIN))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
