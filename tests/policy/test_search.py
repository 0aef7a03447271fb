"""Which full names a short one may stand for: resolv.conf(5), as a pod has it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.resolv_conf import ResolvConf, parse
from proxy.policy.search import candidates


@pytest.mark.parametrize(
    "host,ndots,want",
    [
        ("web", 5, ["web.a.", "web.b.", "web."]),
        ("web.shop.svc", 5, ["web.shop.svc.a.", "web.shop.svc.b.", "web.shop.svc."]),
        ("web.shop", 1, ["web.shop.", "web.shop.a.", "web.shop.b."]),
        ("web", 1, ["web.a.", "web.b.", "web."]),
        ("web", 0, ["web.", "web.a.", "web.b."]),
        ("a.b.c.d.e.f", 5, ["a.b.c.d.e.f.", "a.b.c.d.e.f.a.", "a.b.c.d.e.f.b."]),
        ("_http._tcp.web", 5, ["_http._tcp.web.a.", "_http._tcp.web.b.", "_http._tcp.web."]),
        ("web.", 5, ["web."]),
        ("web.shop.svc.cluster.local.", 5, ["web.shop.svc.cluster.local."]),
    ],
)
def test_candidates(host: str, ndots: int, want: list[str]) -> None:
    """Few dots: the search list first; enough of them: the name itself; a trailing dot: only that."""
    assert candidates(host, ResolvConf(domains=("a", "b"), ndots=ndots)) == want


def test_service_of_another_namespace() -> None:
    """`web.shop`, as people write it, reaches the Service by the second domain of a pod's list."""
    pod = parse("search shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n")
    names = candidates("web.shop", pod)

    assert names[1] == "web.shop.svc.cluster.local."
    assert names[-1] == "web.shop."


def test_without_a_search_list() -> None:
    """A name is asked as it is when there is nothing to search."""
    assert candidates("web", ResolvConf()) == ["web."]


labels = st.lists(st.sampled_from(["web", "shop", "svc"]), min_size=1, max_size=4).map(".".join)
confs = st.builds(ResolvConf, domains=st.lists(labels, max_size=4).map(tuple), ndots=st.integers(0, 15))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(labels, confs)
def test_every_name_is_full(host: str, conf: ResolvConf) -> None:
    """Nobody appends a domain to a candidate once more; the name itself is always among them."""
    names = candidates(host, conf)

    assert all(name.endswith(".") and not name.endswith("..") for name in names)
    assert len(names) == len(conf.domains) + 1
    assert f"{host}." in (names[0], names[-1])
    assert candidates(names[0], conf) == [names[0]]
