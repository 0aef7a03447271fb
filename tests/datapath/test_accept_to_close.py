"""Listener, sessions and relay together: from the accept to the close, with every client served."""

import asyncio
import gc
import socket
from pathlib import Path

import pytest

from proxy.bind import bind
from proxy.config import Listen
from proxy.datapath.listener import Listener
from tests.datapath.peers import Peer, listening, no_socket_lost
from tests.datapath.relays import TIMES
from tests.datapath.scenes import Scene, echoing, pods
from tests.support import run, until


@pytest.mark.slow
def test_flood() -> None:
    """Two thousand clients, all inside at the same time: every one of them gets its answer."""
    count = 2 * TIMES

    async def test() -> None:
        async with no_socket_lost(), pods(*[echoing] * 4) as four:
            scene = Scene((pod.address for pod in four), BALANCER="p2c")
            sock = listening(4096)
            slots = scene.slots
            listener = Listener("web", sock, slots, scene.sessions, 5.0)
            listener.start()
            everyone_in = asyncio.Barrier(count)

            async def client(number: int) -> None:
                peer = Peer(socket.socket())
                await asyncio.get_running_loop().sock_connect(peer.sock, sock.getsockname())
                question = b"%d" % number * 100
                await peer.send(question)
                assert await peer.receive(len(question)) == question
                await everyone_in.wait()
                peer.finish()
                assert await peer.rest() == b""
                peer.close()

            await asyncio.gather(*map(client, range(count)))
            await until(lambda: slots.used == 0)
            listener.close()

            assert scene.outcomes == {"completed": count}
            assert (slots.used, scene.leases, scene.counters.active) == (0, 0, 0)

    run(test(), within_s=120.0)


def test_unix_socket(tmp_path: Path) -> None:
    """A listener on a Unix socket serves, and takes its file away when it closes."""
    path = tmp_path / "web.sock"

    async def test() -> None:
        async with pods(echoing) as (pod,):
            scene = Scene([pod.address])
            (sock,) = bind(Listen(path=str(path)), "LISTEN")
            listener = Listener("web", sock, scene.slots, scene.sessions, 5.0)
            listener.start()
            client = Peer(socket.socket(socket.AF_UNIX))
            client.sock.connect(str(path))
            await client.send(b"hello" * 10_000)
            client.finish()
            assert await client.rest() == b"hello" * 10_000
            client.close()
            listener.close()

    run(test())
    assert not path.exists()


def test_connections_leave_no_garbage() -> None:
    """What a connection needed goes with it: the collector, which stalls all others, finds nothing."""

    async def test() -> None:
        async with pods(echoing) as (pod,):
            scene = Scene([pod.address])
            await scene.ask()
            gc.collect()
            gc.disable()
            try:
                for _ in range(20):
                    await scene.ask()
                assert gc.collect() < 20
            finally:
                gc.enable()

    run(test())
