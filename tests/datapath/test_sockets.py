"""The options that a kernel really holds for both sides of a connection."""

import socket

import pytest

from proxy.datapath.connector import Connector
from proxy.datapath.sockets import Tuning, arm_reset, reset, tune, tune_listener
from proxy.model import Address
from tests.datapath.peers import Peer, connected, listening
from tests.support import run

TCP = socket.IPPROTO_TCP


def options(sock: socket.socket) -> dict[str, int]:
    return {
        "nodelay": sock.getsockopt(TCP, socket.TCP_NODELAY),
        "keepalive": sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        "idle": sock.getsockopt(TCP, socket.TCP_KEEPIDLE),
        "interval": sock.getsockopt(TCP, socket.TCP_KEEPINTVL),
        "probes": sock.getsockopt(TCP, socket.TCP_KEEPCNT),
        "user_timeout_ms": sock.getsockopt(TCP, socket.TCP_USER_TIMEOUT),
    }


def wanted(idle: int, interval: int, user_timeout_ms: int) -> dict[str, int]:
    return {
        "nodelay": 1,
        "keepalive": 1,
        "idle": idle,
        "interval": interval,
        "probes": 3,
        "user_timeout_ms": user_timeout_ms,
    }


TABLE = [
    (Tuning(), wanted(30, 10, 30_000)),
    (Tuning(keepalive_s=60.0, user_timeout_s=5.0), wanted(60, 20, 5_000)),
    (Tuning(keepalive_s=1.0, user_timeout_s=0.25), wanted(1, 1, 250)),
    (Tuning(keepalive_s=0.1), wanted(1, 1, 30_000)),
]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("tuning,want", TABLE)
def test_both_sides(tuning: Tuning, want: dict[str, int], family: socket.AddressFamily) -> None:
    """A socket to a pod has every option, and so has one that was accepted by a tuned listener."""

    async def test() -> None:
        with listening(family=family) as listener:
            tune(listener, tuning)
            address = Address(*listener.getsockname()[:2])
            with await Connector(tuning).connect(address, 1.0) as pod, listener.accept()[0] as accepted:
                assert (options(pod), options(accepted)) == (want, want)

    run(test())


@pytest.mark.parametrize("host,limited", [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True)])
def test_an_application_on_localhost_may_take_its_time(host: str, limited: bool) -> None:
    """Accepted on loopback, a connection has no limit on how long its application may not read."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        tune_listener(listener, Tuning())
        with socket.create_connection(listener.getsockname()[:2]), listener.accept()[0] as accepted:
            found = options(accepted)

    assert found["user_timeout_ms"] == (30_000 if limited else 0)
    assert (found["nodelay"], found["keepalive"], found["idle"]) == (1, 1, 30)


def test_zero_leaves_the_system_alone() -> None:
    """With 0, keepalive and the user timeout are what they are without us."""
    with socket.socket() as plain, socket.socket() as tuned:
        tune(tuned, Tuning(0.0, 0.0))

        assert options(tuned) == {**options(plain), "nodelay": 1}


def test_unix_sockets_have_none_of_it() -> None:
    """Tuning a Unix socket does nothing, and no harm."""
    with socket.socket(socket.AF_UNIX) as sock:
        tune(sock, Tuning())


def test_reset() -> None:
    """A socket that is reset shows its peer a reset, even if nothing was said; doing it twice is harmless."""

    async def test() -> None:
        peer, sock = connected()
        reset(sock)
        reset(sock)
        arm_reset(sock)

        assert await peer.was_reset()
        peer.close()

    run(test())


def test_armed_is_not_fired() -> None:
    """Arming a reset sends nothing yet: bytes still flow until the socket is closed."""

    async def test() -> None:
        peer, sock = connected()
        arm_reset(sock)
        await Peer(sock).send(b"hello")
        assert await peer.receive(5) == b"hello"
        sock.close()

        assert await peer.was_reset()
        peer.close()

    run(test())
