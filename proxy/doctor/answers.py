"""Decides what is wrong with the answers for a name: their size, age and agreement. Knows no sockets."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from proxy.config import PREFIX, SrvTarget
from proxy.doctor.finding import Code, Finding, Note, counted
from proxy.doctor.names import retarget
from proxy.doctor.seen import Glance, Looked
from proxy.errors import Refused, Unreachable
from proxy.model import Address, AnswerKind, Exchange
from proxy.policy.records import SRV

DATAGRAM = 1232  # bytes: what c-ares and most servers take by EDNS
HEAD = 12 + 6 + 11  # RFC 1035 4.1.1 and 4.1.2 without the name, RFC 6891 6.1.2
RECORD = {"A": 16, "AAAA": 28}  # bytes, with the name as a pointer
SRV_AND_GLUE = 18 + 14  # bytes, without the two names
CLOSE_S = 1.5  # a ttl counts whole seconds: answers closer together show nothing
NO_CACHE = (
    "in CoreDNS' Corefile: `cache 30 { disable success cluster.local; disable denial cluster.local }`,"
    f" or {PREFIX}DNS_SERVERS=<a server without a cache>"
)


# --- size ---------------------------------------------------------------------------------------


def size(looked: Looked, use_vc: bool) -> Iterator[Finding | Note]:
    """Whether the answers were cut off."""
    seen = [reply.exchange for reply in looked.replies.values() if reply.exchange]
    cut = next((each for each in seen if each.truncated), None)
    by_tcp = next((each for each in seen if each.transport == "tcp" and not use_vc), None)
    if cut:
        yield _cut(looked, cut)
    elif by_tcp:
        yield _over_tcp(looked, by_tcp)
    else:
        where = "comes over TCP, as it should" if use_vc else "fits a datagram"
        yield Note(f"{counted(len(looked.endpoints), 'endpoint')}; the answer {where}")


def _cut(looked: Looked, exchange: Exchange) -> Finding:
    what = f"the {exchange.qtype} answer is cut off even over TCP (64 kB): some pods are never seen"
    fix = "split the Service into several, by a label of the pods"
    if isinstance(looked.settings.target, SrvTarget) and looked.own.srvs:
        shorter = retarget(looked, looked.service_name, looked.own.srvs[0].port)
        fix = f"without SRV about 4,000 pods fit: {shorter} (if all pods have one port), or {fix}"
    return Finding(looked.settings.name, Code.TRUNCATED, what, fix)


def _over_tcp(looked: Looked, exchange: Exchange) -> Finding:
    fits = datagram_fits(looked, exchange.qtype)
    what = (
        f"the {exchange.qtype} answer ({exchange.total} records) does not fit a datagram, where about {fits}"
        " pods do: every poll costs a TCP connection to the name server"
    )
    fix = f"it works; to poll less often: {looked.variable('DNS_INTERVAL')} (now {_interval(looked)} s)"
    if isinstance(looked.settings.target, SrvTarget) and looked.own.srvs:
        many = (DATAGRAM - HEAD - len(looked.service_name)) // RECORD["A"]
        shorter = retarget(looked, looked.service_name, looked.own.srvs[0].port)
        fix += f"; without SRV about {many} pods fit: {shorter} (if all pods have one port)"
    return Finding(looked.settings.name, Code.TRUNCATED, what, fix)


def _interval(looked: Looked) -> str:
    return f"{looked.settings.dns_interval_s:g}"


def datagram_fits(looked: Looked, qtype: str) -> int:
    """About how many pods an answer over UDP can hold."""
    if qtype == SRV and looked.own.srvs:
        each = SRV_AND_GLUE + 2 * (len(looked.own.srvs[0].target) + 2)
    else:
        each = RECORD.get(qtype, RECORD["AAAA"])
    return (DATAGRAM - HEAD - len(looked.found)) // each


# --- age ----------------------------------------------------------------------------------------


def age(looked: Looked) -> Iterator[Finding | Note]:
    """Whether the ttl counts down between two looks: only a cache does that."""
    for server, glances in _by_server(looked).items():
        ttls = [glance.reply.ttl for glance in glances if glance.reply.ttl is not None]
        if len(set(ttls)) > 1:
            counted = ", ".join(map(str, dict.fromkeys(ttls)))
            what = f"{server} answers from a cache (the ttl counts down: {counted}): changes of the pods are"
            what += f" seen up to {max(ttls)} s late"
            fix = NO_CACHE
            if server.ip.startswith("169.254."):
                fix = f"this is NodeLocal DNSCache: {PREFIX}DNS_SERVERS=<cluster ip of kube-dns>, or {fix}"
            yield Finding(looked.settings.name, Code.CACHED, what, fix)
            return
        if ttls and glances[-1].at_s - glances[0].at_s > CLOSE_S:
            yield Note(f"{server} does not answer from a cache: the ttl stays {ttls[0]}")


def _by_server(looked: Looked) -> dict[Address, list[Glance]]:
    """What each server said when it said something whole."""
    whole = [
        glance
        for glance in looked.glances
        if glance.reply.kind is not AnswerKind.FAILED and not glance.reply.truncated
    ]
    servers = dict.fromkeys(glance.server for glance in whole)
    return {server: [glance for glance in whole if glance.server == server] for server in servers}


# --- agreement ----------------------------------------------------------------------------------


def agreement(looked: Looked) -> Iterator[Finding | Note]:
    """Whether servers, successive answers and the pods themselves tell one story."""
    by_server = _by_server(looked)
    found = [*_apart(looked, by_server), *_back_and_forth(looked, by_server), *_stale(looked)]
    yield from found
    looks = len({glance.look for glance in looked.glances})
    if not found and looks > 1:
        who = f"{len(by_server)} name servers agree" if len(by_server) > 1 else "all answers agree"
        yield Note(f"{who} in {looks} looks within {looked.glances[-1].at_s:.1f} s")


def _lag(looked: Looked, what: str, fix: str) -> Finding:
    return Finding(looked.settings.name, Code.DNS_LAG, what, fix)


def _apart(looked: Looked, by_server: dict[Address, list[Glance]]) -> Iterator[Finding]:
    """Servers that say different things in one look, and still do in the next."""
    whole = sorted((glance for glances in by_server.values() for glance in glances), key=lambda g: g.look)
    looks = [list(glances) for _, glances in groupby(whole, key=lambda glance: glance.look)]
    apart = [glances for glances in looks if len({glance.members for glance in glances}) > 1]
    if len(apart) < min(2, len(looks)) or not apart:
        return
    lasts = apart[-1][0].at_s - apart[0][0].at_s
    counts = ", ".join(f"{glance.server} lists {len(glance.members)} pods" for glance in apart[-1])
    yield _lag(
        looked,
        f"name servers disagree for {lasts:.1f} s at least (in {len(apart)} of {len(looks)} looks): {counts}",
        f"one of them is behind (a cache, or no contact with the API server): {NO_CACHE};"
        " kubectl -n kube-system logs -l k8s-app=kube-dns",
    )


def _back_and_forth(looked: Looked, by_server: dict[Address, list[Glance]]) -> Iterator[Finding]:
    """A, B, A: replicas behind one address that are out of step."""
    for server, glances in by_server.items():
        turns = [next(group) for _, group in groupby(glances, key=lambda glance: glance.members)]
        if len({glance.members for glance in turns}) < len(turns):
            counts = ", ".join(str(len(glance.members)) for glance in turns)
            yield _lag(
                looked,
                f"answers of {server} go back and forth: {counts} pods within"
                f" {turns[-1].at_s - turns[0].at_s:.1f} s",
                "replicas of DNS are out of step (kubectl -n kube-system logs -l k8s-app=kube-dns), or a pod"
                " becomes ready and unready in turn: kubectl get pods --watch",
            )


def _stale(looked: Looked) -> Iterator[Finding]:
    """Pods that are listed although nobody is there."""
    stale = stale_pods(looked)
    if stale:
        long = max(stale.values())
        which = ", ".join(map(str, stale))
        yield _lag(
            looked,
            f"{which} refuses every connection and stays listed, for {long:.1f} s so far",
            f"a pod that ended and that DNS still lists (a cache: {NO_CACHE}), or one without a"
            " readinessProbe whose port is closed",
        )


def stale_pods(looked: Looked) -> dict[Address, float]:
    """Addresses that refused each of several connects, fewer than half, and how long they stayed listed."""
    gone = {Refused.reason, Unreachable.reason}
    silent = {
        each for each, reasons in looked.checks.items() if len(reasons) > 1 and gone.issuperset(reasons)
    }
    if 2 * len(looked.failed) >= len(looked.checks):
        return {}
    lists = {address: _listed_s(looked.glances, address) for address in sorted(silent)}
    return {address: seconds for address, seconds in lists.items() if seconds > 0}


def _listed_s(glances: Sequence[Glance], address: Address) -> float:
    """For how long the answers list it."""
    return max((glance.at_s for glance in glances if _lists(glance, address)), default=0.0)


def _lists(glance: Glance, address: Address) -> bool:
    reply = glance.reply
    glue = (ip for srv in reply.srvs if srv.port == address.port for ip in reply.glue.get(srv.target, ()))
    return address.ip in reply.ips or address.ip in glue
