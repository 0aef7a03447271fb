"""What a name may have been meant to be, and which ports are tried: tables without a network."""

import pytest

from proxy.doctor import near
from proxy.doctor.seen import Place
from proxy.policy.resolv_conf import ResolvConf

KUBELET = ("demo.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example")
IN_DEMO = Place(ResolvConf(domains=KUBELET, ndots=5), namespace="demo", domain="cluster.local")


@pytest.mark.parametrize(
    "domains,want",
    [
        (KUBELET, ("demo", "cluster.local")),
        (("svc.k8s.corp.example", "k8s.corp.example"), ("", "k8s.corp.example")),
        (("a.b.svc.odd",), ("", "")),
        (("corp.example",), ("", "")),
        (("notsvc.cluster.local", "svc"), ("", "")),
        ((), ("", "")),
    ],
)
def test_the_cluster_by_the_search_list(domains: tuple[str, ...], want: tuple[str, str]) -> None:
    """`<ns>.svc.<domain>` and `svc.<domain>` tell the namespace and the domain; other lists tell nothing."""
    assert near.cluster(ResolvConf(domains=domains)) == want


@pytest.mark.parametrize(
    "host,want",
    [
        ("web", ["web.demo", "web.default"]),
        ("web.prod", ["web.prod", "web.demo", "web.default"]),
        ("web.prod.svc", ["web.prod", "web.demo", "web.default"]),
        ("web.prod.svc.cluster.local", ["web.prod", "web.demo", "web.default"]),
        ("web.prod.svc.cluster.local.svc.cluster.local.", ["web.prod", "web.demo", "web.default"]),
        ("web.prod.svc.cluster.local.cluster.local.", ["web.prod", "web.demo", "web.default"]),
        ("web.prod.svc.other.domain", ["web.prod", "web.demo", "web.default"]),
        ("web-0.web.prod", ["web-0.web.prod", "web-0.demo", "web-0.default"]),
        ("svc", ["svc.demo", "svc.default"]),
    ],
)
def test_similar_names(host: str, want: list[str]) -> None:
    """In the namespace that was written, in the pod's own, in the default one; likely ones first."""
    found = near.variants(host, IN_DEMO, tried=())

    assert [name for name in found if name.endswith(".svc.cluster.local.")][-len(want) :] == [
        f"{name}.svc.cluster.local." for name in want
    ]
    assert len(found) <= 8


def test_names_tried_already_are_not_tried_again() -> None:
    """What the search list has asked is known."""
    tried = ["web.demo.svc.cluster.local."]

    assert near.variants("web", IN_DEMO, tried) == ["web.default.svc.cluster.local."]


def test_a_trailing_dot_too_many() -> None:
    """`web.` is asked as it is: without the dot the search list counts."""
    assert near.variants("web.", IN_DEMO, ["web."])[:2] == [
        "web.demo.svc.cluster.local.",
        "web.svc.cluster.local.",
    ]


def test_no_cluster_no_similar_names() -> None:
    """Outside of a cluster nothing is guessed."""
    assert near.variants("web.demo", Place(ResolvConf()), ["web.demo."]) == []


def test_names_of_ports() -> None:
    """The name that was wanted first, then the other protocol and common names, six in all."""
    assert near.port_names("_api._tcp", "web.demo.") == [
        "_api._tcp.web.demo.",
        "_api._udp.web.demo.",
        "_http._tcp.web.demo.",
        "_https._tcp.web.demo.",
        "_grpc._tcp.web.demo.",
        "_tcp._tcp.web.demo.",
    ]


@pytest.mark.parametrize(
    "target,listed,want",
    [
        (80, [], [443, 3000, 5000, 5432]),
        (8080, [9898, 8080], [9898, 80, 443, 3000]),
        (81, [443, 443, 1], [443, 1, 80, 3000]),
    ],
)
def test_other_ports(target: int, listed: list[int], want: list[int]) -> None:
    """Those that SRV lists come first, each once, and never the target's own."""
    assert near.ports(target, listed, 4) == want
