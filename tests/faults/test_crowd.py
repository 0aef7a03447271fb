"""As many open connections as the descriptor limit allows: all are served, and each costs little."""

import asyncio
import resource
import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from tests.support import run
from tests.support.process import RELAYS, running

pytestmark = pytest.mark.slow

MOST_KIB = {"asyncio": 12.0, "native": 2.0}  # resident, for each connection at rest
GREETING = b"hello"
AT_ONCE = 200


def crowd() -> int:
    """9,000 with 20,000 descriptors. This process holds both far ends of each."""
    return min(9_000, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 2_000) // 2)


@pytest.mark.parametrize("relay", RELAYS)
def test_open_connections(relay: str) -> None:
    """Nine thousand at rest; then each of them has its question answered."""
    count = crowd()

    async def story() -> None:
        with pod() as target:
            settings = {"RELAY": relay, "MAX_CONNECTIONS": str(count), "HEALTH_CHECK": "off"}
            async with running(TARGET=f"static://{target}", **settings) as proxy:
                before = proxy.resident_mib()
                clients = await asyncio.to_thread(opened, proxy.address, count)
                each_kib = (proxy.resident_mib() - before) * 1024 / count
                print(f"{relay}: {each_kib:.1f} KiB for each of {count:,} connections")
                assert await proxy.metric("headway_connections_active") == count

                assert await asyncio.to_thread(answered, clients) == count
                assert each_kib <= MOST_KIB[relay]
                for client in clients:
                    client.close()
                await proxy.counts("headway_connections_active", 0)
                await proxy.counts("headway_connections_total", count, outcome="completed")

    run(story())


def opened(address: tuple[str, int], count: int) -> list[socket.socket]:
    """So many connections, each of them greeted."""
    clients: list[socket.socket] = []
    while len(clients) < count:
        some = [socket.create_connection(address) for _ in range(min(AT_ONCE, count - len(clients)))]
        assert all(client.recv(10) == GREETING for client in some)
        clients += some
    return clients


def answered(clients: list[socket.socket]) -> int:
    """How many got the right answer, when all had asked."""
    for number, client in enumerate(clients):
        client.sendall(number.to_bytes(4))
    return sum(client.recv(10) == number.to_bytes(4) for number, client in enumerate(clients))


@contextmanager
def pod() -> Iterator[str]:
    """The address of one that greets and echoes, in a thread of its own."""
    wake, waker = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, wake, waker:
        thread = Thread(target=serve, args=(listener, wake))
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            waker.send(b"!")
            thread.join()


def serve(listener: socket.socket, wake: socket.socket) -> None:
    """Until a byte arrives on `wake`."""
    with selectors.EpollSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(wake, selectors.EVENT_READ)
        while wake not in (ready := [key.fileobj for key, _ in selector.select()]):
            for sock in ready:
                assert isinstance(sock, socket.socket)
                if sock is listener:
                    client, _ = listener.accept()
                    client.sendall(GREETING)
                    selector.register(client, selectors.EVENT_READ)
                elif said := sock.recv(10):
                    sock.sendall(said)
                else:
                    selector.unregister(sock)
                    sock.close()
        for key in list(selector.get_map().values()):
            if key.fileobj not in (listener, wake):
                key.fileobj.close()  # type: ignore[union-attr]
