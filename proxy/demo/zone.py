"""Writes the DNS reply that Kubernetes' CoreDNS would write. Knows no sockets and no clock."""

import ipaddress
import math
from collections.abc import Iterable
from random import Random
from typing import Any, Literal, NamedTuple

import dnslib

Mode = Literal["answer", "servfail", "refused", "nxdomain", "empty", "drop"]
Target = tuple[str, int] | tuple[str, int, int, int]  # host, port, and if chosen: priority, weight
Fact = tuple[str, Any]  # a name, and one thing known of it: an rdata of dnslib

TTL_S = 30  # kubeadm's Corefile: `kubernetes cluster.local { ttl 30 }`
UDP_LIMIT = 512  # RFC 1035 4.2.1: without EDNS a UDP message ends here
TCP_LIMIT = 65535  # RFC 1035 4.2.2: its length is told in two bytes
OPT_BYTES = 11  # RFC 6891 6.1.2, without options
POINTER_LIMIT = 1 << 14  # RFC 1035 4.1.4: a pointer to an earlier name has 14 bits
ORIGIN = "cluster.local."
FAILURES: dict[Mode, str] = {"servfail": "SERVFAIL", "refused": "REFUSED"}


class Said(NamedTuple):
    """What there is to say about a name: a reply without its wrapping."""

    answers: list[Fact]
    authority: list[Fact]
    additional: list[Fact]
    rcode: int = dnslib.RCODE.NOERROR


class Zone:
    """Names and what is known of them: mostly the addresses of their ready pods."""

    def __init__(self, rng: Random) -> None:
        self.ttl_s = TTL_S
        self.serial = 1
        self.glue = True
        self.glue_at_most: int | None = None
        self.cache_s = 0.0
        self._rng = rng
        self._pods: dict[str, list[Any]] = {}
        self._ports: dict[str, list[Any]] = {}
        self._aliases: dict[str, str] = {}
        self._cache: dict[tuple[str, str], tuple[Said, float, float]] = {}

    def set(self, name: str, ips: Iterable[str]) -> None:
        """The ready pods behind a name; no ip means that the name does not exist, as in Kubernetes."""
        self._aliases.pop(key(name), None)
        self._pods[key(name)] = [_address(ip) for ip in ips]

    def set_srv(self, name: str, targets: Iterable[Target]) -> None:
        """The hosts and ports behind an SRV name; what `set` knows of a host goes along as glue."""
        self._aliases.pop(key(name), None)
        listed = list(targets)
        # CoreDNS makes its weights up like this, whatever the pods are worth.
        even = max(1, 100 // max(1, len(listed)))
        self._ports[key(name)] = [_srv(target, even) for target in listed]

    def set_cname(self, name: str, target: str) -> None:
        """`name` stands for `target` from now on. RFC 1034 3.6.2: it then has nothing else."""
        self.set(name, ())
        self.set_srv(name, ())
        self._aliases[key(name)] = key(target)

    def reply(self, query: Any, mode: Mode, now: float) -> Any | None:
        """The whole reply, however large; None when the mode is to stay silent."""
        if mode == "drop":
            return None
        # CoreDNS offers no recursion for the cluster's own zone: AA yes, RA no.
        reply = query.reply(ra=0, aa=0 if mode in FAILURES else 1)
        if mode in FAILURES:
            reply.header.rcode = getattr(dnslib.RCODE, FAILURES[mode])
        elif mode == "nxdomain":
            self._write(reply, self._denial(dnslib.RCODE.NXDOMAIN), self.ttl_s)
        elif mode == "answer":
            name, qtype = key(str(query.q.qname)), str(dnslib.QTYPE.get(query.q.qtype))
            self._write(reply, *self._recall(name, qtype, now))
        if _edns_size(query) is not None:
            reply.add_ar(dnslib.EDNS0(udp_len=1232))
        return reply

    def _write(self, reply: Any, said: Said, ttl_s: int) -> None:
        reply.header.rcode = said.rcode
        reply.add_answer(*(_record(fact, ttl_s) for fact in self._shuffled(said.answers)))
        reply.add_auth(*(_record(fact, ttl_s) for fact in said.authority))
        reply.add_ar(*(_record(fact, ttl_s) for fact in self._shuffled(said.additional)))

    def _shuffled(self, facts: list[Fact]) -> list[Fact]:
        """Addresses in any order, what else there is before them and as it was: CoreDNS' loadbalance."""
        addresses = [fact for fact in facts if _is_address(fact)]
        self._rng.shuffle(addresses)
        return [fact for fact in facts if not _is_address(fact)] + addresses

    def _recall(self, name: str, qtype: str, now: float) -> tuple[Said, int]:
        """What to say, new or from the cache, and the ttl that is left of it."""
        if not self.cache_s:
            self._cache.clear()
            return self._say(name, qtype), self.ttl_s
        said, since, life_s = self._cache.get((name, qtype), (None, now, 0.0))
        if said is None or now - since >= life_s:
            said, since, life_s = self._say(name, qtype), now, min(self.cache_s, self.ttl_s)
            self._cache[name, qtype] = said, since, life_s
        return said, math.ceil(life_s) - int(now - since)

    def _say(self, name: str, qtype: str) -> Said:
        chain, name = self._follow(name)
        if qtype == "CNAME" and chain:
            return Said(chain[:1], [], [])
        records = [(name, data) for data in self._known(name) if type(data).__name__ == qtype]
        if chain or records:
            return Said(chain + records, [], self._glue_of(records))
        return self._denial(dnslib.RCODE.NOERROR if self._known(name) else dnslib.RCODE.NXDOMAIN)

    def _follow(self, name: str) -> tuple[list[Fact], str]:
        """The chain of CNAMEs from a name, each of them once, and where it leads."""
        chain: list[Fact] = []
        aliases = dict(self._aliases)
        while target := aliases.pop(name, None):
            chain.append((name, dnslib.CNAME(target)))
            name = target
        return chain, name

    def _known(self, name: str) -> list[Any]:
        """Nothing means NXDOMAIN: a Service without a ready pod looks like a typo."""
        of_origin = [self._soa()] if name == ORIGIN else []
        return of_origin + self._pods.get(name, []) + self._ports.get(name, [])

    def _glue_of(self, records: list[Fact]) -> list[Fact]:
        if not self.glue:
            return []
        hosts = dict.fromkeys(key(str(data.target)) for _, data in records if isinstance(data, dnslib.SRV))
        found = [(host, address) for host in hosts for address in self._pods.get(host, ())]
        return found[: self.glue_at_most]

    def _denial(self, rcode: int) -> Said:
        return Said([], [(ORIGIN, self._soa())], [], rcode)

    def _soa(self) -> Any:
        # RFC 2308 5: the last number, the minimum, is how long a "no" may be cached.
        times = (self.serial, 7200, 1800, 86400, self.ttl_s)
        return dnslib.SOA("ns.dns." + ORIGIN, "hostmaster." + ORIGIN, times)


def fit(reply: Any, most_bytes: int) -> bytes:
    """Pack. What is too large loses its tail, the additional records first, and gets TC, as from CoreDNS."""
    buffer = dnslib.DNSBuffer()
    buffer.names = _Names()
    reply.header.pack(buffer)
    for question in reply.questions:
        question.pack(buffer)
    opt = [record for record in reply.ar if record.rtype == dnslib.QTYPE.OPT]  # it has its place for sure
    reply.ar = [record for record in reply.ar if record.rtype != dnslib.QTYPE.OPT]
    room = most_bytes - OPT_BYTES * len(opt)
    for section in (reply.rr, reply.auth, reply.ar):
        fitting = _append(buffer, section, room)
        if fitting < len(section):
            del section[fitting:]
            reply.header.tc, room = 1, 0
    reply.ar += opt
    _append(buffer, opt, most_bytes)
    reply.set_header_qa()
    header = dnslib.DNSBuffer()
    reply.header.pack(header)
    return bytes(header.data + buffer.data[len(header) :])


def _append(buffer: Any, records: list[Any], most_bytes: int) -> int:
    """How many of the records fit; a message is packed once, since 1,000 records take a while."""
    for number, record in enumerate(records):
        before = buffer.offset
        record.pack(buffer)
        if buffer.offset > most_bytes:
            del buffer.data[before:]
            buffer.offset = before
            return number
    return len(records)


class _Names(dict[tuple[bytes, ...], int]):
    """Where names stand in a message. dnslib would point to any of them, and garble the far ones."""

    def __setitem__(self, name: tuple[bytes, ...], offset: int) -> None:
        if offset < POINTER_LIMIT:
            super().__setitem__(name, offset)


def udp_limit(query: Any) -> int:
    """How many bytes the client takes in a datagram."""
    return max(UDP_LIMIT, _edns_size(query) or 0)


def key(name: str) -> str:
    """RFC 4343: names compare without case; the trailing dot is optional for people."""
    return name.lower().rstrip(".") + "."


def _address(ip: str) -> Any:
    return dnslib.A(ip) if ipaddress.ip_address(ip).version == 4 else dnslib.AAAA(ip)


def _is_address(fact: Fact) -> bool:
    return isinstance(fact[1], dnslib.A | dnslib.AAAA)


def _srv(target: Target, even: int) -> Any:
    host, port, *chosen = target
    priority, weight = chosen or (0, even)
    return dnslib.SRV(priority, weight, port, host)


def _record(fact: Fact, ttl_s: int) -> Any:
    name, data = fact
    return dnslib.RR(name, getattr(dnslib.QTYPE, type(data).__name__), rdata=data, ttl=ttl_s)


def _edns_size(query: Any) -> int | None:
    return next((record.rclass for record in query.ar if record.rtype == dnslib.QTYPE.OPT), None)
