"""Listening sockets: where a client reaches them, and what is said when they cannot be had."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.bind import bind, bind_all, leads_to, listens_on, unbind
from proxy.config import Listen
from proxy.errors import StartError
from proxy.model import Address
from tests.support.binding import Open, opening


@pytest.fixture
def opened() -> Iterator[Open]:
    with opening() as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "headway.sock")


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def reaches(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize(
    "host,sockets,reached",
    [
        ("127.0.0.1", 1, {"127.0.0.1"}),
        ("127.0.0.2", 1, {"127.0.0.2"}),
        ("::1", 1, {"::1"}),
        ("localhost", 2, {"127.0.0.1", "::1"}),
        ("0.0.0.0", 1, {"127.0.0.1", "127.0.0.2"}),
        ("::", 1, {"::1"}),
        ("", 1, {"127.0.0.1", "127.0.0.2", "::1"}),
    ],
)
def test_who_is_reached(opened: Open, host: str, sockets: int, reached: set[str]) -> None:
    """Clients reach exactly the addresses that the setting names, all of them on one port."""
    socks = opened(Listen(host, 0))
    (port,) = {port_of(sock) for sock in socks}

    assert len(socks) == sockets
    assert {each for each in ("127.0.0.1", "127.0.0.2", "::1") if reaches(each, port)} == reached


def test_sockets_do_not_block(opened: Open, path: str) -> None:
    """Accepting from a listener without clients returns at once: the loop must never hang."""
    for listen in (Listen("localhost", 0), Listen("", 0), Listen(path=path)):
        assert not any(sock.getblocking() for sock in opened(listen))


def test_a_port_can_be_used_again_at_once(opened: Open) -> None:
    """A restart does not wait for the connections of the process before it to leave TIME_WAIT."""
    (first,) = bind(Listen("127.0.0.1", 0), "LISTEN")
    port = port_of(first)
    client = socket.create_connection(("127.0.0.1", port), timeout=1)
    accepted, _ = first.accept()
    accepted.close()  # first to close: this end keeps the port busy
    client.close()
    unbind(first)

    (second,) = opened(Listen("127.0.0.1", port))

    assert port_of(second) == port


@pytest.mark.parametrize("taken", ["127.0.0.1", "::1", ""])
@pytest.mark.parametrize("wanted", ["localhost", "", "same"])
def test_a_port_that_is_taken(opened: Open, taken: str, wanted: str) -> None:
    """A port that something else has is named with the variable to change, whichever address it has."""
    (holder,) = opened(Listen(taken, 0))
    listen = Listen(taken if wanted == "same" else wanted, port_of(holder))

    with pytest.raises(StartError) as caught:
        bind(listen, "TELEMETRY_LISTEN")

    assert str(caught.value) == (
        f"cannot listen on {listen}: Address already in use."
        " Something else has it: choose another HEADWAY_TELEMETRY_LISTEN."
    )


def test_half_a_localhost_is_given_back(opened: Open) -> None:
    """When only one of the two loopbacks is free, nothing stays open."""
    (holder,) = opened(Listen("::1", 0))
    port = port_of(holder)

    with pytest.raises(StartError):
        bind(Listen("localhost", port), "LISTEN")

    assert not reaches("127.0.0.1", port)


def test_an_address_of_another_host() -> None:
    """An address that this host does not have is said to be that."""
    with pytest.raises(StartError) as caught:
        bind(Listen("192.0.2.1", 0), "ORDERS_LISTEN")  # RFC 5737: nobody's

    assert str(caught.value) == (
        "cannot listen on 192.0.2.1:0: Cannot assign requested address."
        " No such address here: choose another HEADWAY_ORDERS_LISTEN."
    )


class Forbidden:
    """The system of a user who may not bind here; root, who runs tests in containers, may."""

    @staticmethod
    def bind(sock: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")


def test_a_port_that_only_root_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to a low port the user is told which ports those are."""
    monkeypatch.setattr(socket.socket, "bind", Forbidden.bind, raising=False)

    with pytest.raises(StartError) as caught:
        bind(Listen("127.0.0.1", 80), "LISTEN")

    assert str(caught.value) == (
        "cannot listen on 127.0.0.1:80: Permission denied."
        " Not permitted (ports below 1024 rarely are): choose another HEADWAY_LISTEN."
    )


@pytest.mark.parametrize("host,shown", [("127.0.0.1", "127.0.0.1:"), ("::1", "[::1]:"), ("", "[::]:")])
def test_where_a_socket_listens(opened: Open, host: str, shown: str) -> None:
    """A socket that took a free port tells which one, so that it can be reached."""
    (sock,) = opened(Listen(host, 0))

    assert listens_on(sock) == f"{shown}{port_of(sock)}"


def test_where_a_unix_socket_listens(opened: Open, path: str) -> None:
    """A Unix socket is shown as it is set."""
    (sock,) = opened(Listen(path=path))

    assert listens_on(sock) == f"unix:{path}"


@pytest.mark.parametrize(
    "host,ip,leads",
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("::1", "::1", True),
        ("", "127.0.0.9", True),
        ("", "::1", True),
        ("", "192.0.2.1", False),
    ],
)
def test_what_leads_back(opened: Open, host: str, ip: str, leads: bool) -> None:
    """An address leads to a listener if a connection to it arrives there, and only with its port."""
    (sock,) = opened(Listen(host, 0))

    assert leads_to([sock], Address(ip, port_of(sock))) is leads
    assert not leads_to([sock], Address(ip, port_of(sock) + 1))


def test_nothing_leads_to_a_socket_that_is_closed(opened: Open) -> None:
    """One that was left to the next process, in a drain that still asks DNS."""
    (sock,) = opened(Listen("127.0.0.1", 0))
    address = Address("127.0.0.1", port_of(sock))
    assert leads_to([sock], address)
    sock.close()

    assert not leads_to([sock], address)


def test_nothing_leads_to_a_unix_socket(opened: Open, path: str) -> None:
    """A pod's address is never that of a file."""
    assert not leads_to(opened(Listen(path=path)), Address("127.0.0.1", 80))


def backlog_of(sock: socket.socket) -> int:
    """tcpi_sacked of a listening socket: what listen(2) was told."""
    return int.from_bytes(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[28:32], sys.byteorder)


def test_options(opened: Open) -> None:
    """Each option is what the kernel is told; by default the backlog is 4096 and nobody shares the port."""
    (plain,) = opened(Listen("127.0.0.1", 0))
    (other,) = opened(Listen("127.0.0.1", 0, backlog=5, reuseport=True))

    assert backlog_of(other) == 5
    assert backlog_of(plain) == min(4096, int(Path("/proc/sys/net/core/somaxconn").read_text()))
    with pytest.raises(StartError, match="Address already in use"):
        opened(Listen("127.0.0.1", port_of(plain), reuseport=True))
    opened(Listen("127.0.0.1", port_of(other), reuseport=True))


def test_one_of_several_that_cannot_be_had(path: str) -> None:
    """Then nothing stays open, and no file stays behind."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        listens = [Listen(path=path), Listen("127.0.0.1", holder.getsockname()[1])]
        with pytest.raises(StartError, match=r"cannot listen on 127\.0\.0\.1"):
            bind_all(listens, "LISTEN")

    assert not os.path.exists(path)
