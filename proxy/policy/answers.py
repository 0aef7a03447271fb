"""Decides what the replies to several queries mean together."""

from collections.abc import Mapping, Set
from typing import NamedTuple

from proxy.model import Address, Answer, AnswerKind, Family

NOWHERE = frozenset({"0.0.0.0", "::"})  # how name servers filter; connect() would take it for localhost


class Reply(NamedTuple):
    """What one query for one family of addresses brought; `result` is its label in the metrics."""

    kind: AnswerKind
    ips: tuple[str, ...] = ()
    result: str = "ok"


def merge(replies: Mapping[Family, Reply | None], port: int, refused: Set[Address] = frozenset()) -> Answer:
    """The answer that `replies` make together, less the `refused`; None is a query still under way.

    Addresses of one family are an answer even while the other's query fails. Without any address, a failed
    query means that nothing was learned: an empty reply for the one family proves nothing about the other.
    """
    kinds = {reply.kind for reply in replies.values() if reply is not None}
    unknown_families = {
        family for family, reply in replies.items() if reply is None or reply.kind is AnswerKind.FAILED
    }
    detail = ", ".join(f"{family} {reply.result}" for family, reply in replies.items() if reply is not None)
    ips = {ip for reply in replies.values() if reply is not None for ip in reply.ips} - NOWHERE
    addresses = frozenset(Address(ip, port) for ip in ips) - refused
    if addresses:
        partial = None in replies.values()
        return Answer(AnswerKind.ENDPOINTS, addresses, frozenset(unknown_families), detail, partial)
    if unknown_families:
        return Answer(AnswerKind.FAILED, detail=detail)
    kind = AnswerKind.NXDOMAIN if kinds == {AnswerKind.NXDOMAIN} else AnswerKind.EMPTY
    return Answer(kind, detail=detail)
