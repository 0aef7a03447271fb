"""The Pod Security Standard "restricted", rule by rule: what keeps a pod from being admitted.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, for Linux, as of 1.37.
"""

from collections.abc import Iterator
from typing import Any

Spec = dict[str, Any]

VOLUMES = {
    *(
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    )
}
SECCOMP = {"RuntimeDefault", "Localhost"}
SELINUX = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}


def violations(spec: Spec) -> list[str]:
    """Every rule that the pod breaks, in words."""
    return [*_of_pod(spec), *(each for container in _containers(spec) for each in _of(container, spec))]


def _containers(spec: Spec) -> list[Spec]:
    lists = ("initContainers", "containers", "ephemeralContainers")
    return [container for each in lists for container in spec.get(each, [])]


def _of_pod(spec: Spec) -> Iterator[str]:
    yield from (f"{each} is set" for each in ("hostNetwork", "hostPID", "hostIPC") if spec.get(each))
    for volume in spec.get("volumes", []):
        if not VOLUMES & volume.keys():
            yield f"volume {volume['name']} is of a kind that is not allowed"
    context = spec.get("securityContext", {})
    if context.get("sysctls"):
        yield "sysctls are set"  # some are allowed; we need none
    if context.get("runAsUser") == 0:
        yield "the pod runs as root"


def _of(container: Spec, spec: Spec) -> Iterator[str]:
    own, pods = container.get("securityContext", {}), spec.get("securityContext", {})
    both = {**pods, **own}
    adds, drops = (own.get("capabilities", {}).get(each, []) for each in ("add", "drop"))
    rules = {
        "is privileged": own.get("privileged"),
        "may escalate privileges": own.get("allowPrivilegeEscalation") is not False,
        "may run as root": both.get("runAsNonRoot") is not True,
        "runs as root": own.get("runAsUser") == 0,
        "keeps capabilities": "ALL" not in drops,
        "adds capabilities": set(adds) - {"NET_BIND_SERVICE"},
        "has no seccomp profile": both.get("seccompProfile", {}).get("type") not in SECCOMP,
        "has SELinux options of its own": both.get("seLinuxOptions", {}).get("type") not in SELINUX,
        "has a proc mount of its own": own.get("procMount", "Default") != "Default",
        "takes a port of the node": any(each.get("hostPort") for each in container.get("ports", [])),
    }
    yield from (f"{container['name']} {rule}" for rule, broken in rules.items() if broken)
