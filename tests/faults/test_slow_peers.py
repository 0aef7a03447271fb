"""Those who take their time: slowloris from either side, windows of a few bytes, pods that answer late."""

import asyncio
import random
from hashlib import sha256

import pytest

from tests.datapath.peers import Peer
from tests.faults.pods import meanwhile, pods, target
from tests.faults.sessions import GREETING, NOISE, Traffic, call
from tests.support import run
from tests.support.process import RELAYS, Proxy, running

pytestmark = pytest.mark.slow

MANY = bytes(NOISE[:100_000])


async def dribble(peer: Peer) -> None:
    """A byte now and then, for ever."""
    while True:
        await peer.send(b".")
        await asyncio.sleep(random.uniform(0.01, 0.1))


@pytest.mark.parametrize("relay", RELAYS)
def test_slowloris_both_ways(relay: str) -> None:
    """A hundred clients and a hundred pods that dribble hold up none of 500 sessions beside them."""

    async def story() -> None:
        traffic = Traffic(random.Random(7))
        async with pods(traffic.serve, traffic.serve, dribble) as (good, other, slow):
            ways = {
                "SERVICES": "good,slow",
                "GOOD_TARGET": target([good, other]),
                "SLOW_TARGET": target([slow]),
            }
            doors = Proxy({})
            ways |= {"GOOD_LISTEN": f"127.0.0.1:{doors.port}", "SLOW_LISTEN": f"127.0.0.1:{doors.admin_port}"}
            async with running(**ways, RELAY=relay) as proxy:
                slow_ones = [call(("127.0.0.1", doors.admin_port)) for _ in range(100)]
                for peer in slow_ones:
                    assert await peer.receive(1) == b"."
                async with meanwhile(*map(dribble, slow_ones)):
                    await traffic.play(doors.address, 500)

                assert not traffic.faults, traffic.first_faults
                assert await proxy.metric("headway_connections_active", service="slow") == 100
                for peer in slow_ones:
                    peer.close()

    run(story())


@pytest.mark.parametrize("relay", RELAYS)
def test_tiny_windows(relay: str) -> None:
    """A hundred thousand bytes each way at once, through windows of two thousand: all of them, in order."""

    async def exchange(peer: Peer) -> None:
        async def say() -> None:
            await peer.send(MANY)
            peer.finish()

        _, heard = await asyncio.gather(say(), peer.checksum())
        assert heard == sha256(MANY).hexdigest()
        peer.close()

    async def story() -> None:
        async with pods(exchange) as (pod,):
            pod.close()
            pod.buffer = 2048
            pod.open()
            async with running(TARGET=target([pod]), RELAY=relay) as proxy:
                clients = [call(proxy.address, buffer=2048) for _ in range(10)]
                await asyncio.gather(*map(exchange, clients))
                await proxy.counts("headway_connections_total", 10, outcome="completed")

    run(story())


def test_late_answers() -> None:
    """A pod that is 300 ms late, and one that greets no sooner, outlast every deadline of a connect."""

    async def late(peer: Peer) -> None:
        await asyncio.sleep(0.3)
        await peer.send(GREETING)
        while data := await peer.receive(1):
            await asyncio.sleep(0.3)
            await peer.send(data)

    async def story() -> None:
        async with pods(late) as some:
            deadlines = {"CONNECT_TIMEOUT": "50ms", "CONNECT_DEADLINE": "100ms"}
            async with running(TARGET=target(some), **deadlines) as proxy:
                client = call(proxy.address)
                assert await client.receive(1) == GREETING
                await client.send(b"?")
                assert await client.receive(1) == b"?"
                client.close()
                assert await proxy.metric("headway_retries_total") == 0

    run(story())
