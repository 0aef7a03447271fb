"""Decides whether a pod in a review gets a sidecar, before anybody goes through all of it."""

from collections.abc import Mapping

from proxy.inject.order import DOMAIN, INJECTED, Order, ordered
from proxy.inject.refusal import Refusal
from proxy.inject.sidecar import NAME
from proxy.injector.asked import Container, Metadata, Pod, Spec

MOST_CONTAINERS = 200  # each is looked at for each port; no node runs that many, yet 3 MiB can list 200 000
MOST_ANNOTATED = 256 << 10  # characters; Kubernetes takes no more bytes (TotalAnnotationSizeLimitB)


def wanted(pod: Pod, defaults: Order | None) -> Order | None:
    """The sidecar to add; None where the pod stays as it is. Raises Refusal."""
    metadata, spec = pod.metadata or Metadata(), pod.spec or Spec()
    annotations = metadata.annotations or {}
    # Without these the API server will refuse it, in better words than ours.
    is_pod = pod.metadata is not None and bool(spec.containers) and _size(annotations) <= MOST_ANNOTATED
    containers = [*(spec.containers or ()), *(spec.init_containers or ())]
    if not is_pod or _has_sidecar(containers, annotations):
        return None
    order = ordered(annotations, defaults)
    if order is not None and len(containers) > MOST_CONTAINERS:
        raise Refusal([f"it has {len(containers)} containers, more than {MOST_CONTAINERS}"])
    return order


def asks(metadata: Metadata) -> bool:
    """Whether the pod itself asks for a sidecar, instead of being one of all that get it."""
    return any(name.startswith(DOMAIN) and name != INJECTED for name in metadata.annotations or ())


def _size(annotations: Mapping[str, str]) -> int:
    return sum(map(len, annotations)) + sum(map(len, annotations.values()))


def _has_sidecar(containers: list[Container], annotations: Mapping[str, str]) -> bool:
    """Whether the command put it in, or we did, and other webhooks have worked on the pod since.

    Changing it would undo what those did, or what the command was told and no annotation says.
    """
    return INJECTED in annotations and any(each.name == NAME for each in containers)
