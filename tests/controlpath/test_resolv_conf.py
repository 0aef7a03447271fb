"""resolv.conf as the file it is: changed, moved, lost and unreadable while the proxy runs."""

import logging
import os
from pathlib import Path

import pytest

from proxy.clock import SystemClock
from proxy.controlpath.resolv_conf import ResolvConfFile
from proxy.controlpath.resolver import AresResolver
from proxy.demo.dns import DnsServer
from proxy.model import Address
from proxy.policy.resolv_conf import LOCAL, ResolvConf
from tests.controlpath.asking import IPS, WEB, with_dns


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "resolv.conf"
    path.write_text("search demo.svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n")
    return path


def test_it_says_what_the_file_says(path: Path) -> None:
    """Servers, search list and options of the file, as a pod has it."""
    conf = ResolvConfFile(path)()

    assert conf.servers == (Address("10.96.0.10", 53),)
    assert conf.domains == ("demo.svc.cluster.local", "cluster.local")
    assert conf.ndots == 5


def test_a_change_is_followed(path: Path) -> None:
    """Whoever asks after a change gets the new servers, without a restart."""
    conf = ResolvConfFile(path)
    path.write_text("nameserver 10.96.0.11\nnameserver fd00::a\n")

    assert conf().servers == (Address("10.96.0.11", 53), Address("fd00::a", 53))
    assert conf().domains == ()


def test_another_file_in_its_place_is_followed(path: Path) -> None:
    """Like kubelet and editors do it: a new file of the same size and time is moved over the old one."""
    conf = ResolvConfFile(path)
    found = path.stat()
    new = path.with_name("new")
    new.write_text(path.read_text().replace("10.96.0.10", "10.96.0.12"))
    os.utime(new, ns=(found.st_atime_ns, found.st_mtime_ns))
    new.rename(path)

    assert conf().servers == (Address("10.96.0.12", 53),)


def test_a_file_that_comes_later_is_found(tmp_path: Path) -> None:
    """Without a file the server of this host is asked; the file counts from when it is there."""
    path = tmp_path / "resolv.conf"
    conf = ResolvConfFile(path)
    assert conf() == ResolvConf()
    assert conf().servers == LOCAL

    path.write_text("nameserver 10.96.0.10\n")
    assert conf().servers == (Address("10.96.0.10", 53),)

    path.unlink()
    assert conf() == ResolvConf()


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    """What cannot be read is as if it was not there, and no reason to crash."""
    assert ResolvConfFile(tmp_path)() == ResolvConf()


def test_unreadable_lines_are_passed_over(path: Path) -> None:
    """Bytes that are no text, addresses that are none, unknown words: the other lines count."""
    path.write_bytes(
        b"\xff\xfe\0\n"
        b"nameserver\n"
        b"nameserver not-an-address\n"
        b"nameserver 10.96.0.300\n"
        b"nameserver 10.96.0.10 # ours\n"
        b"options ndots:many timeout: attempts:-1 frobnicate\n"
        b"; a comment\n"
        b"sortlist 130.155.160.0\n"
        b"search a.example"
    )
    conf = ResolvConfFile(path)()

    assert conf == ResolvConf((Address("10.96.0.10", 53),), ("a.example",))


def test_a_change_is_logged_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line for a change that matters; none at the start, none for a comment, none for a look."""
    caplog.set_level(logging.INFO)
    conf = ResolvConfFile(path)
    conf()
    assert caplog.messages == []

    path.write_text(path.read_text() + "# a comment\n")
    conf()
    assert caplog.messages == []

    path.write_text("nameserver 10.96.0.11\nsearch x.example\n")
    conf()
    conf()
    assert caplog.messages == [f"{path} changed: name servers 10.96.0.11:53, search ('x.example',)"]


def test_the_file_is_read_when_it_has_changed_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand questions look at the file's state; its text is read once for each change."""
    reads = 0
    read_text = Path.read_text

    def counting(self: Path, *args: str, **kwargs: str) -> str:
        nonlocal reads
        reads += 1
        return read_text(self, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", counting)
    conf = ResolvConfFile(path)
    for _ in range(1000):
        conf()
    assert reads == 1

    path.write_text("nameserver 10.96.0.11\n")
    conf()
    assert reads == 2


def test_a_resolver_asks_whom_the_file_names(path: Path) -> None:
    """A server written into the file gets the next question, at port 53, where nobody is: unreachable."""

    conf = ResolvConfFile(path)
    path.write_text("nameserver 127.9.9.9\n")

    async def test(dns: DnsServer) -> None:
        asking = AresResolver([], conf, 1.0, SystemClock())
        assert list(asking.servers_and_troubles()) == [Address("127.9.9.9", 53)]
        reply = await asking.query(WEB, "A")
        assert reply.exchange is not None
        assert (reply.result, reply.exchange.server) == ("unreachable", "127.9.9.9:53")

        chosen = AresResolver([Address(dns.ip, dns.port)], conf, 1.0, SystemClock())
        assert sorted((await chosen.query(WEB, "A")).ips) == sorted(IPS)

    with_dns(test)
