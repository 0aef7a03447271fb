"""What the replies for two families of addresses mean together: every combination."""

import itertools

import pytest

from proxy.model import Address, Answer, AnswerKind, Exchange, Family, Listed
from proxy.policy.answers import exchanges_of, may_be_a_pod, merge
from proxy.policy.records import Reply

ENDPOINTS, EMPTY, NXDOMAIN, FAILED = AnswerKind
IPS = {Family.IPV4: ("10.0.0.1", "10.0.0.2"), Family.IPV6: ("fd00::1",)}

# What one family's reply and the other's make together; None is a query still under way.
WANT: dict[frozenset[AnswerKind | None], AnswerKind] = {
    frozenset({ENDPOINTS}): ENDPOINTS,
    frozenset({ENDPOINTS, EMPTY}): ENDPOINTS,
    frozenset({ENDPOINTS, NXDOMAIN}): ENDPOINTS,
    frozenset({ENDPOINTS, FAILED}): ENDPOINTS,
    frozenset({ENDPOINTS, None}): ENDPOINTS,
    frozenset({EMPTY}): EMPTY,
    frozenset({EMPTY, NXDOMAIN}): EMPTY,
    frozenset({EMPTY, FAILED}): FAILED,
    frozenset({EMPTY, None}): FAILED,
    frozenset({NXDOMAIN}): NXDOMAIN,
    frozenset({NXDOMAIN, FAILED}): FAILED,
    frozenset({NXDOMAIN, None}): FAILED,
    frozenset({FAILED}): FAILED,
    frozenset({FAILED, None}): FAILED,
    frozenset({None}): FAILED,
}


def reply(kind: AnswerKind | None, family: Family) -> Reply | None:
    return None if kind is None else Reply(kind, kind.value, IPS[family] if kind is ENDPOINTS else ())


def found(*ips: str, truncated: bool = False) -> Reply:
    return Reply(ENDPOINTS, ips=ips, truncated=truncated)


def addresses(answer: Answer) -> set[Address]:
    return {identity.address for identity in answer.endpoints}


@pytest.mark.parametrize("v4,v6", list(itertools.product([*AnswerKind, None], repeat=2)))
def test_two_families(v4: AnswerKind | None, v6: AnswerKind | None) -> None:
    """Any address is an answer; that there is none is believed only when both families say so."""
    kinds = {Family.IPV4: v4, Family.IPV6: v6}
    answer = merge({family: reply(kind, family) for family, kind in kinds.items()}, 80)

    want = {Address(ip, 80) for family in kinds if kinds[family] is ENDPOINTS for ip in IPS[family]}
    assert answer.kind is WANT[frozenset(kinds.values())]
    assert addresses(answer) == want
    assert answer.partial == (answer.kind is ENDPOINTS and None in kinds.values())
    if answer.kind is ENDPOINTS:
        lacking = {family for family, kind in kinds.items() if kind in (None, FAILED, NXDOMAIN)}
        assert answer.unknown_families == lacking
        assert answer.is_whole == (not answer.unknown_families)


@pytest.mark.parametrize("kind", AnswerKind)
def test_one_family(kind: AnswerKind) -> None:
    """When only one family is asked, its reply is the answer."""
    answer = merge({Family.IPV6: reply(kind, Family.IPV6)}, 443)

    assert (answer.kind, answer.partial) == (kind, False)
    assert addresses(answer) == ({Address("fd00::1", 443)} if kind is ENDPOINTS else set())


def test_addresses_are_all_alike() -> None:
    """A and AAAA know neither names nor priorities nor weights."""
    endpoints = merge({Family.IPV4: found("10.0.0.1"), Family.IPV6: found("fd00::1")}, 80).endpoints

    assert {identity.name for identity in endpoints} == {""}
    assert set(endpoints.values()) == {Listed(priority=0, weight=1.0, other=None)}


def test_reads_like_a_sentence() -> None:
    """The log shows how many addresses came, and how each query ended."""
    replies = {Family.IPV4: found("10.0.0.1"), Family.IPV6: Reply(FAILED, "timeout")}

    assert str(merge(replies, 80)) == "endpoints 1 (ipv4 ok, ipv6 timeout)"
    assert str(merge({Family.IPV4: Reply(NXDOMAIN, "nxdomain")}, 80)) == "nxdomain (ipv4 nxdomain)"


@pytest.mark.parametrize(
    "result,rcode,said",
    [("error", "servfail", "failed (ipv4 error servfail)"), ("error", "", "failed (ipv4 error)"),
     ("malformed", "noerror", "failed (ipv4 malformed)"), ("timeout", "", "failed (ipv4 timeout)")],
)  # fmt: skip
def test_an_error_says_which(result: str, rcode: str, said: str) -> None:
    """SERVFAIL and REFUSED have different causes: whoever reads the log need not ask."""
    failed = Reply(FAILED, result, exchange=Exchange("web.", "A", result, rcode=rcode))

    assert str(merge({Family.IPV4: failed}, 80)) == said
    assert str(merge({Family.IPV4: failed._replace(exchange=None)}, 80)) == f"failed (ipv4 {result})"


def test_nowhere_is_no_pod() -> None:
    """A name server that filters says 0.0.0.0: a connect to that would end in the sidecar's own pod."""
    v4, v6 = found("0.0.0.0", "10.0.0.1"), found("::")

    assert addresses(merge({Family.IPV4: v4, Family.IPV6: v6}, 80)) == {Address("10.0.0.1", 80)}
    assert merge({Family.IPV6: v6}, 80).kind is EMPTY


@pytest.mark.parametrize(
    "ip,possible",
    [("0.0.0.0", False), ("0.1.2.3", False), ("1.0.0.0", True), ("10.0.0.1", True), ("127.0.0.1", True),
     ("169.254.20.10", True), ("223.255.255.255", True), ("224.0.0.1", False), ("239.1.1.1", False),
     ("255.255.255.255", False), ("::", False), ("::1", True), ("fd00::1", True), ("2001:db8::ff02", True),
     ("fe7f::1", True), ("fe80::1", False), ("FE80::1", False), ("fe90::1", False), ("feaf::1", False),
     ("febf::1", False), ("fec0::1", True), ("ff02::1", False), ("FF05::2", False)],
)  # fmt: skip
def test_may_be_a_pod(ip: str, possible: bool) -> None:
    """Neither nowhere, nor a group of hosts, nor an address that would have to say of which link it is."""
    assert may_be_a_pod(ip) is possible
    family = Address(ip, 80).family
    assert addresses(merge({family: found(ip)}, 80)) == ({Address(ip, 80)} if possible else set())


@pytest.mark.parametrize("family", Family)
def test_a_name_that_exists_and_does_not(family: Family) -> None:
    """NXDOMAIN for one family beside addresses of the other: the pods of the one family are not gone."""
    (other,) = set(Family) - {family}
    replies = {family: reply(NXDOMAIN, family), other: reply(ENDPOINTS, other)}
    answer = merge(replies, 80)

    assert (answer.kind, answer.is_whole) == (ENDPOINTS, False)
    assert answer.unknown_families == {family}
    assert not answer.partial  # nothing more is to come


def test_refused_addresses() -> None:
    """What leads back is not in the answer; a family that failed is still not known to be empty."""
    ours, pod = Address("10.0.0.1", 80), Address("10.0.0.2", 80)
    v4, failed = found(ours.ip, pod.ip), Reply(FAILED, "servfail")

    assert addresses(merge({Family.IPV4: v4}, 80, {ours})) == {pod}
    assert merge({Family.IPV4: v4}, 80, {ours, pod}).kind is EMPTY
    assert merge({Family.IPV4: v4, Family.IPV6: failed}, 80, {ours, pod}).kind is FAILED
    assert not merge({Family.IPV4: v4, Family.IPV6: None}, 80, {ours, pod}).partial


@pytest.mark.parametrize("v4,v6", [(True, False), (False, True), (True, True), (False, False)])
def test_truncated(v4: bool, v6: bool) -> None:
    """When either family's reply is cut off, the answer says nothing of who is absent."""
    replies = {
        Family.IPV4: found("10.0.0.1", truncated=v4),
        Family.IPV6: found("fd00::1", truncated=v6),
    }

    assert merge(replies, 80).truncated == (v4 or v6)


def test_truncated_without_a_usable_address() -> None:
    """The one address that fitted in is of no use: of those that did not, nothing was learned."""
    assert merge({Family.IPV4: found("0.0.0.0", truncated=True)}, 80).kind is FAILED


def test_exchanges() -> None:
    """People see every query that was answered, good or bad; one under way has nothing to show."""
    one, two = Exchange("web.", "A", "ok"), Exchange("web.", "AAAA", "timeout")
    v4, v6 = found("10.0.0.1")._replace(exchange=one), Reply(FAILED, "timeout", exchange=two)

    assert merge({Family.IPV4: v4, Family.IPV6: v6}, 80).exchanges == (one, two)
    assert merge({Family.IPV4: v4, Family.IPV6: None}, 80).exchanges == (one,)
    assert merge({Family.IPV6: v6}, 80).exchanges == (two,)
    assert exchanges_of([Reply(FAILED), v4]) == (one,)
