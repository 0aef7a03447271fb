"""The options that a kernel really holds for both sides of a connection."""

import contextlib
import select
import socket
import time

import pytest

from proxy.datapath.connector import Connector
from proxy.datapath.sockets import Tuning, arm_reset, handshake_s, reset, tune, tune_listener
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


@pytest.mark.parametrize("tuning,want", TABLE)
def test_between_hosts(tuning: Tuning, want: dict[str, int]) -> None:
    """A listener on all addresses hands every option down; a socket to a pod has the same."""
    with socket.create_server(("0.0.0.0", 0)) as listener, socket.socket() as pod:
        tune_listener(listener, tuning)
        tune(pod, tuning)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert (options(pod), options(accepted)) == (want, want)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_on_loopback_a_peer_may_take_its_time(family: socket.AddressFamily) -> None:
    """Between an application, the sidecar and a pod on one host there is no limit on a pause in reading."""

    async def test() -> None:
        with listening(family=family) as listener:
            tune_listener(listener, Tuning())
            address = Address(*listener.getsockname()[:2])
            with await Connector(Tuning()).connect(address, 1.0) as pod, listener.accept()[0] as accepted:
                assert options(pod) == options(accepted) == wanted(30, 10, 0)

    run(test())


def test_zero_leaves_the_system_alone() -> None:
    """With 0, keepalive and the user timeout are what they are without us."""
    with socket.socket() as plain, socket.socket() as tuned:
        tune(tuned, Tuning(0.0, 0.0))

        assert options(tuned) == {**options(plain), "nodelay": 1}


def test_unix_sockets_have_none_of_it() -> None:
    """A Unix socket can be tuned like any other listener: nothing happens to it."""
    with socket.socket(socket.AF_UNIX) as sock:
        tune_listener(sock, Tuning())

        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


def test_reset() -> None:
    """A socket that is reset shows its peer a reset, even if nothing was said; arming it then is harmless."""

    async def test() -> None:
        peer, sock = connected()
        reset(sock.detach())
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


# --- how long a pod took to answer -----------------------------------------------------------------


def test_the_kernel_knows_who_was_slow() -> None:
    """A connection that we come to look at late was still answered at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as pod:
        pod.connect(listener.getsockname())
        time.sleep(0.12)

        assert (handshake_s(pod) or 1.0) < 0.1


@pytest.mark.slow
def test_a_lost_syn_is_no_quick_answer() -> None:
    """A pod whose accept queue is full drops SYNs: the round trip that worked at last says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as cleanup:
        listener.settimeout(5)
        clients = [cleanup.enter_context(socket.socket()) for _ in range(2)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        time.sleep(0.1)
        for client in clients:  # the second's SYN finds room only when it comes again
            cleanup.enter_context(listener.accept()[0])
            assert select.select([], [client], [], 5)[1]

        first, second = map(handshake_s, clients)
        assert first is not None and first < 0.1
        assert second is None
