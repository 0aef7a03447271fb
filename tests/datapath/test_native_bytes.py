"""The native relay against sockets at their most awkward: what an edge-triggered reader gets wrong first."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from proxy.datapath.engines import NOT_BUILT, is_built
from proxy.model import EndReason
from tests.datapath.peers import MIB, Peer, connected, no_socket_lost
from tests.datapath.relays import AT_ONCE, TIMES, Bench, Relayed, native
from tests.datapath.test_relay import Who
from tests.support import run

pytestmark = pytest.mark.skipif(not is_built(), reason=NOT_BUILT)


@pytest.mark.slow
def test_both_sides_gone_at_once() -> None:
    """Whichever side's end is seen first, what the same look brings of the other one hits no dead pair."""

    async def test() -> None:
        bench = Bench(native)
        async with no_socket_lost():
            for number in range(TIMES // AT_ONCE):
                reasons = await one_round(bench, number)
                assert reasons <= {EndReason.CLIENT_RESET, EndReason.POD_RESET}

    async def one_round(bench: Bench, number: int) -> set[EndReason]:
        async with AsyncExitStack() as open_ones:
            every = [await open_ones.enter_async_context(bench.relayed()) for _ in range(AT_ONCE)]
            await asyncio.sleep(0.002)
            for it in every:
                it.client.sock.send(b"x")
                it.pod.sock.send(b"y")
                for peer in (it.client, it.pod) if number % 2 else (it.pod, it.client):
                    peer.reset()
            return {await it.reason() for it in every}

    run(test(), within_s=120.0)


def test_bytes_behind_urgent_ones() -> None:
    """A read stops before an urgent byte, however much there is behind it: that is read as well."""

    def before(client: Peer, pod: Peer) -> None:
        client.sock.send(b"before")
        client.sock.send(b"!", socket.MSG_OOB)
        client.sock.send(b"after")

    async def test() -> None:
        async with Bench(native).relayed(before=before) as it:
            assert await it.pod.receive(11) == b"beforeafter"  # as any reader who does not ask for it

    run(test())


def test_bytes_behind_a_descriptor(tmp_path: Path) -> None:
    """A read of a Unix socket stops behind a descriptor that was sent along; the rest is read as well."""

    async def test() -> None:
        far, near = socket.socketpair()
        with ExitStack() as closing:
            descriptor = os.open(tmp_path, os.O_RDONLY)
            closing.callback(os.close, descriptor)
            for word in (b"one", b"two", b"three"):
                socket.send_fds(far, [word], [descriptor])
            near.setblocking(False)
            async with Bench(native).relayed(client=(Peer(far), near)) as it:
                assert await it.pod.receive(11) == b"onetwothree"

    run(test())


@pytest.mark.slow
def test_a_reset_right_behind_an_answer() -> None:
    """The bytes before a reset are passed on as far as they go; that it is cut off never goes unseen."""

    async def test() -> None:
        bench = Bench(native)
        whole = 0
        for _ in range(200):
            async with bench.relayed() as it:
                await it.client.send(b"question")
                assert await it.pod.receive(8) == b"question"
                await it.pod.send(b"x" * 100_000)
                it.pod.reset()
                heard = 0
                with pytest.raises(ConnectionResetError):
                    while data := await asyncio.get_running_loop().sock_recv(it.client.sock, MIB):
                        heard += len(data)
                whole += heard == 100_000
                assert await it.reason() is EndReason.POD_RESET

        assert whole  # a race, which the reset wins now and then

    run(test())


@contextmanager
def streaming(it: Relayed) -> Iterator[None]:
    """The client sends all that its pod takes, and that is all it can get."""
    enough = threading.Event()

    def push() -> None:
        while not enough.is_set():
            it.client.sock.sendall(b"x" * MIB)
        it.client.finish()

    def take() -> None:
        while it.pod.sock.recv(MIB):
            pass

    threads = threading.Thread(target=push), threading.Thread(target=take)
    for peer, thread in zip((it.client, it.pod), threads, strict=True):
        peer.sock.settimeout(10.0)
        thread.start()
    yield
    enough.set()
    for thread in threads:
        thread.join()


@pytest.mark.slow
def test_bulk_and_small_talk() -> None:
    """While four streams take all they can get, a fifth connection of the same thread has its turns."""

    async def test() -> None:
        bench = Bench(native)
        async with AsyncExitStack() as open_ones:
            *bulk, small = [await open_ones.enter_async_context(bench.relayed()) for _ in range(5)]
            await asyncio.sleep(0.001)  # they are handed over
            with ExitStack() as streams:
                for it in bulk:
                    streams.enter_context(streaming(it))
                for number in range(100):
                    await small.client.send(b"%3d" % number)
                    assert await small.pod.receive(3) == b"%3d" % number

            bench.relay.account()
            assert bench.counters.bytes_to_pods > 4 * MIB

    run(test())


@pytest.mark.parametrize("end", [Peer.close, Peer.reset])
def test_a_socket_that_somebody_else_has_too(end: Callable[[Peer], None]) -> None:
    """A child process may hold a descriptor of the same socket: what comes after the end reaches nobody."""

    async def test() -> None:
        bench = Bench(native)
        for first in ("client", "pod"):
            await one_connection(bench, first)
        async with bench.relayed() as it:
            await it.client.send(b"all is well")
            assert await it.pod.receive(11) == b"all is well"

    async def one_connection(bench: Bench, first: Who) -> None:
        far, near = connected()
        with near.dup():
            async with bench.relayed(client=(far, near)) as it:
                await it.client.send(b"x")
                await it.pod.receive(1)
                bench.relay.abort()
                assert await it.reason() is EndReason.ABORTED
                with suppress(OSError):
                    await it.client.send(b"is anybody there?")
                end(it.client if first == "client" else it.pod)
                await asyncio.sleep(0.005)

    run(test())
