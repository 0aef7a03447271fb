"""Writes the sidecar's container, as the README describes it."""

import ipaddress
from typing import Any

from proxy.config import PREFIX, Listen, Settings
from proxy.inject.order import Order

NAME = "headway"
TELEMETRY = "telemetry"
USER = 65532
START_WITHIN_S = 60
DOWNWARD = {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}


def container(order: Order, settings: Settings) -> dict[str, Any]:
    """The container that `order` describes; `settings` are what the proxy makes of those in it."""
    listen = reachable(settings.telemetry_listen)
    return {
        "name": NAME,
        "image": order.image,
        **({"imagePullPolicy": order.pull_policy} if order.pull_policy else {}),
        **({} if order.classic else {"restartPolicy": "Always"}),
        "env": _environment(order),
        **(_watched(listen) if listen else {}),
        "resources": {
            "requests": {"cpu": order.cpu, "memory": order.memory},
            "limits": {"memory": order.memory_limit},  # no limit of CPU: throttling would stall connections
        },
        # All that the Pod Security Standard "restricted" asks for.
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": USER,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def reachable(telemetry: Listen | None) -> Listen | None:
    """Where the kubelet reaches the telemetry pages: not on loopback, a Unix socket or a port yet unknown."""
    if telemetry is None or telemetry.path or telemetry.port == 0 or telemetry.host == "localhost":
        return None
    if telemetry.host and ipaddress.ip_address(telemetry.host).is_loopback:
        return None
    return telemetry


def _environment(order: Order) -> list[dict[str, Any]]:
    own = [{"name": PREFIX + name, "value": text} for name, text in order.settings.items()]
    pod = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in DOWNWARD.items()]
    return [*own, *pod]


def _watched(telemetry: Listen) -> dict[str, Any]:
    """The application starts once Headway has heard from DNS. No readiness probe: what happens to DNS later
    must not take the application out of its Services."""
    return {
        "ports": [{"name": TELEMETRY, "containerPort": telemetry.port}],
        "startupProbe": {
            "httpGet": {"path": "/readyz", "port": TELEMETRY},
            "periodSeconds": 1,
            "failureThreshold": START_WITHIN_S,
        },
        "livenessProbe": {"httpGet": {"path": "/livez", "port": TELEMETRY}},
    }
