"""Which records of a reply answer the question, and which are none of its business."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.model import AnswerKind
from proxy.policy.records import CHAIN_MAX, Record, Reply, Srv, plain, read

WEB = "web.shop"
EMPTY = Reply(AnswerKind.EMPTY, "empty")
MALFORMED = Reply(AnswerKind.FAILED, "malformed")


def a(name: str, ip: str = "10.0.0.1", ttl: int = 5) -> Record:
    return Record(name, "A", ttl, ip)


def aaaa(name: str, ip: str = "fd00::1", ttl: int = 5) -> Record:
    return Record(name, "AAAA", ttl, ip)


def cname(name: str, target: str, ttl: int = 5) -> Record:
    return Record(name, "CNAME", ttl, target)


def srv(target: str, port: int = 80, ttl: int = 5, name: str = WEB) -> Record:
    return Record(name, "SRV", ttl, Srv(0, 100, port, target))


def chain(aliases: int) -> list[Record]:
    """`web.shop` has so many aliases in a row; the last one has an address."""
    names = [WEB, *(f"n{number}" for number in range(aliases))]
    return [*map(cname, names, names[1:]), a(names[-1])]


def found(*ips: str, ttl: int = 5) -> Reply:
    return Reply(AnswerKind.ENDPOINTS, ips=ips, ttl=ttl)


@pytest.mark.parametrize(
    "records,want",
    [
        ([], EMPTY),
        ([a(WEB)], found("10.0.0.1")),
        ([a(WEB, "10.0.0.2"), a(WEB, "10.0.0.1")], found("10.0.0.2", "10.0.0.1")),
        ([a(WEB), a(WEB), a(WEB, "10.0.0.2")], found("10.0.0.1", "10.0.0.2")),
        # the shortest time to live, be it 0 or huge
        ([a(WEB, ttl=30), a(WEB, "10.0.0.2", ttl=7)], found("10.0.0.1", "10.0.0.2", ttl=7)),
        ([a(WEB, ttl=0)], found("10.0.0.1", ttl=0)),
        ([a(WEB, ttl=2**31 - 1)], found("10.0.0.1", ttl=2**31 - 1)),
        # aliases, in any order
        ([cname(WEB, "x"), a("x")], found("10.0.0.1")),
        ([a("x"), cname(WEB, "x")], found("10.0.0.1")),
        ([cname("x", "y"), a("y"), cname(WEB, "x")], found("10.0.0.1")),
        ([cname(WEB, "x")], EMPTY),
        ([cname(WEB, "x"), cname("x", "y")], EMPTY),
        ([cname(WEB, "x"), aaaa("x")], MALFORMED),
        ([cname(WEB, "x"), a("x"), a("y", "10.6.6.6"), cname("z", WEB)], found("10.0.0.1")),
        # an alias that has addresses of its own: those at the end of the chain count
        ([cname(WEB, "x"), a(WEB, "10.6.6.6"), a("x")], found("10.0.0.1")),
        # circles
        ([cname(WEB, WEB)], MALFORMED),
        ([cname(WEB, "x"), cname("x", WEB)], MALFORMED),
        ([cname(WEB, "x"), cname("x", "y"), cname("y", "x"), a("y")], MALFORMED),
        ([cname("x", "y"), cname("y", "x"), a(WEB)], found("10.0.0.1")),
        # other names: no answer at all when they come alone, passed over beside ours
        ([a("db.shop", "10.6.6.6")], MALFORMED),
        ([cname("db.shop", "x"), a("x")], MALFORMED),
        ([cname("db.shop", WEB)], MALFORMED),
        ([a("xweb.shop"), a("web.shop.x"), a("shop")], MALFORMED),
        ([a(WEB), a("db.shop", "10.6.6.6")], found("10.0.0.1")),
        # other types
        ([aaaa(WEB)], MALFORMED),
        ([aaaa(WEB), a(WEB)], found("10.0.0.1")),
        ([Record(WEB, "", 5, "10.6.6.6")], MALFORMED),
        ([srv("web-0.web.shop")], MALFORMED),
        ([cname(WEB, "x"), a(WEB, "10.6.6.6")], MALFORMED),
        ([cname(WEB, "x"), a("y", "10.6.6.6")], MALFORMED),
    ],
)  # fmt: skip
def test_addresses(records: Sequence[Record], want: Reply) -> None:
    """One row for each way in which records meet the question for A of `web.shop`."""
    assert read(WEB, "A", records, [], False) == want


@pytest.mark.parametrize("name", ["web.shop", "web.shop.", "WEB.Shop", "Web.SHOP."])
def test_spelling_of_the_question(name: str) -> None:
    """Neither case nor the last dot of the name in TARGET makes a difference."""
    assert read(name, "AAAA", [aaaa(WEB)], [], False) == found("fd00::1")
    assert plain(name) == WEB


@pytest.mark.parametrize(
    "aliases,want", [(0, True), (1, True), (8, True), (CHAIN_MAX, True), (CHAIN_MAX + 1, False), (99, False)]
)
def test_length_of_the_chain(aliases: int, want: bool) -> None:
    """Longer ones than any resolver follows are as bad as a circle."""
    assert read(WEB, "A", chain(aliases), [], False) == (found("10.0.0.1") if want else MALFORMED)


def test_additional_records_are_no_answer() -> None:
    """An address of the name itself that comes beside an empty answer is not believed."""
    assert read(WEB, "A", [], [a(WEB)], False) == EMPTY
    assert read(WEB, "A", [cname(WEB, "x")], [a("x")], False) == EMPTY


@pytest.mark.parametrize("qtype,record", [("A", a(WEB)), ("AAAA", aaaa(WEB)), ("SRV", srv("web-0"))])
@pytest.mark.parametrize("truncated", [False, True])
def test_truncated(qtype: str, record: Record, truncated: bool) -> None:
    """What was cut off says so with what did come."""
    reply = read(WEB, qtype, [record], [], truncated)

    assert (reply.kind, reply.truncated) == (AnswerKind.ENDPOINTS, truncated)


@pytest.mark.parametrize("records", [[], [cname(WEB, "x")]])
def test_truncated_before_the_first_address(records: Sequence[Record]) -> None:
    """A reply cut off after its aliases does not say that there is nobody."""
    assert read(WEB, "A", records, [], True).kind is AnswerKind.FAILED


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize(
    "qtype,records", [("A", [aaaa(WEB)]), ("A", [cname(WEB, "x"), aaaa("x")]), ("SRV", [a(WEB)])]
)
def test_something_else_than_asked(qtype: str, records: Sequence[Record], truncated: bool) -> None:
    """A server that answers another question has not said that there is nobody: nothing was learned."""
    assert read(WEB, qtype, records, [], truncated) == MALFORMED


# --- SRV ----------------------------------------------------------------------------------------


def services(*srvs: Record, glue: dict[str, tuple[str, ...]] | None = None, ttl: int = 5) -> Reply:
    data = tuple(each.data for each in srvs if isinstance(each.data, Srv))
    return Reply(AnswerKind.ENDPOINTS, srvs=data, glue=glue or {}, ttl=ttl)


ONE, TWO = srv("web-0.web.shop", 8000), srv("web-1.web.shop", 8001, ttl=3)
NOWHERE = srv("")  # a target of "."


@pytest.mark.parametrize(
    "records,additional,want",
    [
        ([], [], EMPTY),
        ([ONE], [], services(ONE)),
        ([ONE, TWO, ONE], [], services(ONE, TWO, ttl=3)),
        ([cname(WEB, "x"), srv("web-0", name="x")], [], services(srv("web-0"))),
        ([srv("web-0", name="db.shop")], [], MALFORMED),
        ([ONE, srv("db-0", name="db.shop")], [], services(ONE)),
        # RFC 2782: decidedly not available
        ([NOWHERE], [], EMPTY._replace(ttl=5)),
        ([NOWHERE, NOWHERE], [], EMPTY._replace(ttl=5)),
        ([cname(WEB, "x"), srv("", name="x")], [], EMPTY._replace(ttl=5)),
        ([NOWHERE, a(WEB)], [], EMPTY._replace(ttl=5)),
        ([cname(WEB, "x"), NOWHERE], [], MALFORMED),  # it is not at the end of the aliases
        ([NOWHERE, ONE], [], services(ONE)),
        # glue: only of targets, each address once, whatever its family
        ([ONE], [a("web-0.web.shop")], services(ONE, glue={"web-0.web.shop": ("10.0.0.1",)})),
        ([ONE], [a("web-0.web.shop"), aaaa("web-0.web.shop"), a("web-0.web.shop")],
         services(ONE, glue={"web-0.web.shop": ("10.0.0.1", "fd00::1")})),
        ([ONE], [a("web-1.web.shop"), a("web.shop"), a("evil")], services(ONE)),
        ([ONE], [cname("web-0.web.shop", "x"), a("x")], services(ONE)),
        ([ONE, TWO], [a("web-1.web.shop")],
         services(ONE, TWO, glue={"web-1.web.shop": ("10.0.0.1",)}, ttl=3)),
        ([NOWHERE, ONE], [a("", "10.6.6.6")], services(ONE)),
        # addresses where services are asked for
        ([a(WEB)], [], MALFORMED),
        ([cname(WEB, "x"), a("x")], [], MALFORMED),
        ([cname(WEB, "x")], [a("x")], EMPTY),
        ([Record(WEB, "SRV", 5, "10.6.6.6")], [], EMPTY._replace(ttl=5)),
    ],
)  # fmt: skip
def test_services(records: Sequence[Record], additional: Sequence[Record], want: Reply) -> None:
    """One row for each way in which records meet the question for SRV of `web.shop`."""
    assert read(WEB, "SRV", records, additional, False) == want


def test_an_srv_record_reads_as_in_a_zone_file() -> None:
    """Pages show priority, weight, port and target, as `dig` does."""
    assert str(Srv(10, 50, 8000, "web-0.web.shop")) == "10 50 8000 web-0.web.shop"


# --- any reply at all ---------------------------------------------------------------------------

NAMES = [WEB, "x", "y", "z", ""]
DATA: list[str | Srv] = ["10.0.0.1", "fd00::1", *NAMES, *(Srv(0, 0, 80, name) for name in NAMES)]
record = st.builds(
    Record,
    st.sampled_from(NAMES),
    st.sampled_from(["A", "AAAA", "CNAME", "CNAME", "SRV", ""]),
    st.sampled_from([0, 5, 2**32 - 1]),
    st.sampled_from(DATA),
)
few = settings(derandomize=True, deadline=None, max_examples=60)


def aliases_of(name: str, records: Sequence[Record]) -> set[str]:
    """Every name that `name` may stand for."""
    reached = {name}
    while more := {str(r.data) for r in records if r.qtype == "CNAME" and r.name in reached} - reached:
        reached |= more
    return reached


@few
@given(st.lists(record, max_size=8), st.lists(record, max_size=3), st.sampled_from(["A", "AAAA", "SRV"]))
def test_any_reply(answer: list[Record], additional: list[Record], qtype: str) -> None:
    """Nothing raises; what is used is of the right type and at the end of the question's own aliases."""
    reply = read(WEB, qtype, answer, additional, False)

    ours = [r for r in answer if r.qtype == qtype and r.name in aliases_of(WEB, answer)]
    ends = [r for r in ours if not any(c.qtype == "CNAME" and c.name == r.name for c in answer)]
    assert set(reply.ips) | set(reply.srvs) <= {r.data for r in ends}
    assert (reply.kind is AnswerKind.ENDPOINTS) == bool(reply.ips or reply.srvs)
    assert reply.glue.keys() <= {srv.target for srv in reply.srvs} & {r.name for r in additional}
    assert len(set(reply.ips)) == len(reply.ips)
    assert reply.ttl is None or reply.ttl in {r.ttl for r in ends}


@few
@given(
    st.lists(record, max_size=6).flatmap(
        lambda records: st.tuples(st.just(records), st.permutations(records))
    )
)
def test_order_does_not_matter(orders: tuple[list[Record], list[Record]]) -> None:
    """Name servers shuffle: the same records mean the same, as long as no name has two aliases."""
    first, second = (read(WEB, "A", list(records), [], False) for records in orders)

    aliases = [r.name for r in orders[0] if r.qtype == "CNAME"]
    if len(set(aliases)) == len(aliases):
        assert (first.kind, set(first.ips), first.ttl) == (second.kind, set(second.ips), second.ttl)
