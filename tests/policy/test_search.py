"""Which full names a short one may stand for: resolv.conf(5), as a pod has it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.search import SearchRules, candidates, parse_resolv_conf

POD = """\
search shop.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
options ndots:5
"""


@pytest.mark.parametrize(
    "text,domains,ndots",
    [
        (POD, ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local"), 5),
        ("", (), 1),
        ("nameserver 10.0.0.1\n", (), 1),
        ("search a.example\nsearch b.example c.example\n", ("b.example", "c.example"), 1),
        ("search a.example\ndomain b.example\n", ("b.example",), 1),
        ("domain b.example\nsearch a.example\n", ("a.example",), 1),
        ("# search a.example\n;search b.example\n#search c.example\n; options ndots:3\n", (), 1),
        ("search A.Example. b.example.\n", ("a.example", "b.example"), 1),
        ("search .\n", (), 1),
        ("search\ta.example\t b.example  \r\n", ("a.example", "b.example"), 1),
        ("options timeout:1 ndots:2 rotate\n", (), 2),
        ("options ndots:2\noptions edns0\n", (), 2),
        ("options ndots:2\noptions ndots:3\n", (), 3),
        ("options ndots:0\n", (), 0),
        ("options ndots:99\n", (), 15),
        ("options ndots ndots: ndots:x ndots:-1 ndots:²\n", (), 1),
        ("searching a.example\noption ndots:3\n", (), 1),
    ],
)
def test_parse(text: str, domains: tuple[str, ...], ndots: int) -> None:
    """The last search or domain line wins; comments and what is unknown are passed over."""
    assert parse_resolv_conf(text) == SearchRules(domains, ndots)


@pytest.mark.parametrize(
    "host,ndots,want",
    [
        ("web", 5, ["web.a.", "web.b.", "web."]),
        ("web.shop.svc", 5, ["web.shop.svc.a.", "web.shop.svc.b.", "web.shop.svc."]),
        ("web.shop", 1, ["web.shop.", "web.shop.a.", "web.shop.b."]),
        ("web", 1, ["web.a.", "web.b.", "web."]),
        ("web", 0, ["web.", "web.a.", "web.b."]),
        ("a.b.c.d.e.f", 5, ["a.b.c.d.e.f.", "a.b.c.d.e.f.a.", "a.b.c.d.e.f.b."]),
        ("web.", 5, ["web."]),
        ("web.shop.svc.cluster.local.", 5, ["web.shop.svc.cluster.local."]),
    ],
)
def test_candidates(host: str, ndots: int, want: list[str]) -> None:
    """Few dots: the search list first; enough of them: the name itself; a trailing dot: only that."""
    assert candidates(host, SearchRules(("a", "b"), ndots)) == want


def test_service_of_another_namespace() -> None:
    """`web.shop`, as people write it, reaches the Service by the second domain of a pod's list."""
    names = candidates("web.shop", parse_resolv_conf(POD))

    assert names[1] == "web.shop.svc.cluster.local."
    assert names[-1] == "web.shop."


def test_without_a_search_list() -> None:
    """A name is asked as it is when there is nothing to search."""
    assert candidates("web", SearchRules()) == ["web."]


@settings(derandomize=True, deadline=None)
@given(
    st.text()
    | st.lists(st.sampled_from(["search", "options", "ndots:", "²", "9", ";", "\n", " "])).map("".join)
)
def test_any_file_can_be_read(text: str) -> None:
    """No resolv.conf, however broken, keeps the sidecar from starting."""
    rules = parse_resolv_conf(text)

    assert 0 <= rules.ndots <= 15
    assert all(name.endswith(".") and not name.endswith("..") for name in candidates("web", rules))
