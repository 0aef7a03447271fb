"""Looks at one service: its names first, then the answers for a while, and the pods behind them."""

import asyncio
import math
from collections.abc import Collection, Sequence

import msgspec

from proxy.config import DnsTarget, ServiceSettings, SrvTarget, StaticTarget
from proxy.controlpath.lookup import FAMILIES
from proxy.controlpath.resolver import AresResolver
from proxy.doctor import near
from proxy.doctor.knock import Knocks
from proxy.doctor.seen import Glance, Looked, Name, Place, Server, without_port
from proxy.model import AnswerKind, Clock, Identity
from proxy.policy.answers import merge, named, without_glue
from proxy.policy.records import QTYPE, SRV, Reply
from proxy.policy.search import candidates

LOOKS_MOST = 12
FOLLOW_UPS_MOST = 6


async def look(
    settings: ServiceSettings, servers: Sequence[Server], place: Place, watch_s: float, clock: Clock
) -> Looked:
    """All that can be seen of the service from here."""
    looked = Looked(settings, tuple(servers))
    if isinstance(settings.target, StaticTarget):
        pods = Knocks(settings.health_timeout_s)
        await pods.check(settings.target.addresses)
        found = {address: tuple(reasons) for address, reasons in pods.checks.items()}
        seen = {"checks": found, "health": await pods.health(settings)}
        return msgspec.structs.replace(looked, endpoints=tuple(map(Identity, found)), **seen)
    askers = [_Asker(settings, each, place, clock) for each in servers if each.answers]
    if not askers:
        return looked
    looked = await _look_up(looked, askers[0], place)
    return await _watch(looked, askers, watch_s, clock) if looked.found else looked


class _Asker:
    """Puts the questions of one service to one server."""

    def __init__(self, settings: ServiceSettings, server: Server, place: Place, clock: Clock) -> None:
        self.server = server.address
        conf = place.conf
        self._resolver = AresResolver([server.address], lambda: conf, settings.dns_timeout_s, clock)
        families = tuple(QTYPE[family] for family in FAMILIES[settings.ip_family])
        self.of_names = families
        self.of_target = (SRV,) if isinstance(settings.target, SrvTarget) else families

    async def all(self, name: str, qtypes: Sequence[str]) -> Name:
        replies = await asyncio.gather(*(self._resolver.query(name, qtype) for qtype in qtypes))
        return Name(name, dict(zip(qtypes, replies, strict=True)))

    async def each(self, names: Collection[str], qtypes: Sequence[str]) -> list[Name]:
        return list(await asyncio.gather(*(self.all(name, qtypes) for name in names)))

    async def srv(self, name: str) -> Reply:
        return await self._resolver.query(name, SRV)


# --- names --------------------------------------------------------------------------------------


async def _look_up(looked: Looked, asker: _Asker, place: Place) -> Looked:
    """Try the names that the target stands for, as the sidecar does; when none exists, similar ones."""
    target = looked.settings.target
    assert not isinstance(target, StaticTarget)
    tried: list[Name] = []
    for name in candidates(target.host, place.conf):
        tried.append(await asker.all(name, asker.of_target))
        if tried[-1].has_records:
            looked = msgspec.structs.replace(looked, tried=tuple(tried), found=name)
            if isinstance(target, SrvTarget):
                own = tried[-1].replies[SRV]
            else:
                own = await asker.srv(name)
            return msgspec.structs.replace(looked, own=own)
    looked = msgspec.structs.replace(looked, tried=tuple(tried))
    if isinstance(target, SrvTarget):
        return await _ports_nearby(looked, target, asker, place)
    return await _names_nearby(looked, target, asker, place)


async def _names_nearby(looked: Looked, target: DnsTarget, asker: _Asker, place: Place) -> Looked:
    tried = [each.name for each in looked.tried]
    found = await asker.each(near.variants(target.host, place, tried), asker.of_names)
    if len(asker.of_names) == 1:
        # A name without addresses of this family may well have some of the other.
        empty = [n.name for n in looked.tried if any(r.kind is AnswerKind.EMPTY for r in n.replies.values())]
        found += await asker.each(empty, [q for q in QTYPE.values() if q not in asker.of_names])
    return msgspec.structs.replace(looked, near=tuple(found))


async def _ports_nearby(looked: Looked, target: SrvTarget, asker: _Asker, place: Place) -> Looked:
    """Whether the Service exists without this port, and under which names its ports do."""
    services = [without_port(each.name) for each in looked.tried]
    found = await asker.each(services, asker.of_names)
    if not any(each.has_records for each in found):
        found += await asker.each(near.variants(target.service, place, services), asker.of_names)
    service = next((each.name for each in found if each.has_records), "")
    own = looked.own
    if service:
        own = await asker.srv(service)
        wanted = target.host.removesuffix(target.service).rstrip(".")
        guesses = near.port_names(wanted, service)
        found += await asker.each([g for g in guesses if g not in {n.name for n in looked.tried}], (SRV,))
    return msgspec.structs.replace(looked, near=tuple(found), own=own)


# --- answers and pods ---------------------------------------------------------------------------


async def _watch(looked: Looked, askers: Sequence[_Asker], watch_s: float, clock: Clock) -> Looked:
    """Ask every server again and again, and connect again to the pods that have not accepted yet."""
    settings = looked.settings
    endpoints = await _endpoints(looked, askers[0])
    pods = Knocks(settings.health_timeout_s)
    await pods.check([each.address for each in endpoints])
    ports: dict[int, str] = {}
    if isinstance(settings.target, DnsTarget):
        listed = [srv.port for srv in looked.own.srvs]
        ports = await pods.other_ports(settings.target, listed)
    qtype = next(qtype for qtype, reply in looked.replies.items() if reply.kind is AnswerKind.ENDPOINTS)
    began = clock.now()
    pauses = min(LOOKS_MOST, max(2, math.ceil(watch_s))) if watch_s else 0
    glances: list[Glance] = []
    for number in range(pauses + 1):
        if number:
            await clock.sleep(watch_s / pauses)
            await pods.check_again()
        at_s = clock.now() - began
        names = await asyncio.gather(*(asker.all(looked.found, (qtype,)) for asker in askers))
        for asker, name in zip(askers, names, strict=True):
            glances.append(Glance(number, at_s, asker.server, name.replies[qtype]))
    return msgspec.structs.replace(
        looked,
        endpoints=endpoints,
        glances=tuple(glances),
        ports=ports,
        checks={address: tuple(reasons) for address, reasons in pods.checks.items()},
        health=await pods.health(settings),
    )


async def _endpoints(looked: Looked, asker: _Asker) -> tuple[Identity, ...]:
    """The pods that the answer stands for, in the order of their addresses."""
    settings, replies = looked.settings, looked.replies
    if isinstance(settings.target, DnsTarget):
        known = {family: replies[QTYPE[family]] for family in FAMILIES[settings.ip_family]}
        return tuple(sorted(merge(known, settings.target.port).endpoints))
    reply = replies[SRV]
    families = frozenset(FAMILIES[settings.ip_family])
    missing = without_glue(reply, families)[:FOLLOW_UPS_MOST]
    followed = await asker.each([f"{target}." for target in missing], asker.of_names)
    ips = {
        target: tuple(ip for each in name.replies.values() for ip in each.ips)
        for target, name in zip(missing, followed, strict=True)
    }
    return tuple(sorted(named(reply, {**reply.glue, **ips}, frozenset(), families).endpoints))
