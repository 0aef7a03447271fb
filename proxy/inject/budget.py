"""Compares the sidecar with the resources that a pod has for all its containers together.

Pods have had them since Kubernetes 1.32. The rules are those of its validatePodResourceConsistency and
defaultPodRequests.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from proxy.inject.amounts import amount, enough
from proxy.inject.order import DOMAIN, Order
from proxy.inject.sidecar import NAME

Pod = Mapping[str, Any]


def over_budget(pod: Pod, order: Order) -> Iterator[str]:
    """Why the API server would refuse this pod with the sidecar. Of init containers it looks at no limit."""
    whole = pod["spec"].get("resources")
    if order.classic and _exceeds(order.memory_limit, whole):
        yield (
            f"the sidecar's memory limit {order.memory_limit} is more than"
            f" {_said(whole, 'limits', 'memory')}: raise that, or lower {DOMAIN}memory-limit"
        )
    for resource, text in _requested(order):
        kind = "limits" if _of(whole, "requests", resource) is None else "requests"
        most, needed = _of(whole, kind, resource), _together(pod, order, resource, amount(text))
        if most is not None and needed > most:
            yield (
                f"with the sidecar the containers request {enough(needed, resource)} of {resource}, more than"
                f" {_said(whole, kind, resource)}: raise that, or lower {DOMAIN}{resource}, which is {text}"
            )


def budget_remarks(pod: Pod, order: Order) -> Iterator[str]:
    """What the API server takes, though it may not be what is meant."""
    whole = pod["spec"].get("resources")
    if not order.classic and _exceeds(order.memory_limit, whole):
        yield (
            f"the sidecar's memory limit {order.memory_limit} is more than"
            f" {_said(whole, 'limits', 'memory')}: it may take what the application needs"
        )
    for resource, text in _requested(order):
        of_its_own = _of(whole, "limits", resource) if _of(whole, "requests", resource) is None else None
        others = [each for home in ("initContainers", "containers") for each in _others(pod, home)]
        if of_its_own and not any(_request(each, resource) for each in others):
            yield (
                f"no other container requests {resource}, so that the pod no longer requests its limit,"
                f" {whole['limits'][resource]}, but {text}: set spec.resources.requests.{resource}"
            )


def _requested(order: Order) -> tuple[tuple[str, str], ...]:
    return ("cpu", order.cpu), ("memory", order.memory)


def _exceeds(text: str, whole: Any) -> bool:
    size, most = amount(text), _of(whole, "limits", "memory")
    return size is not None and most is not None and size > most


def _together(pod: Pod, order: Order, resource: str, own: Decimal | None) -> Decimal:
    """What the containers request that run at the same time, at the worst time."""
    running, starting = (own or Decimal(0)), Decimal(0)
    sidecars = Decimal(0) if order.classic else running
    for each in _others(pod, "initContainers"):
        request = _request(each, resource)
        if each.get("restartPolicy") == "Always":
            sidecars += request
            running += request
        else:
            starting = max(starting, sidecars + request)
    return max(starting, running + sum(_request(each, resource) for each in _others(pod, "containers")))


def _others(pod: Pod, home: str) -> list[Mapping[str, Any]]:
    return [each for each in pod["spec"].get(home) or () if each["name"] != NAME]


def _request(container: Mapping[str, Any], resource: str) -> Decimal:
    """Without one, a container requests its limit."""
    resources = container.get("resources")
    found = _of(resources, "requests", resource)
    return (_of(resources, "limits", resource) if found is None else found) or Decimal(0)


def _of(resources: Any, kind: str, resource: str) -> Decimal | None:
    amounts = resources.get(kind) if isinstance(resources, Mapping) else None
    return amount(amounts.get(resource)) if isinstance(amounts, Mapping) else None


def _said(resources: Any, kind: str, resource: str) -> str:
    return f"spec.resources.{kind}.{resource}, {resources[kind][resource]} for the whole pod"
