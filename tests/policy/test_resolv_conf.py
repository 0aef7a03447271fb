"""What a resolv.conf says: resolv.conf(5), as a pod, a host and a broken file have it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.model import Address
from proxy.policy.resolv_conf import LOCAL, ResolvConf, parse

POD = """\
search shop.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
options ndots:5
"""
ONE, TWO, THREE, FOUR = (f"nameserver 10.0.0.{number}\n" for number in (1, 2, 3, 4))


def servers(*ips: str) -> tuple[Address, ...]:
    return tuple(Address(ip, 53) for ip in ips)


@pytest.mark.parametrize(
    "text,want",
    [
        (POD, ResolvConf(
            servers("10.96.0.10"), ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local"), 5)),
        ("", ResolvConf()),
        (POD.replace("\n", "\r\n"), parse(POD)),
    ],
)  # fmt: skip
def test_whole_files(text: str, want: ResolvConf) -> None:
    """What kubelet writes, and no file at all."""
    assert parse(text) == want


@pytest.mark.parametrize(
    "text,want",
    [
        ("", LOCAL),
        ("search a.example\n", LOCAL),
        ("nameserver\n", LOCAL),
        ("nameserver localhost\nnameserver 10.0.0\nnameserver 1.2.3.256\n", LOCAL),
        (ONE, servers("10.0.0.1")),
        (TWO + ONE, servers("10.0.0.2", "10.0.0.1")),
        (ONE + "nameserver nonsense\n" + TWO, servers("10.0.0.1", "10.0.0.2")),
        (ONE + ONE + TWO, servers("10.0.0.1", "10.0.0.2")),
        (ONE + TWO + THREE + FOUR, servers("10.0.0.1", "10.0.0.2", "10.0.0.3")),
        ("nameserver fd00::10\n", servers("fd00::10")),
        ("nameserver FD00:0:0::10\n", servers("fd00::10")),
        ("nameserver fe80::1%eth0\n", servers("fe80::1%eth0")),
        ("nameserver\t10.0.0.1 # the first\n", servers("10.0.0.1")),
        ("#nameserver 10.0.0.1\n; nameserver 10.0.0.2\n", LOCAL),
        ("nameservers 10.0.0.1\n", LOCAL),
    ],
)
def test_servers(text: str, want: tuple[Address, ...]) -> None:
    """In order, at most three, each once; without any it is this host's own."""
    assert parse(text).servers == want


@pytest.mark.parametrize(
    "text,domains",
    [
        ("nameserver 10.0.0.1\n", ()),
        ("search a.example\nsearch b.example c.example\n", ("b.example", "c.example")),
        ("search a.example\ndomain b.example\n", ("b.example",)),
        ("domain b.example\nsearch a.example\n", ("a.example",)),
        ("# search a.example\n;search b.example\n#search c.example\n", ()),
        ("search A.Example. b.example.\n", ("a.example", "b.example")),
        ("search .\n", ()),
        ("search .. a.example ...\n", ("a.example",)),
        ("search\ta.example\t b.example  \r\n", ("a.example", "b.example")),
        ("searching a.example\n", ()),
    ],
)
def test_domains(text: str, domains: tuple[str, ...]) -> None:
    """The last search or domain line wins; the root is no domain to search in."""
    assert parse(text).domains == domains


@pytest.mark.parametrize(
    "text,want",
    [
        ("", ResolvConf()),
        ("options timeout:1 ndots:2 rotate\n", ResolvConf(timeout_s=1, ndots=2, rotate=True)),
        ("options ndots:2\noptions edns0\n", ResolvConf(ndots=2)),
        ("options ndots:2\noptions ndots:3\n", ResolvConf(ndots=3)),
        ("options ndots:2 ndots:3\n", ResolvConf(ndots=3)),
        ("; options ndots:3\noption ndots:3\n", ResolvConf()),
        ("options ndots:0\n", ResolvConf(ndots=0)),
        ("options ndots:15\n", ResolvConf(ndots=15)),
        ("options ndots:99\n", ResolvConf(ndots=15)),
        ("options ndots ndots: ndots:x ndots:-1 ndots:²\n", ResolvConf()),
        (f"options ndots:{'9' * 5000}\n", ResolvConf()),
        ("options timeout:30 attempts:5\n", ResolvConf(timeout_s=30, attempts=5)),
        ("options timeout:31 attempts:6\n", ResolvConf(timeout_s=30, attempts=5)),
        ("options timeout:0 attempts:0\n", ResolvConf(timeout_s=None, attempts=None)),
        ("options timeout:soon attempts:\n", ResolvConf(timeout_s=None, attempts=None)),
        ("options use-vc\n", ResolvConf(use_vc=True)),
        ("options single-request-reopen trust-ad no-aaaa\n", ResolvConf()),
        ("options\n", ResolvConf()),
    ],
)
def test_options(text: str, want: ResolvConf) -> None:
    """Those we follow, with glibc's limits; others and nonsense are passed over."""
    assert parse(text) == want


KEYWORDS = ["search", "domain", "options", "nameserver", "ndots:", "timeout:", "attempts:"]
words = st.sampled_from([*KEYWORDS, "²", "9", "10.0.0.1", "::1", ";", "#", ".", "..", "a", " ", " ", "\n"])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.text(max_size=40) | st.lists(words, max_size=20).map("".join))
def test_any_file_can_be_read(text: str) -> None:
    """No resolv.conf, however broken, keeps the sidecar from starting."""
    conf = parse(text)

    assert 1 <= len(conf.servers) <= 3
    assert 0 <= conf.ndots <= 15
    assert conf.timeout_s is None or 1 <= conf.timeout_s <= 30
    assert conf.attempts is None or 1 <= conf.attempts <= 5
    assert not any(
        domain == "" or domain.endswith(".") or domain != domain.lower() for domain in conf.domains
    )
