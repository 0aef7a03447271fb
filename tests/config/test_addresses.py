"""Where to listen, where pods and name servers are: what may be written, what is said about the rest."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import Listen
from proxy.config.listen import listen, listen_or_off, listens
from proxy.config.targets import DnsTarget, SrvTarget, StaticTarget, Target, target
from proxy.config.values import nameservers, networks
from proxy.model import Address
from tests.config.refusals import problem

LONG_LABEL = "a" * 63
LONGEST_NAME = ".".join([LONG_LABEL] * 3 + ["b" * 61])
LONGEST_PATH = "/" + "p" * 106


@pytest.mark.parametrize(
    "text,want,shown",
    [
        ("127.0.0.1:80", Listen("127.0.0.1", 80), "127.0.0.1:80"),
        ("[::1]:80", Listen("::1", 80), "[::1]:80"),
        ("[0:0:0:0:0:0:0:1]:80", Listen("::1", 80), "[::1]:80"),
        ("localhost:65535", Listen("localhost", 65535), "localhost:65535"),
        (":9902", Listen("", 9902), ":9902"),
        ("127.0.0.1:0", Listen("127.0.0.1", 0), "127.0.0.1:0"),
        ("unix:/run/a b.sock", Listen(path="/run/a b.sock"), "unix:/run/a b.sock"),
        (f"unix:{LONGEST_PATH}", Listen(path=LONGEST_PATH), f"unix:{LONGEST_PATH}"),
    ],
)
def test_listeners(text: str, want: Listen, shown: str) -> None:
    """Every way to say where to listen, and how it is shown."""
    assert listen.parse(text) == want
    assert listen.show(want) == shown
    assert listen_or_off.parse(text) == want


@pytest.mark.parametrize(
    "text,why",
    [
        ("80", "has no port"),
        ("127.0.0.1", "has no port"),
        ("127.0.0.1:", "has a wrong port '' (a port is 0 to 65535)"),
        ("127.0.0.1:65536", "has a wrong port '65536' (a port is 0 to 65535)"),
        ("127.0.0.1:-1", "has a wrong port '-1' (a port is 0 to 65535)"),
        ("127.0.0.1:http", "has a wrong port 'http' (a port is 0 to 65535)"),
        ("127.0.0.1:\uff18\uff10", "has a wrong port '\uff18\uff10' (a port is 0 to 65535)"),
        ("::1:80", "is not clear: write an IPv6 address in brackets, such as [::1]:8080"),
        ("[::1]", "is not clear: write an IPv6 address in brackets, such as [::1]:8080"),
        ("[127.0.0.1]:80", "has '[127.0.0.1]', which is not an IPv6 address"),
        ("web:80", "has 'web', which is not an ip address"),
        ("127.0.0.256:80", "has '127.0.0.256', which is not an ip address"),
        ("127.1:80", "has '127.1', which is not an ip address"),
        ("unix:run.sock", "needs an absolute path of at most 107 bytes after unix:"),
        ("unix:", "needs an absolute path of at most 107 bytes after unix:"),
        (f"unix:{LONGEST_PATH}p", "needs an absolute path of at most 107 bytes after unix:"),
        ("unix:/" + "ü" * 54, "needs an absolute path of at most 107 bytes after unix:"),
        ("off", "has no port"),
    ],
)
def test_wrong_listeners(text: str, why: str) -> None:
    """What cannot be listened on is refused with what is wrong about it."""
    assert problem(listen, text) == why


@pytest.mark.parametrize(
    "text,want,shown",
    [
        ("unix:/run/o?mode=660", Listen(path="/run/o", mode=0o660), "unix:/run/o?mode=0660"),
        ("unix:/run/o?backlog=8&mode=0600", Listen(path="/run/o", mode=0o600, backlog=8), None),
        ("127.0.0.1:80?backlog=512", Listen("127.0.0.1", 80, backlog=512), None),
        (":80?reuseport", Listen("", 80, reuseport=True), None),
        ("[::1]:80?backlog=1&reuseport", Listen("::1", 80, backlog=1, reuseport=True), None),
    ],
)
def test_options_of_listeners(text: str, want: Listen, shown: str | None) -> None:
    """Options stand behind the address, and are shown so that they can be read again."""
    assert listen.parse(text) == want
    assert listen.parse(str(want)) == want
    assert shown is None or str(want) == shown


@pytest.mark.parametrize(
    "text,why",
    [
        ("unix:/run/o?mod=0660", "has an option 'mod', which is not known; did you mean mode?"),
        (":80?", "has an option '', which is not known"),
        (":80?mode=0660", "has an option mode, which is for Unix sockets only"),
        ("unix:/run/o?reuseport", "has an option reuseport, which is for TCP only"),
        (":80?reuseport=yes", "has a value for reuseport, which takes none"),
        (":80?backlog=1&backlog=2", "has the option backlog twice"),
        (":80?backlog", "has a wrong backlog '' (1 to 65535)"),
        (":80?backlog=0", "has a wrong backlog '0' (1 to 65535)"),
        ("unix:/run/o?mode=rw", "has a wrong mode 'rw' (three octal digits, such as 0660)"),
        ("unix:/run/o?mode=1777", "has a wrong mode '1777' (three octal digits, such as 0660)"),
        (
            "unix:/run/o?mode=0444",
            "has mode 0444, with which nobody could connect (w: 0666 all, 0660 a group)",
        ),
    ],
)
def test_wrong_options_of_listeners(text: str, why: str) -> None:
    """An option that means nothing there is refused, with the nearest right one."""
    assert problem(listen, text) == why
    assert problem(listens, f":1,{text}") == f"{text} {why}"


def test_several_listeners() -> None:
    """Each has its own options; they are shown as one list."""
    want = (Listen("127.0.0.1", 80, backlog=9), Listen("::1", 80), Listen(path="/run/o", mode=0o660))

    assert listens.parse("127.0.0.1:80?backlog=9, [::1]:80,unix:/run/o?mode=0660") == want
    assert listens.parse(listens.show(want)) == want


@pytest.mark.parametrize(
    "text,why",
    [
        (":80,", "has a comma without an address"),
        (":80,81", "81 has no port"),
        ("localhost:80,127.0.0.1:80", "127.0.0.1:80 needs what localhost:80 has already"),
        ("unix:/a,unix:/a?mode=0600", "unix:/a?mode=0600 needs what unix:/a has already"),
    ],
)
def test_wrong_ones_of_several(text: str, why: str) -> None:
    """What is wrong is said of the one that is wrong."""
    assert problem(listens, text) == why


def test_pages_can_be_off() -> None:
    """The pages, unlike a service, may have no listener at all."""
    assert listen_or_off.parse("off") is None
    assert listen_or_off.show(None) == "off"
    assert problem(listen_or_off, "no") == "has no port"


@pytest.mark.parametrize(
    "text,want",
    [
        ("10.0.0.10", (Address("10.0.0.10", 53),)),
        ("fd00::10", (Address("fd00::10", 53),)),
        ("10.0.0.10:5353, [fd00::10]:54", (Address("10.0.0.10", 5353), Address("fd00::10", 54))),
    ],
)
def test_name_servers(text: str, want: tuple[Address, ...]) -> None:
    """The port of a name server is 53 unless it says otherwise."""
    assert nameservers.parse(text) == want
    assert nameservers.parse(nameservers.show(want)) == want


@pytest.mark.parametrize(
    "text,why",
    [
        ("10.0.0.10,", "has '', which is not an ip address"),
        ("1.1.1", "has '1.1.1', which is not an ip address"),
        ("kube-dns:53", "has 'kube-dns', which is not an ip address"),
        ("10.0.0.10:0", "has a wrong port '0' (a port is 1 to 65535)"),
    ],
)
def test_wrong_name_servers(text: str, why: str) -> None:
    """A name server is an address: its name could not be looked up."""
    assert problem(nameservers, text) == why


@pytest.mark.parametrize(
    "text,shown",
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3, fd00::/8 ,::1", "10.1.2.3/32,fd00::/8,::1/128"),
        ("0.0.0.0/0,::/0", "0.0.0.0/0,::/0"),
    ],
)
def test_networks(text: str, shown: str) -> None:
    """An address is the network of itself alone."""
    assert networks.show(networks.parse(text)) == shown


@pytest.mark.parametrize(
    "text,why",
    [
        ("10.0.0.1/8", "has '10.0.0.1/8', which is no address or network (its host bits must be 0)"),
        ("10.0.0.0/33", "has '10.0.0.0/33', which is no address or network"),
        ("web", "has 'web', which is no address or network"),
        ("10.0.0.0/8,", "has '', which is no address or network"),
        ("10.0.0.1:80", "has '10.0.0.1:80', which is no address or network"),
        ("fe80::1%eth0", "has 'fe80::1%eth0', which is no address or network"),
    ],
)
def test_wrong_networks(text: str, why: str) -> None:
    """Whom the proxy is to believe is not guessed at."""
    assert problem(networks, text) == why


@pytest.mark.parametrize(
    "text,want,shown",
    [
        ("web:80", DnsTarget("web", 80), "web:80"),
        ("Web.Shop.SVC:80", DnsTarget("web.shop.svc", 80), "web.shop.svc:80"),
        ("web.shop.svc.cluster.local.:80", DnsTarget("web.shop.svc.cluster.local.", 80), None),
        ("_tcp.my-pod_1.web:80", DnsTarget("_tcp.my-pod_1.web", 80), None),
        (f"{LONGEST_NAME}:80", DnsTarget(LONGEST_NAME, 80), None),
        (f"{LONGEST_NAME}.:80", DnsTarget(f"{LONGEST_NAME}.", 80), None),
        ("eu-1a.prefer._zone.web.shop:80", DnsTarget("eu-1a.prefer._zone.web.shop", 80), None),
        ("srv://_http._tcp.web.shop.svc.", SrvTarget("_http._tcp.web.shop.svc."), None),
        (
            "srv://_Grpc-Web._TCP.Web.shop",
            SrvTarget("_grpc-web._tcp.web.shop"),
            "srv://_grpc-web._tcp.web.shop",
        ),
        ("10.0.0.1:80", StaticTarget((Address("10.0.0.1", 80),)), "static://10.0.0.1:80"),
        ("[fd00::1]:80", StaticTarget((Address("fd00::1", 80),)), "static://[fd00::1]:80"),
        (
            "static://10.0.0.2:80, 10.0.0.1:81,10.0.0.2:80",
            StaticTarget((Address("10.0.0.2", 80), Address("10.0.0.1", 81))),
            "static://10.0.0.2:80,10.0.0.1:81",
        ),
    ],
)
def test_targets(text: str, want: Target, shown: str | None) -> None:
    """A target is a name with the pods' port, or a list of pods; a pod named twice is one pod."""
    assert target.parse(text) == want
    assert target.show(want) == (shown or text)


@pytest.mark.parametrize(
    "text,why",
    [
        ("web", "has no port"),
        ("web:0", "has a wrong port '0' (a port is 1 to 65535)"),
        ("web:80/path", "has a wrong port '80/path' (a port is 1 to 65535)"),
        (":80", "has '', which is not a host name"),
        ("web..shop:80", "has 'web..shop', which is not a host name"),
        ("-web:80", "has '-web', which is not a host name"),
        ("we b:80", "has 'we b', which is not a host name"),
        (f"{LONG_LABEL}a:80", f"has '{LONG_LABEL}a', which is not a host name"),
        (f"{LONGEST_NAME}b:80", f"has '{LONGEST_NAME}b', which is not a host name"),
        ("wéb:80", "has letters outside ASCII; write the name in its xn-- form"),
        ("10.0.0:80", "has '10.0.0', which is neither an ip address nor a host name"),
        ("10.0.0.256:80", "has '10.0.0.256', which is neither an ip address nor a host name"),
        ("fd00::1:80", "is not clear: write an IPv6 address in brackets, such as [::1]:8080"),
        ("http://web:80", "has the scheme http://, which is not known"),
        ("srv://_http._tcp.web:80", "has a port; SRV records bring their own"),
        ("srv://web.shop", "has 'web.shop', which does not begin with _port._proto. such as _http._tcp."),
        ("srv://_http.web", "has '_http.web', which does not begin with _port._proto. such as _http._tcp."),
        (
            "srv://_http._tcp.",
            "has '_http._tcp.', which does not begin with _port._proto. such as _http._tcp.",
        ),
        ("srv://_http._tcp.wéb", "has letters outside ASCII; write the name in its xn-- form"),
        ("srv://", "has '', which is not a host name"),
        ("static://", "has no port"),
        ("static://web:80", "has 'web', which is not an ip address"),
        ("static://10.0.0.1", "has no port"),
        ("static://10.0.0.1:80,,10.0.0.2:80", "has no port"),
    ],
)
def test_wrong_targets(text: str, why: str) -> None:
    """What cannot be a pod's address or a host name is refused before DNS is asked in vain."""
    assert problem(target, text) == why


@settings(deadline=None, derandomize=True)
@given(st.ip_addresses(), st.integers(1, 65535))
def test_any_address_reads_back(ip: Any, port: int) -> None:
    """Every IPv4 and IPv6 address can be listened on, be a pod and be a name server."""
    where = f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"

    assert listen.show(listen.parse(where)) == where
    assert target.show(target.parse(where)) == f"static://{where}"
    assert nameservers.show(nameservers.parse(where)) == where
