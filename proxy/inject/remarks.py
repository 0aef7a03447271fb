"""Says what works, but not as one may expect, once the sidecar is in a pod."""

from collections.abc import Iterator, Mapping
from typing import Any

from proxy.config import PREFIX
from proxy.inject.budget import budget_remarks
from proxy.inject.order import Order
from proxy.inject.sidecar import NAME, TELEMETRY, reachable
from proxy.inject.suitable import has_telemetry, listeners, mappings, settings_of

UNPRIVILEGED = "net.ipv4.ip_unprivileged_port_start"
GRACE_S = 30.0  # Kubernetes' default


def remarks(pod: Mapping[str, Any], order: Order) -> list[str]:
    """What its owner should know, where `inject` has just succeeded."""
    return [*_remarks(pod["spec"], order), *budget_remarks(pod, order)]


def _remarks(spec: Mapping[str, Any], order: Order) -> Iterator[str]:
    settings = settings_of(order)
    if reachable(settings.telemetry_listen) is None:
        shown = order.settings["TELEMETRY_LISTEN"]
        yield f"no probes: the kubelet cannot reach {PREFIX}TELEMETRY_LISTEN={shown}"
    elif rivals := _rivals(spec, order):
        yield (
            f"{rivals[0]} has a port named {TELEMETRY} as well: a Service that names it leads to the first of"
            " the two; rename that port"
        )
    if order.classic and spec.get("restartPolicy") in ("OnFailure", "Never"):
        yield "as a plain container it does not end by itself: it runs until something does POST /quit"
    low = [f"{name} {listen}" for name, listen in listeners(settings) if listen.port < 1024]
    if low and not _may_be_low(spec):
        yield (
            f"{', '.join(low)}: before containerd 2.0 only root may listen below 1024; choose a higher port,"
            f" or set the pod's sysctl {UNPRIVILEGED} to 0"
        )
    grace = spec.get("terminationGracePeriodSeconds", GRACE_S)
    if isinstance(grace, int | float) and settings.drain_timeout_s > grace:
        yield (
            f"{PREFIX}DRAIN_TIMEOUT is {settings.drain_timeout_s:g} s,"
            f" but the kubelet kills after terminationGracePeriodSeconds, {grace:g} s"
        )


def _rivals(spec: Mapping[str, Any], order: Order) -> list[str]:
    """Other native sidecars with a port of that name, if no plain container has it: that is taken first."""
    plain, early = mappings(spec.get("containers")), mappings(spec.get("initContainers"))
    if order.classic or any(map(has_telemetry, plain)):
        return []
    native = [each for each in early if each.get("restartPolicy") == "Always" and each["name"] != NAME]
    return [each["name"] for each in native if has_telemetry(each)]


def _may_be_low(spec: Mapping[str, Any]) -> bool:
    context = spec.get("securityContext")
    sysctls = mappings(context.get("sysctls")) if isinstance(context, Mapping) else []
    return any(each.get("name") == UNPRIVILEGED for each in sysctls)
