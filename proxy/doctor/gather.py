"""Gathers what there is to see around this pod, in a few dozen packets and connects for each service."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from proxy.config import ServiceSettings, Settings, StaticTarget
from proxy.controlpath.resolv_conf import PATH, ResolvConfFile
from proxy.controlpath.resolver import AresResolver
from proxy.doctor import near
from proxy.doctor.knock import Knocks
from proxy.doctor.look import look
from proxy.doctor.seen import SILENT, Place, Server, Survey
from proxy.model import Address, AnswerKind, Clock, Family
from proxy.policy.records import QTYPE

NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
SERVICE_HOST = "_SERVICE_HOST"
QUESTION = QTYPE[Family.IPV4]
NEVER = "headway.invalid."  # RFC 6761 6.4: whoever answers says that it does not exist


class Sources:
    """Where the pod's surroundings are written down; tests have their own."""

    def __init__(self, env: Mapping[str, str], resolv_conf: Path = PATH, namespace: Path = NAMESPACE) -> None:
        self._env = env
        self._resolv_conf = resolv_conf
        self._namespace = namespace

    def place(self, settings: Settings) -> Place:
        conf = ResolvConfFile(self._resolv_conf)()
        namespace, domain = near.cluster(conf)
        hosts = {name: ip for name, ip in self._env.items() if name.endswith(SERVICE_HOST)}
        own = settings.pod_namespace or self._read() or namespace
        return Place(conf, str(self._resolv_conf), own, domain, hosts)

    def _read(self) -> str:
        try:
            return self._namespace.read_text(errors="replace").strip()
        except OSError:
            return ""


async def survey(settings: Settings, place: Place, watch_s: float, clock: Clock) -> Survey:
    """The name servers, then all services at the same time."""
    asked: dict[Address, ServiceSettings] = {}
    for each in settings.services:
        if not isinstance(each.target, StaticTarget):
            for address in each.dns_servers or place.conf.servers:
                asked.setdefault(address, each)
    probed = await asyncio.gather(*(_probe(address, by, place, clock) for address, by in asked.items()))
    servers = dict(zip(asked, probed, strict=True))
    services = []
    for each in settings.services:
        its = [] if isinstance(each.target, StaticTarget) else each.dns_servers or place.conf.servers
        services.append(look(each, [servers[address] for address in its], place, watch_s, clock))
    return Survey(place, tuple(probed), tuple(await asyncio.gather(*services)), watch_s)


async def _probe(address: Address, settings: ServiceSettings, place: Place, clock: Clock) -> Server:
    """Whether it answers at all, by UDP and by TCP."""
    target = settings.target
    assert not isinstance(target, StaticTarget)
    as_it_is = target.host.rstrip(".") + "."
    resolver = AresResolver([address], lambda: place.conf, settings.dns_timeout_s, clock)
    knocking = Knocks(settings.dns_timeout_s).knock(address)
    reply, tcp = await asyncio.gather(resolver.query(near.kubernetes(place) or as_it_is, QUESTION), knocking)
    for name in (as_it_is, NEVER):
        # It may have no business with the cluster's names, such as Consul's, or fail for this one only.
        over_tcp = reply.exchange is not None and reply.exchange.transport == "tcp"
        if reply.kind is AnswerKind.FAILED and (over_tcp or reply.result not in SILENT):
            again = await resolver.query(name, QUESTION)
            reply = reply if again.kind is AnswerKind.FAILED else again
    return Server(address, reply, tcp)
