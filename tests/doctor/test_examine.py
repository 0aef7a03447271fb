"""Findings from observations alone: tables of what the real tests do not reach."""

from collections.abc import Mapping

import msgspec
import pytest

from proxy.doctor import answers, examine, near, pods
from proxy.doctor.finding import Finding
from proxy.doctor.seen import Glance, Looked, Name, Place, Server
from proxy.model import Address, AnswerKind, Exchange, Identity
from proxy.policy.records import Reply, Srv
from proxy.policy.resolv_conf import ResolvConf
from tests.support import service_settings

WEB = "web.demo.svc.cluster.local."
DNS, DNS_2, NODE_LOCAL = (Address(ip, 53) for ip in ("10.96.0.10", "10.96.0.11", "169.254.20.10"))
FAILED = Reply(AnswerKind.FAILED, "timeout")


def reply(*ips: str, ttl: int = 30, **seen: bool | str) -> Reply:
    exchange = Exchange(WEB, "A", "ok", str(DNS), total=len(ips), **seen)  # type: ignore[arg-type]
    return Reply(AnswerKind.ENDPOINTS, ips=ips, ttl=ttl, exchange=exchange)


def looked(*glances: Glance, checks: Mapping[Address, tuple[str, ...]] | None = None) -> Looked:
    """Three pods, found at once; what the glances and the checks say."""
    ips = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    endpoints = tuple(Identity(Address(ip, 80)) for ip in ips)
    return Looked(
        service_settings(TARGET=f"{WEB}:80"),
        (Server(DNS, reply()), Server(DNS_2, reply())),
        (Name(WEB, {"A": reply(*ips)}),),
        WEB,
        glances=glances,
        endpoints=endpoints,
        checks=checks or {each.address: ("",) for each in endpoints},
    )


def codes(seen: Looked) -> list[str]:
    lines = examine.of_service(seen, Place(ResolvConf()))
    return [line.code.value for line in lines if isinstance(line, Finding)]


def pods_of(text: str) -> tuple[str, ...]:
    """ "12" stands for the addresses 10.0.0.1 and 10.0.0.2."""
    return tuple(f"10.0.0.{digit}" for digit in text)


@pytest.mark.parametrize(
    "sets,want",
    [
        ("123 123 123", []),
        ("123 12 12", []),  # a pod left
        ("12 123 1234", []),
        ("123 12 123", ["dns_lag"]),
        ("123 12 12 123", ["dns_lag"]),
        ("12 123 123 - 123", ["dns_server_failing"]),  # a failure is no answer
        ("12", []),
        ("123", []),
    ],
)
def test_successive_answers(sets: str, want: list[str]) -> None:
    """Only what comes back after it had gone is a lag."""
    seen = [
        Glance(
            n, float(n), DNS, reply(*pods_of(each)) if each != "-" else Reply(AnswerKind.FAILED, "servfail")
        )
        for n, each in enumerate(sets.split())
    ]

    assert codes(looked(*seen)) == want


@pytest.mark.parametrize(
    "first,second,want",
    [
        ("123 123 123", "123 123 123", []),
        ("123 123 123", "12 123 123", []),  # one look apart is a change under way
        ("123 123 123", "12 12 123", ["dns_lag"]),
        ("123", "12", ["dns_lag"]),  # a single look is all there is
    ],
)
def test_servers_side_by_side(first: str, second: str, want: list[str]) -> None:
    """Servers that disagree in two looks are out of step."""
    glances = [
        Glance(n, float(n), server, reply(*pods_of(each)))
        for server, sets in ((DNS, first), (DNS_2, second))
        for n, each in enumerate(sets.split())
    ]

    assert codes(looked(*sorted(glances, key=lambda glance: glance.look))) == want


def test_a_truncated_answer_is_no_other_answer() -> None:
    """Each time another part of a large answer arrives: that is no change."""
    cut = [reply(*pods_of(each))._replace(truncated=True) for each in ("12", "23", "12")]

    assert codes(looked(*(Glance(n, float(n), DNS, each) for n, each in enumerate(cut)))) == []


@pytest.mark.parametrize(
    "ttls,apart_s,want",
    [
        ([30, 30, 30], 1.0, ["ttl stays 30"]),
        ([30, 30, 30], 0.1, []),  # too close together to know
        ([30, 29, 28], 1.0, ["counts down: 30, 29, 28", "up to 30 s late"]),
        ([12, 5, 30], 5.0, ["counts down: 12, 5, 30", "up to 30 s late"]),  # it ran out in between
        ([0, 0, 0], 1.0, ["ttl stays 0"]),
    ],
)
def test_ttls(ttls: list[int], apart_s: float, want: list[str]) -> None:
    """A ttl that changes is a cache's; one that stays says so only after a while."""
    glances = [Glance(n, n * apart_s, DNS, reply("10.0.0.1", ttl=ttl)) for n, ttl in enumerate(ttls)]
    lines = list(answers.age(looked(*glances)))
    said = " ".join(line.what if isinstance(line, Finding) else line.text for line in lines)

    assert len(lines) == bool(want)
    assert all(words in said for words in want)


def test_node_local_dns_cache_has_its_own_fix() -> None:
    """169.254.20.10 is a cache on the node: the way round it is kube-dns itself."""
    glances = [Glance(n, float(n), NODE_LOCAL, reply("10.0.0.1", ttl=30 - n)) for n in range(3)]
    (finding,) = answers.age(looked(*glances))

    assert isinstance(finding, Finding)
    assert "HEADWAY_DNS_SERVERS=<cluster ip of kube-dns>" in finding.fix


@pytest.mark.parametrize(
    "reasons,want",
    [
        (["", "", ""], []),
        (["refused", "", ""], ["checks_fail"]),
        (["refused refused", "", ""], ["dns_lag"]),
        (["unreachable refused", "", ""], ["dns_lag"]),
        (["refused", "timeout", ""], ["checks_fail"]),
        (["refused refused", "refused refused", ""], ["checks_fail"]),
        (["timeout timeout", "", ""], ["checks_fail"]),
        (["refused refused", "timeout timeout", ""], ["checks_fail"]),
        (["refused -", "", ""], ["checks_fail"]),  # it came up while we looked
    ],
)
def test_checks(reasons: list[str], want: list[str]) -> None:
    """What refuses all the time and stays listed is DNS' fault as long as most pods are well."""
    addresses = [Address(f"10.0.0.{n}", 80) for n in (1, 2, 3)]
    seen = [tuple(each.replace("-", "").split(" ")) for each in reasons]
    glances = [Glance(n, float(n), DNS, reply(*pods_of("123"))) for n in range(3)]

    assert codes(looked(*glances, checks=dict(zip(addresses, seen, strict=True)))) == want


def test_a_pod_that_left_dns_is_not_stale() -> None:
    """An address that refuses and is gone from the next answer is a rollout, not a lag."""
    checks = {Address(f"10.0.0.{n}", 80): ("refused", "refused") if n == 1 else ("",) for n in (1, 2, 3)}
    glances = [Glance(0, 0.0, DNS, reply(*pods_of("123"))), Glance(1, 1.0, DNS, reply(*pods_of("23")))]

    assert codes(looked(*glances, checks=checks)) == ["checks_fail"]


def test_the_port_that_srv_lists_wins() -> None:
    """Sidecars and metrics accept too: of several ports the one that the Service has is the likeliest."""
    ports = near.ports(80, [9898], 4)
    seen = msgspec.structs.replace(
        looked(checks={Address("10.0.0.1", 80): ("refused",)}),
        own=Reply(AnswerKind.ENDPOINTS, srvs=(Srv(0, 1, 9898, f"web-0.{WEB}"),)),
        ports=dict.fromkeys(ports, ""),
    )
    (finding,) = pods.closed_port(seen)

    assert "port 9898 accepts (SRV lists it)" in finding.what


def test_many_failing_pods_are_not_all_named() -> None:
    """Five addresses for each reason, and how many more there are."""
    checks = {Address(f"10.0.0.{n}", 80): ("refused",) for n in range(24)}
    (finding,) = pods.checks(looked(checks=checks))

    assert isinstance(finding, Finding)
    assert "10.0.0.4:80 and 19 more" in finding.what


def test_a_part_of_a_large_service_is_checked() -> None:
    """Whoever reads "24 of 24" must know that there are more."""
    seen = looked(checks={Address("10.0.0.1", 80): ("",)})
    (note,) = pods.checks(seen)

    assert not isinstance(note, Finding)
    assert note.text == "1 of 1 pods (of 3) accept connections"


@pytest.mark.parametrize(
    "host,qtype,srv,least,most",
    [
        (WEB, "A", None, 70, 74),  # 72 were seen in a real cluster, with a longer name
        (WEB, "AAAA", None, 40, 43),
        (f"_http._tcp.{WEB}", "SRV", Srv(0, 1, 80, f"web-0.{WEB}"), 8, 12),
    ],
)
def test_how_many_pods_fit_a_datagram(host: str, qtype: str, srv: Srv | None, least: int, most: int) -> None:
    """The sizes of DNS records say how many pods go into 1,232 bytes."""
    target = f"srv://{host}" if srv else f"{host}:80"
    seen = Looked(
        service_settings(TARGET=target, LISTEN="127.0.0.1:1"),
        found=host,
        own=Reply(AnswerKind.ENDPOINTS, srvs=(srv,) if srv else ()),
    )

    assert least <= answers.datagram_fits(seen, qtype) <= most
