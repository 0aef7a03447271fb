"""Decides which name servers are at fault. Knows no sockets."""

from collections.abc import Iterator, Sequence

from proxy.config import PREFIX
from proxy.doctor.finding import Code, Finding, Note
from proxy.doctor.names import retarget
from proxy.doctor.seen import SILENT, Looked, Server, Survey
from proxy.model import AnswerKind
from proxy.policy.records import Reply

NETWORK = "a NetworkPolicy must allow this pod egress to it on port 53, UDP and TCP"
PODS = "see whether DNS runs: kubectl -n kube-system get pods -l k8s-app=kube-dns"
SAID = {
    "timeout": "does not answer in time",
    "unreachable": "is not there: nobody listens on that port",
    "servfail": "answers SERVFAIL",
    "refused": "answers REFUSED",
    "malformed": "answers with records that belong to no question",
}


def each(survey: Survey) -> Iterator[Finding | Note]:
    """Every server by itself: whether it answers, by UDP and by TCP."""
    well = [str(server.address) for server in survey.servers if server.answers]
    use_vc = survey.place.conf.use_vc
    for server in survey.servers:
        if not server.answers:
            yield _bad(server, well, use_vc)
        elif server.tcp:
            yield Finding(
                "",
                Code.TRUNCATED,
                f"name server {server.address} answers over UDP, but takes no TCP connection ({server.tcp}):"
                " answers that do not fit a datagram (about 70 pods, or 11 by SRV) will not arrive",
                f"{NETWORK}; some allow UDP only",
            )
        else:
            seconds = server.reply.exchange.seconds if server.reply.exchange else 0.0
            yield Note(f"name server {server.address} answers in {seconds * 1000:.1f} ms, takes TCP too")


def _bad(server: Server, well: Sequence[str], use_vc: bool) -> Finding:
    problem = SAID.get(server.reply.result, f"fails ({server.reply.result})")
    what = f"name server {server.address} {problem}"
    if well:
        what += f"; {' and '.join(well)} {'does' if len(well) == 1 else 'do'}"
        fix = f"ask only {','.join(well)}: take the other out of resolv.conf (dnsConfig.nameservers) or set"
        return Finding("", _code(server.reply), what, f"{fix} {PREFIX}DNS_SERVERS={','.join(well)}")
    if server.reply.result == "timeout" and not server.tcp and not use_vc:
        what += ", though it takes TCP connections"
        fix = "UDP is blocked: a NetworkPolicy must allow it on port 53, or set `use-vc` in dnsConfig.options"
    elif _code(server.reply) is Code.DNS_SILENT:
        fix = f"{NETWORK}; {PODS}; is its address right (resolv.conf, {PREFIX}DNS_SERVERS)?"
    else:
        fix = f"it runs, but cannot learn what it serves (no API server?): {PODS}, and their logs"
    return Finding("", _code(server.reply), what, fix)


def _code(reply: Reply) -> Code:
    return Code.DNS_SILENT if reply.result in SILENT else Code.DNS_SERVER_FAILING


def failing(looked: Looked) -> list[Finding]:
    """Questions of this service that failed at a server which answers others."""
    first = next(server for server in looked.servers if server.answers)
    bad = {
        f"{qtype} {name.name}": reply
        for name in looked.tried
        for qtype, reply in name.replies.items()
        if reply.kind is AnswerKind.FAILED
    }
    if not bad:
        return [_sometimes(looked, server) for server in looked.servers if _lost(looked, server)]
    worst = next(iter(bad.values()))
    what = f"{first.address} {SAID.get(worst.result, worst.result)} for {', '.join(bad)}"
    over_tcp = worst.exchange is not None and worst.exchange.transport == "tcp"
    if worst.result in SILENT and (first.tcp or over_tcp):
        how = f"takes no TCP connection ({first.tcp})" if first.tcp else "says nothing over TCP"
        what += f", and {how}: the answer is too large for a datagram"
        return [Finding(looked.settings.name, Code.TRUNCATED, what, f"{NETWORK}; some allow UDP only")]
    return [Finding(looked.settings.name, _code(worst), what, _way_round(looked))]


def _way_round(looked: Looked) -> str:
    """What to do about a server that fails for some questions only."""
    kinds = {qtype: reply.kind for qtype, reply in looked.replies.items()}
    if AnswerKind.FAILED in kinds.values():
        family = "ipv4" if kinds["A"] is AnswerKind.ENDPOINTS else "ipv6"
        return f"{looked.variable('IP_FAMILY')}={family} asks only for what is answered; {PODS}"
    if looked.found:
        return f"write the name in full, so that these are not asked: {retarget(looked, looked.found)}"
    return f"{PODS}, and their logs; a domain of the search list may be forwarded to a broken server"


def _lost(looked: Looked, server: Server) -> list[Reply]:
    replies = [glance.reply for glance in looked.glances if glance.server == server.address]
    return [reply for reply in replies if reply.kind is AnswerKind.FAILED]


def _sometimes(looked: Looked, server: Server) -> Finding:
    lost = _lost(looked, server)
    asked = sum(glance.server == server.address for glance in looked.glances)
    what = f"{server.address} failed for {len(lost)} of {asked} queries ({lost[0].result})"
    fix = f"see whether it is overloaded or restarts: {PODS}"
    return Finding(looked.settings.name, _code(lost[0]), what, fix)
