"""Decides what else a name may have been meant to be, and which other ports a pod may listen on."""

from collections.abc import Collection, Sequence

from proxy.doctor.seen import Place
from proxy.policy.resolv_conf import ResolvConf
from proxy.policy.search import candidates

NAMES_MOST = 8
PORT_NAMES = ("http", "https", "grpc", "tcp", "web")
PORT_NAMES_MOST = 6
COMMON_PORTS = (80, 443, 3000, 5000, 5432, 6379, 8000, 8080, 8081, 8443, 9000, 9090, 50051)


def cluster(conf: ResolvConf) -> tuple[str, str]:
    """The pod's namespace and its cluster's domain, as the kubelet's search list has them; or nothing.

    That list is `<ns>.svc.<domain> svc.<domain> <domain>`.
    """
    namespace = domain = ""
    for each in conf.domains:
        before, found, after = f".{each}".partition(".svc.")
        if found and "." not in before[1:]:
            domain = domain or after
            namespace = namespace or before[1:]
    return namespace, domain


def kubernetes(place: Place) -> str:
    """The one Service that every cluster has: whoever does not know it is no cluster's DNS."""
    return f"kubernetes.default.svc.{place.domain}." if place.domain else ""


def variants(host: str, place: Place, tried: Collection[str]) -> list[str]:
    """Full names that `host` may have been meant to be, likely ones first; none of those already `tried`."""
    bare = host.rstrip(".")
    found: list[str] = []
    if host.endswith("."):
        found += candidates(bare, place.conf)
    if place.domain:
        suffix = f"svc.{place.domain}"
        labels = _head(bare, place.domain)
        if len(labels) > 1:
            found.append(f"{'.'.join(labels)}.{suffix}.")
        namespaces = dict.fromkeys(filter(None, (place.namespace, "default")))
        found += [f"{labels[0]}.{namespace}.{suffix}." for namespace in namespaces]
    return [name for name in dict.fromkeys(found) if name not in tried][:NAMES_MOST]


def _head(bare: str, domain: str) -> list[str]:
    """The labels before `svc` and the domain: a Service and perhaps its namespace."""
    labels = bare.removesuffix(f".{domain}").split(".")
    return labels[: labels.index("svc", 1)] if "svc" in labels[1:] else labels


def port_names(wanted: str, service: str) -> list[str]:
    """SRV names of `service` that may exist although `wanted` (`_http._tcp`) does not."""
    port, _, protocol = wanted.partition(".")
    other = "_udp" if protocol == "_tcp" else "_tcp"
    guesses = [wanted, f"{port}.{other}", *(f"_{each}._tcp" for each in PORT_NAMES)]
    return [f"{guess}.{service}" for guess in dict.fromkeys(guesses)][:PORT_NAMES_MOST]


def ports(target: int, listed: Sequence[int], most: int) -> list[int]:
    """Other ports to try instead of `target`: those that SRV lists, then common ones."""
    return [port for port in dict.fromkeys((*listed, *COMMON_PORTS)) if port != target][:most]
