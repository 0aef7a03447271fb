"""What the replies for two families of addresses mean together: every combination."""

import itertools

import pytest

from proxy.model import Address, AnswerKind, Family
from proxy.policy.answers import Reply, merge

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
    return None if kind is None else Reply(kind, IPS[family] if kind is ENDPOINTS else (), kind.value)


@pytest.mark.parametrize("v4,v6", list(itertools.product([*AnswerKind, None], repeat=2)))
def test_two_families(v4: AnswerKind | None, v6: AnswerKind | None) -> None:
    """Any address is an answer; that there is none is believed only when both families say so."""
    kinds = {Family.IPV4: v4, Family.IPV6: v6}
    answer = merge({family: reply(kind, family) for family, kind in kinds.items()}, 80)

    addresses = {Address(ip, 80) for family in kinds if kinds[family] is ENDPOINTS for ip in IPS[family]}
    assert answer.kind is WANT[frozenset(kinds.values())]
    assert answer.addresses == addresses
    if answer.kind is ENDPOINTS:
        assert answer.unknown_families == {family for family, kind in kinds.items() if kind in (None, FAILED)}
        assert answer.partial == (None in kinds.values())


@pytest.mark.parametrize("kind", AnswerKind)
def test_one_family(kind: AnswerKind) -> None:
    """When only one family is asked, its reply is the answer."""
    answer = merge({Family.IPV6: reply(kind, Family.IPV6)}, 443)

    assert (answer.kind, answer.partial) == (kind, False)
    assert answer.addresses == ({Address("fd00::1", 443)} if kind is ENDPOINTS else set())


def test_reads_like_a_sentence() -> None:
    """The log shows how many addresses came, and how each query ended."""
    replies = {Family.IPV4: Reply(ENDPOINTS, ("10.0.0.1",)), Family.IPV6: Reply(FAILED, (), "timeout")}

    assert str(merge(replies, 80)) == "endpoints 1 (ipv4 ok, ipv6 timeout)"
    assert str(merge({Family.IPV4: Reply(NXDOMAIN, (), "nxdomain")}, 80)) == "nxdomain (ipv4 nxdomain)"


def test_nowhere_is_no_pod() -> None:
    """A name server that filters says 0.0.0.0: a connect to that would end in the sidecar's own pod."""
    v4 = Reply(AnswerKind.ENDPOINTS, ("0.0.0.0", "10.0.0.1"))
    v6 = Reply(AnswerKind.ENDPOINTS, ("::",))

    assert merge({Family.IPV4: v4, Family.IPV6: v6}, 80).addresses == {Address("10.0.0.1", 80)}
    assert merge({Family.IPV6: v6}, 80).kind is AnswerKind.EMPTY


def test_refused_addresses() -> None:
    """What leads back is not in the answer; a family that failed is still not known to be empty."""
    ours, pod = Address("10.0.0.1", 80), Address("10.0.0.2", 80)
    v4 = Reply(AnswerKind.ENDPOINTS, (ours.ip, pod.ip))
    failed = Reply(AnswerKind.FAILED, result="servfail")

    assert merge({Family.IPV4: v4}, 80, {ours}).addresses == {pod}
    assert merge({Family.IPV4: v4}, 80, {ours, pod}).kind is AnswerKind.EMPTY
    assert merge({Family.IPV4: v4, Family.IPV6: failed}, 80, {ours, pod}).kind is AnswerKind.FAILED
    assert not merge({Family.IPV4: v4, Family.IPV6: None}, 80, {ours, pod}).partial
