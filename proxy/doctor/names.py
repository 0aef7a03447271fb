"""Decides whether a service's name is the right one, and the name of a headless Service. Knows no sockets."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

from proxy.config import PREFIX, DnsTarget, NamedTarget, SrvTarget, StaticTarget
from proxy.doctor import near
from proxy.doctor.finding import Code, Finding, Note
from proxy.doctor.seen import Looked, Name, Place, without_port
from proxy.model import AnswerKind
from proxy.policy.records import Reply, Srv, plain

KUBERNETES_HOST = "KUBERNETES_SERVICE_HOST"
NEARBY = {4: 16, 6: 108}  # how many bits two cluster ips have in common: kubeadm's ranges are /12 and /108
NO_POD_READY = (
    "Zero ready pods look the same in Kubernetes: see whether it has any: kubectl get endpointslices -l"
    " kubernetes.io/service-name="
)
NO_CLUSTER = (
    "use the cluster's DNS: dnsPolicy: ClusterFirst (with hostNetwork: ClusterFirstWithHostNet), or"
    f" {PREFIX}DNS_SERVERS"
)


def _target(looked: Looked) -> NamedTarget:
    target = looked.settings.target
    assert not isinstance(target, StaticTarget)
    return target


def retarget(looked: Looked, name: str, port: int | None = None) -> str:
    """The setting that makes `name` the target; of a port, when it is not the one that was set."""
    target = looked.settings.target
    if isinstance(target, SrvTarget) and port is None:
        return f"{looked.variable('TARGET')}=srv://{name}"
    number = target.port if isinstance(target, DnsTarget) and port is None else port
    return f"{looked.variable('TARGET')}={name}:{number}"


# --- found --------------------------------------------------------------------------------------


def searched(looked: Looked) -> Iterator[Finding | Note]:
    """How many queries the search list costs before the name that exists."""
    host = _target(looked).host
    vain = sum(len(name.replies) for name in looked.tried[:-1])
    if not vain:
        yield Note(f"{host} is {looked.found}, found at once" if host != looked.found else f"{host} exists")
        return
    yield Finding(
        looked.settings.name,
        Code.NDOTS,
        f"{host} is {looked.found}: resolv.conf (search, ndots) costs {vain} more queries each time it is"
        " searched for: at the start, once a minute, and with every poll while it has no pods",
        f"write it in full, with the dot at its end: {retarget(looked, looked.found)}",
    )


def headless(looked: Looked, place: Place) -> Iterator[Finding | Note]:
    """Whether the name stands for pods, or for one address that the cluster balances by itself."""
    proof = proof_of_cluster_ip(looked, place) or _hint_of_cluster_ip(looked, place)
    if proof:
        first = looked.service_name.partition(".")[0]
        yield Finding(
            looked.settings.name,
            Code.NOT_HEADLESS,
            f"{looked.service_name} is not headless: {proof}. Headway sees one address instead of the pods",
            f"give it `clusterIP: None` (immutable: delete the Service and make it anew), or make a second"
            f" Service `{first}-pods` that has it; the target's port is then the pods' targetPort",
        )
    elif _pods_of(looked):
        yield Note(f"headless: SRV names {len({srv.target for srv in looked.own.srvs})} pods")
    else:
        yield Note("headless, as far as its addresses show")


def _pods_of(looked: Looked) -> list[Srv]:
    return [srv for srv in looked.own.srvs if srv.target != plain(looked.service_name)]


def proof_of_cluster_ip(looked: Looked, place: Place) -> str:
    """What shows beyond doubt that there is a cluster ip; nothing if nothing does."""
    if looked.own.srvs and not _pods_of(looked):
        return f"its SRV record leads to itself ({looked.own.srvs[0]}), not to pods"
    if looked.own.srvs:
        return ""
    ips = [each.address.ip for each in looked.endpoints]
    found = (f"its address {ip} is the cluster ip in {name}" for name, ip in place.hosts.items() if ip in ips)
    return next(found, "")


def _hint_of_cluster_ip(looked: Looked, place: Place) -> str:
    cluster = place.hosts.get(KUBERNETES_HOST, "")
    if (
        looked.own.srvs
        or len(looked.endpoints) != 1
        or not _are_close(looked.endpoints[0].address.ip, cluster)
    ):
        return ""
    ip = looked.endpoints[0].address.ip
    return f"its only address {ip} looks like a cluster ip, as the one in {KUBERNETES_HOST} ({cluster})"


def _are_close(ip: str, other: str) -> bool:
    try:
        its = ip_address(other)
    except ValueError:
        return False
    return ip_address(ip) in ip_network(f"{its}/{NEARBY[its.version]}", strict=False)


def without_address(looked: Looked) -> Finding:
    """Records that lead nowhere: SRV targets without an address, or 0.0.0.0, with which filters say no."""
    said = ", ".join(f"{qtype} {reply.result}" for qtype, reply in looked.replies.items())
    what = f"{looked.found} has records ({said}), but no address that anybody could connect to"
    fix = f"is {looked.variable('IP_FAMILY')}={looked.settings.ip_family} right? If so, the zone is at fault"
    return Finding(looked.settings.name, Code.NAME_NOT_FOUND, what, fix)


# --- not found ----------------------------------------------------------------------------------


def not_found(looked: Looked, place: Place) -> Iterator[Finding]:
    """A name without addresses: what was tried, and what exists instead."""
    host = _target(looked).host
    tried = [each.name for each in looked.tried]
    exists = [each for each in looked.near if each.has_records]
    other_family = [each for each in exists if each.name in tried]
    what = f"{host} has no address. DNS says: {_said(looked.tried)}"
    if other_family:
        (qtype,) = other_family[0].replies
        what += f"; {other_family[0].name} has {qtype} records, which IP_FAMILY leaves out"
        fix = f"{looked.variable('IP_FAMILY')}=auto"
    elif exists:
        what += f"; {' and '.join(each.name for each in exists)} exist" + "s" * (len(exists) == 1)
        fix = retarget(looked, exists[0].name)
    else:
        what, fix = _nowhere(looked, place, what)
    yield Finding(looked.settings.name, Code.NAME_NOT_FOUND, what, fix)


def _nowhere(looked: Looked, place: Place, what: str) -> tuple[str, str]:
    """Neither the name nor a similar one: is it the DNS, or are there no pods?"""
    if looked.near:
        what += f"; not there either: {', '.join(each.name for each in looked.near)}"
    kubernetes = near.kubernetes(place)
    server = next(server for server in looked.servers if server.answers)
    if not kubernetes:
        if KUBERNETES_HOST in place.hosts:
            what += f". {place.source} does not search a cluster's domain (svc.cluster.local)"
            return what, NO_CLUSTER
        return what, "is the name right?"
    if _asked(server.reply) == kubernetes and server.reply.kind is AnswerKind.ENDPOINTS:
        what += f". DNS works: {kubernetes} exists"
        service, namespace = _service_of(looked, place)
        where = f" -n {namespace}" if namespace else ""
        return what, f"is the name right? {NO_POD_READY}{service}{where}"
    return what + f". {server.address} does not know {kubernetes} either: it is no cluster's DNS", NO_CLUSTER


def _asked(reply: Reply) -> str:
    return reply.exchange.name if reply.exchange else ""


def _service_of(looked: Looked, place: Place) -> tuple[str, str]:
    """The names of the Service and its namespace, as far as the target has them."""
    target = _target(looked)
    host = target.service if isinstance(target, SrvTarget) else target.host
    labels = host.rstrip(".").removesuffix(f".svc.{place.domain}").split(".")
    return labels[0], labels[1] if len(labels) > 1 else place.namespace


def _said(names: Iterable[Name]) -> str:
    """What each name was answered with, those of one answer together."""
    words = {AnswerKind.NXDOMAIN: "no such name", AnswerKind.EMPTY: "exists without such a record"}
    said: dict[str, list[str]] = {}
    for each in names:
        replies = dict.fromkeys(words.get(reply.kind, reply.result) for reply in each.replies.values())
        said.setdefault(" or ".join(replies), []).append(each.name)
    return "; ".join(f"{answer}: {', '.join(those)}" for answer, those in said.items())


def no_srv(looked: Looked, place: Place) -> Iterator[Finding]:
    """An SRV name that does not exist: is the Service there, and which ports does it name?"""
    services = [without_port(each.name) for each in looked.tried]
    exists = next((each.name for each in looked.near if each.has_records), "")
    if not exists:
        what, fix = _nowhere(
            looked, place, f"{_target(looked).host} does not exist. DNS says: {_said(looked.tried)}"
        )
        yield Finding(looked.settings.name, Code.NAME_NOT_FOUND, what, fix)
        return
    named = [each.name for each in looked.near if each.has_records and each.name.startswith("_")]
    ports = sorted({srv.port for srv in looked.own.srvs})
    listed = ", ".join(map(str, ports))
    if exists in services:
        code = Code.NO_SRV
        port = _target(looked).host.partition(".")[0].removeprefix("_")
        what = f"{exists} exists, but no port of it is named {port!r} ({_said(looked.tried)});"
        what += f" its ports are {listed}" if ports else " its SRV records list no port"
    else:
        code, what = Code.NAME_NOT_FOUND, f"{_target(looked).host} does not exist, but {exists} does"
    if named:
        fix = retarget(looked, named[0])
    else:
        other = retarget(looked, exists, ports[0]) if ports else f"{looked.variable('TARGET')}={exists}:PORT"
        fix = f"name the port in the Service (spec.ports[].name), or do without its name: {other}"
    yield Finding(looked.settings.name, code, what, fix)
