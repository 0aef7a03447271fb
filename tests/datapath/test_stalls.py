"""Every relay: this process stands still for a while, as under a CPU limit; no pod is blamed for that."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.model import Address
from tests.datapath.far_pods import NETWORK
from tests.datapath.peers import Peer, connected
from tests.datapath.relays import Engine
from tests.datapath.scenes import Scene
from tests.support import run, until

FAR = [Address(f"{NETWORK}.{host}", 80) for host in range(2, 8)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path("/dev/net/tun").exists(), reason="wants to be root, and /dev/net/tun"
    ),
]


@pytest.fixture
def far() -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "tests.datapath.far_pods", str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == b"up\n"
        yield process
        process.stdin.close()


@pytest.fixture
def scene(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> type[Scene]:
    monkeypatch.setattr("tests.datapath.scenes.BY_DEFAULT", engine)
    return Scene


def test_while_pods_are_connected_to(far: "subprocess.Popen[bytes]", scene: type[Scene]) -> None:
    """Their answers wait in the kernel meanwhile: how long they took to come is what counts."""

    async def test() -> None:
        it = scene(FAR, EJECT_AFTER="3", BALANCER="round_robin")

        async def ask() -> None:
            peer, near = connected()
            it.listen(near)
            await peer.send(b"?")
            assert await peer.receive(1) == b"x"
            peer.close()

        for _ in range(3):
            await asyncio.gather(*[ask() for _ in range(12)])
        asking = [asyncio.create_task(ask()) for _ in range(24)]
        await asyncio.sleep(0.008)  # the SYNs are out, the answers are not here
        assert far.stdin
        far.stdin.write(b"!")
        await asyncio.gather(*asking)

        assert it.counters.ejections == {}
        assert max(each.connect_s or 0.0 for each in it.pool.members) < 0.3

    run(test())


def test_before_the_syn_is_out(far: "subprocess.Popen[bytes]", scene: type[Scene]) -> None:
    """The time to connect counts from the SYN, not from the pick."""

    async def test() -> None:
        it = scene(FAR, EJECT_AFTER="3", BALANCER="round_robin", CONNECT_TIMEOUT="200ms")
        peers: list[Peer] = []

        def burst() -> None:
            for _ in range(24):
                peer, near = connected()
                peers.append(peer)
                it.sessions.begin(near.detach())
            time.sleep(0.25)

        asyncio.get_running_loop().call_soon(burst)
        await until(lambda: len(peers) == 24)
        for peer in peers:
            await peer.send(b"?")
            assert await peer.receive(1) == b"x"
            peer.close()

        assert it.counters.retries == 0
        assert it.counters.ejections == {}

    run(test())
