"""Which endpoints the SRV records of a service make, with the addresses of their targets."""

from collections.abc import Collection, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.model import Address, Answer, AnswerKind, Exchange, Family, Identity, Listed
from proxy.policy.answers import FAINT, named, weights, without_glue
from proxy.policy.records import Reply, Srv

WEB, DB, LOG = "web-0.web.shop", "db-0.db.shop", "log-0.log.shop"
BOTH = frozenset(Family)
V4, V6 = "10.0.0.1", "fd00::1"


def srv(target: str = WEB, port: int = 80, priority: int = 0, weight: int = 0) -> Srv:
    return Srv(priority, weight, port, target)


def heard(*srvs: Srv, glue: Mapping[str, tuple[str, ...]] | None = None, truncated: bool = False) -> Reply:
    return Reply(AnswerKind.ENDPOINTS, srvs=srvs, glue=glue or {}, truncated=truncated)


def answer(
    *srvs: Srv,
    unknown: Collection[str] = (),
    families: Collection[Family] = BOTH,
    refused: Collection[Address] = (),
    **addresses: tuple[str, ...],
) -> Answer:
    """Addresses by the first label of their target: `web=("10.0.0.1",)`."""
    by_name = {
        name: addresses[key] for name in (WEB, DB, LOG) if (key := name.partition("-")[0]) in addresses
    }
    return named(heard(*srvs), by_name, set(unknown), set(families), set(refused))


def test_ports_and_names() -> None:
    """Forty pods, each on its own port: each is one endpoint, by its own name."""
    srvs = [srv(f"web-{number}.web.shop", 8000 + number) for number in range(40)]
    addresses = {each.target: (f"10.0.0.{number}",) for number, each in enumerate(srvs)}
    got = named(heard(*srvs), addresses, set(), BOTH)

    want = {
        Identity(Address(f"10.0.0.{number}", 8000 + number), f"web-{number}.web.shop") for number in range(40)
    }
    assert (got.kind, got.is_whole) == (AnswerKind.ENDPOINTS, True)
    assert got.endpoints == dict.fromkeys(want, Listed())


def test_two_ports_of_one_pod() -> None:
    """One name that listens twice is two endpoints."""
    got = answer(srv(port=80), srv(port=81), web=(V4,))

    assert got.endpoints.keys() == {Identity(Address(V4, port), WEB) for port in (80, 81)}


@pytest.mark.parametrize("ips", [(V4, V6), (V6, V4), (V4, V6, V4, V6)])
def test_dual_stack(ips: tuple[str, ...]) -> None:
    """A pod with an address of each family is one endpoint, whichever comes first, and knows the other."""
    got = answer(srv(), web=ips)

    assert got.endpoints == {Identity(Address(V4, 80), WEB): Listed(other=Address(V6, 80))}


@pytest.mark.parametrize(
    "ips",
    [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2"), ("10.0.0.1", "10.0.0.2", "fd00::1"),
     ("10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2")],
)  # fmt: skip
def test_several_addresses_of_one_family(ips: tuple[str, ...]) -> None:
    """Several pods behind one name are as many endpoints of that name: nobody knows which are pairs."""
    got = answer(srv(), web=ips)

    assert got.endpoints == {Identity(Address(ip, 80), WEB): Listed() for ip in ips}


@pytest.mark.parametrize("family,ip", [(Family.IPV4, V4), (Family.IPV6, V6)])
def test_families(family: Family, ip: str) -> None:
    """An address of a family that is not wanted is not used, not even as the other one."""
    assert answer(srv(), families={family}, web=(V4, V6)).endpoints == {
        Identity(Address(ip, 80), WEB): Listed()
    }
    assert answer(srv(), families=BOTH - {family}, web=(ip,)).kind is AnswerKind.EMPTY


def test_refused() -> None:
    """An address that leads back is left out, at that port only; the pod's other one stays."""
    back = Address(V4, 80)

    assert answer(srv(), refused={back}, web=(V4, V6)).endpoints == {Identity(Address(V6, 80), WEB): Listed()}
    assert answer(srv(port=81), refused={back}, web=(V4,)).endpoints.keys() == {
        Identity(Address(V4, 81), WEB)
    }
    assert answer(srv(), refused={back}, web=(V4,)).kind is AnswerKind.EMPTY


def test_nowhere_is_no_pod() -> None:
    """0.0.0.0 and :: are what filters say, and would lead to this very pod."""
    assert answer(srv(), web=("0.0.0.0", "::")).kind is AnswerKind.EMPTY
    assert answer(srv(), web=("0.0.0.0", V6)).endpoints == {Identity(Address(V6, 80), WEB): Listed()}


def test_unknown_names() -> None:
    """The names whose addresses could not be learned are told; without any endpoint nothing was learned."""
    some = answer(srv(WEB), srv(DB), unknown=[DB], web=(V4,))

    assert (some.kind, set(some.unknown_names), some.is_whole) == (AnswerKind.ENDPOINTS, {DB}, False)
    assert some.endpoints.keys() == {Identity(Address(V4, 80), WEB)}
    assert answer(srv(WEB), srv(DB), unknown=[DB], web=()).kind is AnswerKind.FAILED


def test_a_target_without_address() -> None:
    """A name that certainly has none is no endpoint; when none has any, nobody is there."""
    assert answer(srv(WEB), srv(DB), web=(V4,), db=()).endpoints.keys() == {Identity(Address(V4, 80), WEB)}
    assert answer(srv(WEB), srv(DB), web=(), db=()).kind is AnswerKind.EMPTY


@pytest.mark.parametrize("kind", [AnswerKind.EMPTY, AnswerKind.NXDOMAIN, AnswerKind.FAILED])
def test_no_records(kind: AnswerKind) -> None:
    """The reply is the answer, with its query for people to see."""
    exchange = Exchange("_http._tcp.web.", "SRV", "oops")
    got = named(Reply(kind, "oops", exchange=exchange), {}, set(), BOTH)

    assert (got.kind, str(got), got.endpoints) == (kind, f"{kind} (srv oops)", {})
    assert got.exchanges == (exchange,)


@pytest.mark.parametrize("truncated", [False, True])
def test_truncated(truncated: bool) -> None:
    """A reply that is cut off says nothing of who is absent."""
    got = named(heard(srv(), glue={WEB: (V4,)}, truncated=truncated), {WEB: (V4,)}, set(), BOTH)

    assert (got.truncated, got.is_whole) == (truncated, not truncated)


def test_priorities() -> None:
    """Each endpoint has the priority of its record: who is for failover is known by it."""
    got = answer(srv(WEB, priority=0), srv(DB, priority=10), web=(V4,), db=("10.0.0.2",))

    assert {identity.name: listed.priority for identity, listed in got.endpoints.items()} == {WEB: 0, DB: 10}


def test_weights_go_to_the_endpoints() -> None:
    """A record with three times the weight of the other makes an endpoint with three times its share."""
    got = answer(srv(WEB, weight=30), srv(DB, weight=10), web=(V4,), db=("10.0.0.2",))

    assert {identity.name: listed.weight for identity, listed in got.endpoints.items()} == {WEB: 1.5, DB: 0.5}


def test_the_better_of_two_records() -> None:
    """A target listed twice serves with its better priority, in whatever order the records come."""
    first, failover = srv(priority=0), srv(priority=10)

    assert answer(first, failover, web=(V4,)).endpoints == answer(failover, first, web=(V4,)).endpoints


def test_two_names_at_one_address() -> None:
    """A pod that is listed by two names is one endpoint: the pool knows one identity for each address."""
    assert len(answer(srv(WEB), srv(DB), web=(V4,), db=(V4,)).endpoints) == 1


@pytest.mark.parametrize("others", [(V6,), ("10.0.0.2", V6)])
def test_the_second_address_of_another(others: tuple[str, ...]) -> None:
    """An address that is already a pod's second one is nobody else's: the better record has it."""
    both = srv(WEB, priority=0), srv(DB, priority=1)
    want = {Identity(Address(V4, 80), WEB): Listed(priority=0, other=Address(V6, 80))}

    assert answer(*both, web=(V4, V6), db=others).endpoints == want
    assert answer(srv(WEB), srv(DB, port=81), web=(V4, V6), db=(V6,)).endpoints.keys() == {
        Identity(Address(V4, 80), WEB),
        Identity(Address(V6, 81), DB),
    }


def test_a_second_address_that_is_already_used() -> None:
    """The same the other way round: a pod whose second address is another's first one is that pod."""
    got = answer(srv(WEB, priority=1), srv(DB, priority=0), web=(V4, V6), db=(V6,))

    assert got.endpoints == {Identity(Address(V6, 80), DB): Listed(priority=0)}


def test_groups_and_links_are_no_pods() -> None:
    """A target's multicast and link-local addresses are passed over, and are nobody's second address."""
    got = answer(srv(), web=("224.0.0.1", "fe80::1", V4, "ff02::1"))

    assert got.endpoints == {Identity(Address(V4, 80), WEB): Listed()}


# --- glue ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "targets,glue,missing,said",
    [
        ([WEB, DB], [WEB, DB], [], "endpoints 2 (srv ok)"),
        ([WEB, DB], [DB], [WEB], "endpoints 2 (srv ok, 1 targets without glue)"),
        ([DB, WEB, DB], [], [DB, WEB], "endpoints 2 (srv ok, 2 targets without glue)"),
        ([WEB], [DB], [WEB], "endpoints 1 (srv ok, 1 targets without glue)"),
    ],
)
def test_without_glue(targets: list[str], glue: list[str], missing: list[str], said: str) -> None:
    """Only targets whose addresses did not come along are asked for, each once; the log says how many."""
    reply = heard(*map(srv, targets), glue={name: (V4,) for name in glue})
    addresses = {name: (f"10.0.0.{number}",) for number, name in enumerate(dict.fromkeys(targets), 1)}

    assert without_glue(reply, BOTH) == missing
    assert str(named(reply, addresses, set(), BOTH)) == said


def test_no_records_no_glue() -> None:
    """Nothing is asked for a reply without records."""
    assert without_glue(Reply(AnswerKind.NXDOMAIN, "nxdomain"), BOTH) == []


@pytest.mark.parametrize(
    "glue,families,missing",
    [((V4,), {Family.IPV4}, []), ((V6,), {Family.IPV4}, [WEB]), ((V4,), {Family.IPV6}, [WEB]),
     ((V6, V4), {Family.IPV4}, []), ((V6,), BOTH, []), ((), BOTH, [WEB])],
)  # fmt: skip
def test_glue_of_the_wrong_family(
    glue: tuple[str, ...], families: Collection[Family], missing: list[str]
) -> None:
    """An address that will not be used does not keep the target from being asked for, and is told so."""
    reply = heard(srv(), glue={WEB: glue})
    said = str(named(reply, {WEB: (V4, V6)}, set(), set(families)))

    assert without_glue(reply, set(families)) == missing
    assert ("1 targets without glue" in said) == bool(missing)


# --- weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given,want",
    [
        ([100], [1.0]),
        ([33, 33, 33], [1.0, 1.0, 1.0]),  # CoreDNS: 100 / n, made up
        ([14] * 7, [1.0] * 7),
        ([0, 0], [1.0, 1.0]),
        ([65535] * 3, [1.0] * 3),
        ([10, 30], [0.5, 1.5]),
        ([1, 2, 3], [0.5, 1.0, 1.5]),
        ([0, 100], [2 * FAINT / (1 + FAINT), 2 / (1 + FAINT)]),
        ([0, 1], [2 * FAINT / (1 + FAINT), 2 / (1 + FAINT)]),
    ],
)
def test_weights(given: list[int], want: list[float]) -> None:
    """Equal ones say nothing; others are shares; 0 beside others gets a very small one, as RFC 2782 says."""
    srvs = [srv(port=port, weight=weight) for port, weight in enumerate(given)]

    assert [weights(srvs)[each] for each in srvs] == pytest.approx(want, abs=1e-12)


def test_equal_weights_are_exactly_one() -> None:
    """A service whose size changes keeps its weights: endpoints are compared by them."""
    for count in range(1, 101):
        srvs = [srv(port=port, weight=100 // count) for port in range(count)]

        assert set(weights(srvs).values()) == {1.0}


def test_weights_per_priority() -> None:
    """Only those of one priority share: the heavy ones for failover do not make the others light."""
    first, second, failover = srv(DB, weight=1), srv(LOG, weight=3), srv(WEB, priority=1, weight=60000)

    assert weights([failover, second, first]) == {first: 0.5, second: 1.5, failover: 1.0}


srvs_of_any_kind = st.lists(
    st.builds(srv, port=st.integers(1, 9), priority=st.integers(0, 2), weight=st.integers(0, 65535)),
    min_size=1,
    max_size=8,
)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(srvs_of_any_kind)
def test_weights_are_one_on_average(srvs: list[Srv]) -> None:
    """In every tier, in the order of the weights; nobody is left without any chance."""
    found = weights(srvs)

    assert found.keys() == set(srvs)
    for priority in {each.priority for each in srvs}:
        tier = sorted({each for each in srvs if each.priority == priority}, key=lambda each: each.weight)
        shares = [found[each] for each in tier]
        assert sum(shares) / len(shares) == pytest.approx(1.0)
        assert shares == sorted(shares)
        assert min(shares) > 0
