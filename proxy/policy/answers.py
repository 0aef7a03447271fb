"""Decides what the replies to the queries of one poll mean together."""

from collections.abc import Iterable, Mapping, Set
from itertools import groupby

from proxy.model import PLAIN, Address, Answer, AnswerKind, Exchange, Family, Identity, Listed
from proxy.policy.records import Reply, Srv

FAINT = 0.01  # RFC 2782: "a very small chance" for weight 0 beside greater ones


def merge(replies: Mapping[Family, Reply | None], port: int, refused: Set[Address] = frozenset()) -> Answer:
    """The answer that addresses of both families make, less the `refused`; None is a query still under way.

    Addresses of one family are an answer even while the other's query fails. Without any address, a failed
    query means that nothing was learned: an empty reply for the one family proves nothing about the other.
    """
    heard = [reply for reply in replies.values() if reply is not None]
    unknown = {
        family for family, reply in replies.items() if reply is None or reply.kind is AnswerKind.FAILED
    }
    detail = ", ".join(f"{family} {_said(reply)}" for family, reply in replies.items() if reply is not None)
    exchanges = exchanges_of(heard)
    truncated = any(reply.truncated for reply in heard)
    ips = {ip for reply in heard for ip in reply.ips if may_be_a_pod(ip)}
    addresses = {Address(ip, port) for ip in ips} - refused
    if addresses:
        # A name with addresses exists: that it does not, as the other query says, is a contradiction.
        unknown |= {f for f, reply in replies.items() if reply and reply.kind is AnswerKind.NXDOMAIN}
        return Answer(
            AnswerKind.ENDPOINTS,
            dict.fromkeys(map(Identity, addresses), PLAIN),
            unknown_families=frozenset(unknown),
            detail=detail,
            partial=None in replies.values(),
            truncated=truncated,
            exchanges=exchanges,
        )
    kind = AnswerKind.FAILED if unknown or truncated else _nobody({reply.kind for reply in heard})
    return Answer(kind, detail=detail, exchanges=exchanges)


def _said(reply: Reply) -> str:
    rcode = reply.exchange.rcode if reply.exchange is not None and reply.result == "error" else ""
    return f"{reply.result} {rcode}".rstrip()


def may_be_a_pod(ip: str) -> bool:
    """Not "nowhere" (how name servers filter; connect() takes it for localhost), and not a group of hosts."""
    if ":" in ip:
        # RFC 4291 2.5.6, 2.7: an address of one link would have to say which
        return ip != "::" and not ip.lower().startswith(("ff", "fe8", "fe9", "fea", "feb"))
    return 0 < int(ip.partition(".")[0]) < 224  # RFC 1122 3.2.1.3


def _nobody(kinds: set[AnswerKind]) -> AnswerKind:
    return AnswerKind.NXDOMAIN if kinds == {AnswerKind.NXDOMAIN} else AnswerKind.EMPTY


def exchanges_of(replies: Iterable[Reply]) -> tuple[Exchange, ...]:
    return tuple(reply.exchange for reply in replies if reply.exchange is not None)


# --- SRV ----------------------------------------------------------------------------------------


def without_glue(reply: Reply, families: Set[Family]) -> list[str]:
    """The targets of SRV records of which no address of these `families` came along."""
    known = {name for name, ips in reply.glue.items() if any(Address(ip, 0).family in families for ip in ips)}
    return list(dict.fromkeys(srv.target for srv in reply.srvs if srv.target not in known))


def named(
    reply: Reply,
    addresses: Mapping[str, tuple[str, ...]],
    unknown: Set[str],
    families: Set[Family],
    refused: Set[Address] = frozenset(),
) -> Answer:
    """The answer that SRV records make with the `addresses` of their targets, of those `families`.

    `unknown`: targets whose addresses could not be learned. A target with one address of each family is one
    endpoint with two addresses; further addresses are further endpoints of its name.
    """
    if reply.kind is not AnswerKind.ENDPOINTS:
        return Answer(reply.kind, detail=f"srv {reply.result}", exchanges=exchanges_of([reply]))
    weight_of = weights(reply.srvs)
    endpoints: dict[Identity, Listed] = {}
    taken: set[Address] = set()
    for srv in sorted(reply.srvs, key=lambda srv: (srv.priority, srv.target)):  # DNS shuffles
        found = [Address(ip, srv.port) for ip in addresses.get(srv.target, ()) if may_be_a_pod(ip)]
        wanted = [each for each in found if each.family in families and each not in refused]
        if len(wanted) > 1:
            wanted = sorted(set(wanted), key=_v4_first)
        pair = len(wanted) == 2 and wanted[0].family is not wanted[1].family
        for address in wanted[:1] if pair else wanted:
            if taken.isdisjoint(wanted if pair else [address]):  # nobody listens there twice
                other = wanted[1] if pair else None
                endpoints[Identity(address, srv.target)] = Listed(srv.priority, weight_of[srv], other)
                taken.update(wanted if pair else [address])
    alone = len(without_glue(reply, families))
    detail = f"srv {reply.result}" + (f", {alone} targets without glue" if alone else "")
    if not endpoints:
        kind = AnswerKind.FAILED if unknown or reply.truncated else AnswerKind.EMPTY
        return Answer(kind, detail=detail, exchanges=exchanges_of([reply]))
    return Answer(
        AnswerKind.ENDPOINTS,
        endpoints,
        unknown_names=frozenset(unknown),
        detail=detail,
        truncated=reply.truncated,
        exchanges=exchanges_of([reply]),
    )


def _v4_first(address: Address) -> tuple[bool, Address]:
    return address.family is Family.IPV6, address


def weights(srvs: Iterable[Srv]) -> dict[Srv, float]:
    """The weight of each record among those of its priority, 1 on average.

    Where all are the same they say nothing: CoreDNS makes up 100 / n.
    """
    found: dict[Srv, float] = {}
    for _, group in groupby(sorted(srvs), key=lambda srv: srv.priority):
        tier = list(group)
        positive = [srv.weight for srv in tier if srv.weight]
        faint = min(max(positive) * FAINT, *positive) if positive else 1.0
        raw = {srv: float(srv.weight) or faint for srv in tier}
        average = sum(raw.values()) / len(raw)
        found.update({srv: weight / average for srv, weight in raw.items()})
    return found
