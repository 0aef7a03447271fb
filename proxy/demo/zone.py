"""Writes the DNS reply that Kubernetes' CoreDNS would write. Knows no sockets and no clock."""

import ipaddress
from collections.abc import Iterable
from random import Random
from typing import Any, Literal

import dnslib

Mode = Literal["answer", "servfail", "refused", "nxdomain", "empty", "drop"]

TTL_S = 30  # kubeadm's Corefile: `kubernetes cluster.local { ttl 30 }`
UDP_LIMIT = 512  # RFC 1035 4.2.1: without EDNS a UDP message ends here
ORIGIN = "cluster.local."
FAILURES: dict[Mode, str] = {"servfail": "SERVFAIL", "refused": "REFUSED"}


class Zone:
    """Names and the addresses of their ready pods."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._pods: dict[str, list[str]] = {}
        self._ports: dict[str, list[tuple[str, int]]] = {}

    def set(self, name: str, ips: Iterable[str]) -> None:
        self._pods[key(name)] = list(ips)

    def set_srv(self, name: str, targets: Iterable[tuple[str, int]]) -> None:
        self._ports[key(name)] = list(targets)

    def reply(self, query: Any, mode: Mode) -> Any | None:
        """The whole reply, however large; None when the mode is to stay silent."""
        if mode == "drop":
            return None
        # CoreDNS offers no recursion for the cluster's own zone: AA yes, RA no.
        reply = query.reply(ra=0, aa=0 if mode in FAILURES else 1)
        if _edns_size(query) is not None:
            reply.add_ar(dnslib.EDNS0(udp_len=1232))
        if mode in FAILURES:
            reply.header.rcode = getattr(dnslib.RCODE, FAILURES[mode])
        elif mode == "nxdomain":
            _deny(reply)
        elif mode == "answer":
            self._answer(reply, key(str(query.q.qname)), dnslib.QTYPE.get(query.q.qtype))
        return reply

    def _answer(self, reply: Any, name: str, qtype: str) -> None:
        if not self._pods.get(name) and not self._ports.get(name):
            _deny(reply)  # a Service without a ready pod looks like a typo: NXDOMAIN
            return
        records = self._srv(reply, name) if qtype == "SRV" else self._addresses(name, qtype)
        self._rng.shuffle(records)
        reply.add_answer(*records)
        if not records:
            reply.add_auth(_soa())

    def _addresses(self, name: str, qtype: str) -> list[Any]:
        return [_record(name, ip) for ip in self._pods.get(name, ()) if _family(ip) == qtype]

    def _srv(self, reply: Any, name: str) -> list[Any]:
        targets = self._ports.get(name, [])
        for target, _ in targets:
            reply.add_ar(*(_record(target, ip) for ip in self._pods.get(key(target), ())))
        weight = 100 // max(1, len(targets))  # CoreDNS' weights are made up like this
        return [
            dnslib.RR(name, dnslib.QTYPE.SRV, rdata=dnslib.SRV(0, weight, port, target), ttl=TTL_S)
            for target, port in targets
        ]


def fit(reply: Any, query: Any) -> bytes:
    """Pack for UDP: what is too large loses its tail and gets TC, so that the client asks again over TCP."""
    limit = max(UDP_LIMIT, _edns_size(query) or 0)
    whole: bytes = reply.pack()
    if len(whole) <= limit:
        return whole
    answers, reply.rr = reply.rr, []
    reply.header.tc = 1
    reply.ar = [record for record in reply.ar if record.rtype == dnslib.QTYPE.OPT]
    low, high = 0, len(answers)
    while low < high:
        middle = (low + high + 1) // 2
        reply.rr = answers[:middle]
        low, high = (middle, high) if len(reply.pack()) <= limit else (low, middle - 1)
    reply.rr = answers[:low]
    packed: bytes = reply.pack()
    return packed


def key(name: str) -> str:
    """RFC 4343: names compare without case; the trailing dot is optional for people."""
    return name.lower().rstrip(".") + "."


def _deny(reply: Any) -> None:
    reply.header.rcode = dnslib.RCODE.NXDOMAIN
    reply.add_auth(_soa())


def _soa() -> Any:
    # RFC 2308 5: the last number, the minimum, is how long a "no" may be cached.
    times = (1, 7200, 1800, 86400, TTL_S)
    soa = dnslib.SOA("ns.dns." + ORIGIN, "hostmaster." + ORIGIN, times)
    return dnslib.RR(ORIGIN, dnslib.QTYPE.SOA, rdata=soa, ttl=TTL_S)


def _record(name: str, ip: str) -> Any:
    family = _family(ip)
    data = dnslib.A(ip) if family == "A" else dnslib.AAAA(ip)
    return dnslib.RR(name, getattr(dnslib.QTYPE, family), rdata=data, ttl=TTL_S)


def _family(ip: str) -> str:
    return "A" if ipaddress.ip_address(ip).version == 4 else "AAAA"


def _edns_size(query: Any) -> int | None:
    return next((record.rclass for record in query.ar if record.rtype == dnslib.QTYPE.OPT), None)
