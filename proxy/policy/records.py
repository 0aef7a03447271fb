"""Decides what the records of one DNS reply say, and which of them answer the question at all."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from proxy.model import AnswerKind, Exchange, Family

QTYPE = {Family.IPV4: "A", Family.IPV6: "AAAA"}
SRV = "SRV"
CHAIN_MAX = 16  # aliases in a row: resolvers give up at 8 to 16


class Srv(NamedTuple):
    """RFC 2782: where one instance of a service listens."""

    priority: int
    weight: int
    port: int
    target: str

    def __str__(self) -> str:
        return f"{self.priority} {self.weight} {self.port} {self.target}"


class Record(NamedTuple):
    """`data` is an ip (A, AAAA), a name (CNAME) or an Srv. Names are in lower case, without the last dot."""

    name: str
    qtype: str
    ttl: int
    data: str | Srv


class Reply(NamedTuple):
    """What one query brought. `result` is its label in the metrics, `glue` the addresses of other names.

    `ignored`: datagrams that came for it and answered nothing, such as forged ones.
    """

    kind: AnswerKind
    result: str = "ok"
    ips: tuple[str, ...] = ()
    srvs: tuple[Srv, ...] = ()
    glue: Mapping[str, tuple[str, ...]] = {}
    ttl: int | None = None
    truncated: bool = False
    ignored: int = 0
    exchange: Exchange | None = None


def plain(name: str) -> str:
    """RFC 4343: names compare without case."""
    return name.lower().rstrip(".")


def read(
    name: str, qtype: str, answer: Sequence[Record], additional: Sequence[Record], truncated: bool
) -> Reply:
    """What a reply without an error says. Records of other names are no answer, whoever sent them.

    `malformed`: none of the records answers the question, or its aliases lead in a circle.
    """
    end = _end_of_aliases(plain(name), answer)
    if end is None or (answer and not any(record.name == plain(name) for record in answer)):
        return Reply(AnswerKind.FAILED, "malformed")
    ours = [record for record in answer if record.name == end and record.qtype == qtype]
    aliases = [record for record in answer if record.qtype == "CNAME"]
    ttl = min((record.ttl for record in ours + aliases), default=None) if ours else None
    if qtype == SRV:
        # RFC 2782: a target of "." says that the service is decidedly not available.
        srvs = tuple(dict.fromkeys(r.data for r in ours if isinstance(r.data, Srv) and r.data.target))
        if srvs:
            glue = _addresses_of({srv.target for srv in srvs}, additional)
            return Reply(AnswerKind.ENDPOINTS, srvs=srvs, glue=glue, ttl=ttl, truncated=truncated)
    elif ours:
        ips = tuple(dict.fromkeys(str(record.data) for record in ours))
        return Reply(AnswerKind.ENDPOINTS, ips=ips, ttl=ttl, truncated=truncated)
    if not ours and any(record.qtype != "CNAME" for record in answer):  # something else than asked
        return Reply(AnswerKind.FAILED, "malformed")
    if truncated:  # what was cut off may be all that matters
        return Reply(AnswerKind.FAILED, "truncated", truncated=True)
    return Reply(AnswerKind.EMPTY, "empty", ttl=ttl)


def _end_of_aliases(name: str, answer: Sequence[Record]) -> str | None:
    """The name at the end of the chain of CNAMEs; None when there is no end."""
    aliases = {record.name: str(record.data) for record in answer if record.qtype == "CNAME"}
    for _ in range(CHAIN_MAX + 1):
        if name not in aliases:
            return name
        name = aliases[name]
    return None


def _addresses_of(names: set[str], records: Sequence[Record]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for record in records:
        if record.name in names and record.qtype in QTYPE.values():
            found.setdefault(record.name, []).append(str(record.data))
    return {name: tuple(dict.fromkeys(ips)) for name, ips in found.items()}
