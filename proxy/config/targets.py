"""What TARGET may be: a name whose addresses are pods, a name with SRV records, or a list of addresses."""

import ipaddress
import re

import msgspec

from proxy.config.listen import Listen
from proxy.config.values import Kind, address, port_number, split
from proxy.model import Address

_SRV = re.compile(r"_[a-z0-9-]+\._(tcp|udp|sctp)\.\S+")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


class DnsTarget(msgspec.Struct, frozen=True):
    """Pods behind a name's A and AAAA records. A trailing dot in `host` means: no search list."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class SrvTarget(msgspec.Struct, frozen=True):
    """Pods behind a name's SRV records: each brings its own port, and the pod's stable name."""

    host: str

    @property
    def service(self) -> str:
        """The name without `_port._proto.`."""
        return self.host.split(".", 2)[2]

    def __str__(self) -> str:
        return f"srv://{self.host}"


class StaticTarget(msgspec.Struct, frozen=True):
    """Pods that are simply listed."""

    addresses: tuple[Address, ...]

    def __str__(self) -> str:
        return "static://" + ",".join(map(str, self.addresses))


NamedTarget = DnsTarget | SrvTarget
Target = NamedTarget | StaticTarget


def _target(text: str) -> Target:
    scheme, found, rest = text.partition("://")
    if not found:
        return _dns_target(text)
    if scheme == "static":
        # dict: order stays, a pod named twice is one pod
        return StaticTarget(tuple(dict.fromkeys(address(part.strip()) for part in rest.split(","))))
    if scheme == "srv":
        return _srv_target(rest)
    raise ValueError(f"has the scheme {scheme}://, which is not known")


def _srv_target(text: str) -> SrvTarget:
    if ":" in text:
        raise ValueError("has a port; SRV records bring their own")
    host = _hostname(text)
    if not _SRV.fullmatch(host):
        raise ValueError(f"has {text!r}, which does not begin with _port._proto. such as _http._tcp.")
    return SrvTarget(host)


def _dns_target(text: str) -> Target:
    host, port = split(text)
    number = port_number(port)
    try:
        return StaticTarget((Address(str(ipaddress.ip_address(host)), number),))
    except ValueError:
        return DnsTarget(_hostname(host), number)


def _hostname(text: str) -> str:
    if not text.isascii():
        raise ValueError("has letters outside ASCII; write the name in its xn-- form")
    name = text.lower()
    labels = name.removesuffix(".").split(".")
    if len(".".join(labels)) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"has {text!r}, which is not a host name")
    if labels[-1].isdigit():
        raise ValueError(f"has {text!r}, which is neither an ip address nor a host name")
    return name


target: Kind[Target] = Kind(
    _target,
    "host:port (the port is the pods' targetPort), srv://_port._proto.host or static://ip:port,ip:port",
)

hostname: Kind[str] = Kind(_hostname, "a host name")


def default_name(target: Target | None) -> str:
    """What a lone service is called in metrics and logs: the first label of its Service."""
    match target:
        case DnsTarget(host=host) | SrvTarget(service=host):
            return host.partition(".")[0]
    return "default"


def default_listen(target: Target | None) -> Listen | None:
    match target:
        case DnsTarget(port=port):
            return Listen("127.0.0.1", port)
        case StaticTarget(addresses) if len({address.port for address in addresses}) == 1:
            return Listen("127.0.0.1", addresses[0].port)
    return None
