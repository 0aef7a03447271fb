"""Decides whether a pod can have the sidecar that was ordered."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from proxy.config import PREFIX, DnsTarget, Listen, Settings, SrvTarget, from_env
from proxy.errors import SettingsError
from proxy.inject.amounts import amount
from proxy.inject.budget import over_budget
from proxy.inject.order import DOMAIN, INJECTED, Order
from proxy.inject.refusal import Refusal
from proxy.inject.sidecar import NAME, TELEMETRY, reachable

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
CPU = re.compile(r"[0-9]{1,19}(\.[0-9]{1,19})?m?")
MEMORY = re.compile(r"[0-9]{1,19}(\.[0-9]{1,19})?([kMGTPE]|[KMGTPE]i)?")
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")

Pod = Mapping[str, Any]


def settings_for(pod: Pod, order: Order, *, host_network_ok: bool) -> Settings:
    """The settings of the ordered sidecar. Raises Refusal with every reason against it in this pod."""
    reasons = list(_of_order(order))
    settings = None
    try:
        settings = settings_of(order)
    except SettingsError as error:
        reasons += [str(fault) for fault in error.faults]
    shape = list(_of_shape(pod))
    reasons += shape
    if not shape:
        reasons += _of_pod(pod, host_network_ok)
        reasons += over_budget(pod, order)
    if settings is not None and not shape:
        reasons += [
            *_of_ports(pod, settings),
            *_of_names(pod, settings),
            *_of_port_names(pod, order, settings),
        ]
    if reasons or settings is None:
        raise Refusal(reasons)
    return settings


def settings_of(order: Order) -> Settings:
    """What the proxy itself would read. Raises SettingsError."""
    return from_env({PREFIX + name: text for name, text in order.settings.items()}).settings


def listeners(settings: Settings) -> list[tuple[str, Listen]]:
    """Each listener of TCP with the variable that moves it."""
    wanted = [(f"{each.prefix}LISTEN", listen) for each in settings.services for listen in each.listen]
    pages = [("TELEMETRY_LISTEN", settings.telemetry_listen), ("ADMIN_LISTEN", settings.admin_listen)]
    found = [*wanted, *((name, listen) for name, listen in pages if listen is not None)]
    return [(PREFIX + name, listen) for name, listen in found if listen.port]


def asks_the_node(spec: Mapping[str, Any]) -> bool:
    """Whether the pod's resolv.conf is the node's: with hostNetwork ClusterFirst falls back to that."""
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    return policy == "Default" or (policy == "ClusterFirst" and bool(spec.get("hostNetwork")))


def has_telemetry(container: Mapping[str, Any]) -> bool:
    """Whether it has a port of the name that the sidecar's has."""
    return any(each.get("name") == TELEMETRY for each in mappings(container.get("ports")))


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The mappings in a list; nothing where something else was written."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def listed(pod: Pod, home: str) -> list[Mapping[str, Any]]:
    """The containers or init containers of a pod; none where there is something else."""
    spec = pod.get("spec")
    return mappings(spec.get(home)) if isinstance(spec, Mapping) else []


def _all(pod: Pod) -> list[Mapping[str, Any]]:
    return listed(pod, "initContainers") + listed(pod, "containers")


# --- against the order itself -------------------------------------------------------------------


def _of_order(order: Order) -> Iterator[str]:
    if not order.image or any(letter.isspace() for letter in order.image):
        yield f"image {order.image!r} is not the name of an image"
    if order.pull_policy and order.pull_policy not in PULL_POLICIES:
        yield f"image pull policy {order.pull_policy!r} is none of {', '.join(PULL_POLICIES)}"
    if CPU.fullmatch(order.cpu) is None:
        yield f"cpu {order.cpu!r} is not an amount such as 10m or 0.5"
    memory, limit = _memory(order.memory), _memory(order.memory_limit)
    for what, text, size in (("memory", order.memory, memory), ("memory limit", order.memory_limit, limit)):
        if size is None:
            yield f"{what} {text!r} is not an amount such as 64Mi"
    if limit == 0:
        yield f"memory limit {order.memory_limit} means that there is none; it needs one, such as 256Mi"
    elif memory is not None and limit is not None and memory > limit:
        yield f"memory {order.memory} is more than its limit {order.memory_limit}"


def _memory(text: str) -> Decimal | None:
    return amount(text) if MEMORY.fullmatch(text) else None


# --- against the pod ----------------------------------------------------------------------------


def _of_shape(pod: Pod) -> Iterator[str]:
    """What nobody can put anything into; Kubernetes would refuse it as well."""
    spec, metadata = pod.get("spec"), pod.get("metadata")
    if not isinstance(spec, Mapping):
        yield "there is no pod: spec is missing or is no mapping"
        return
    for key in ("containers", "initContainers"):
        listed = spec.get(key)
        if listed is not None and not isinstance(listed, list):
            yield f"{key} is no list"
        elif not all(
            isinstance(each, Mapping) and isinstance(each.get("name"), str) for each in listed or ()
        ):
            yield f"{key} has one without a name"
    if not spec.get("containers"):
        yield "there are no containers"
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    for what, value in (("metadata", metadata), ("metadata.annotations", annotations)):
        if value is not None and not isinstance(value, Mapping):
            yield f"{what} is no mapping"


def _of_pod(pod: Pod, host_network_ok: bool) -> Iterator[str]:
    spec = pod["spec"]
    if not _is_ours(pod):
        for each in _all(pod):
            if each["name"] == NAME:
                yield f"container {NAME} is there already, and `headway inject` did not write it: rename it"
    if spec.get("hostNetwork") is True and not host_network_ok:
        yield (
            "hostNetwork makes the sidecar's ports ports of the node: where they are free, put it into the"
            " manifest with `headway inject --allow-host-network`"
        )
    if _is_for_windows(spec):
        yield "it runs on Windows, the sidecar on Linux only"


def _is_for_windows(spec: Mapping[str, Any]) -> bool:
    system, selector = spec.get("os"), spec.get("nodeSelector")
    said = [system.get("name")] if isinstance(system, Mapping) else []
    if isinstance(selector, Mapping):  # nodes have both labels, charts still select by the older one
        said += [selector.get("kubernetes.io/os"), selector.get("beta.kubernetes.io/os")]
    return "windows" in said


def _is_ours(pod: Pod) -> bool:
    return INJECTED in ((pod.get("metadata") or {}).get("annotations") or {})


def _others(pod: Pod) -> list[Mapping[str, Any]]:
    """The containers that are not the sidecar."""
    return [each for each in _all(pod) if each["name"] != NAME]


def _of_ports(pod: Pod, settings: Settings) -> Iterator[str]:
    """A port that an application container has for itself, by its declaration or by a probe's."""
    for container in _others(pod):
        declared = {
            each["containerPort"]: "declares"
            for each in mappings(container.get("ports"))
            if isinstance(each.get("containerPort"), int) and each.get("protocol", "TCP") == "TCP"
        }
        uses: dict[Any, str] = {port: "is probed on" for port in _probed(container)} | declared
        for variable, listen in listeners(settings):
            if listen.port in uses:
                yield (
                    f"container {container['name']} {uses[listen.port]} port {listen.port}, where the sidecar"
                    f" listens as well: set {variable}, which is {listen}, to another port"
                )


def _probed(container: Mapping[str, Any]) -> Iterator[int]:
    """The ports of the pod itself that the kubelet knocks at."""
    for probe in PROBES:
        for means in ("httpGet", "tcpSocket", "grpc"):
            asked = (
                (container.get(probe) or {}).get(means) if isinstance(container.get(probe), Mapping) else None
            )
            if isinstance(asked, Mapping) and isinstance(asked.get("port"), int) and not asked.get("host"):
                yield asked["port"]


def _of_names(pod: Pod, settings: Settings) -> Iterator[str]:
    if not asks_the_node(pod["spec"]):
        return
    for each in settings.services:
        by_name = isinstance(each.target, DnsTarget | SrvTarget) and not each.dns_servers
        if by_name and "svc" in re.split("[.:]", str(each.target)):
            yield (
                f"{each.target} is a name of the cluster, and this pod asks the node's name servers:"
                f" set its dnsPolicy to ClusterFirstWithHostNet, or {PREFIX}DNS_SERVERS"
            )


def _of_port_names(pod: Pod, order: Order, settings: Settings) -> Iterator[str]:
    """A Service takes the first port of that name: plain containers first, then init containers."""
    if not order.classic or reachable(settings.telemetry_listen) is None:
        return
    for container in _others(pod):
        if has_telemetry(container):
            yield (
                f"container {container['name']} has a port named {TELEMETRY}: a Service that names it would"
                f" lead to the sidecar's; rename it, or do without {DOMAIN}classic, or --classic"
            )
