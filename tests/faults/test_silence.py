"""Nobody answers: black holes before and after the connect, peers that are gone without a word."""

import time
from random import Random

import pytest

from tests.datapath.peers import Peer
from tests.faults.network import POD_IP, drop, needs_network, own_network
from tests.faults.pods import Pod, says_nothing, target
from tests.faults.sessions import GREETING, Traffic, call
from tests.support import run
from tests.support.process import RELAYS, running

pytestmark = [pytest.mark.slow, needs_network]

PORT = 8080
SHORT = {"TCP_KEEPALIVE": "1s", "TCP_USER_TIMEOUT": "1s", "HEALTH_CHECK": "off"}


async def greets(peer: Peer) -> None:
    await peer.send(GREETING)
    await says_nothing(peer)


@pytest.mark.parametrize("relay", RELAYS)
def test_a_node_that_is_gone(relay: str) -> None:
    """Its connections, with bytes on their way or at rest, end by a reset in about TCP_USER_TIMEOUT."""

    async def story() -> None:
        pod = Pod(POD_IP, PORT, greets)
        pod.open()
        async with running(TARGET=target([pod]), RELAY=relay, **SHORT) as proxy:
            talks, rests = call(proxy.address), call(proxy.address)
            for client in (talks, rests):
                assert await client.receive(1) == GREETING
            drop("-d", POD_IP)
            await talks.send(b"is anybody there?")

            for client in (talks, rests):
                assert await client.was_reset()
                client.close()
            await proxy.counts("headway_connections_total", 2, outcome="pod_reset")
            await proxy.counts("headway_endpoint_connections_active", 0)
        await pod.end()

    with own_network():
        run(story())


def test_new_connections_go_elsewhere() -> None:
    """The same node: each new connection is with another pod within CONNECT_TIMEOUT, then at once."""

    async def story() -> None:
        traffic = Traffic(Random(7))
        gone, well = Pod(POD_IP, PORT, traffic.serve), Pod("127.0.0.2", PORT, traffic.serve)
        for pod in (gone, well):
            pod.open()
        async with running(TARGET=target([gone, well]), CONNECT_TIMEOUT="200ms", HEALTH_CHECK="off") as proxy:
            await traffic.play(proxy.address, 40)
            drop("-d", POD_IP)
            await traffic.play(proxy.address, 100)

            assert not traffic.faults, traffic.first_faults
            assert await proxy.metric("headway_ejections_total", reason="timeout") == 1
        for pod in (gone, well):
            await pod.end()

    with own_network():
        run(story())


@pytest.mark.parametrize("relay", RELAYS)
def test_a_half_open_client(relay: str) -> None:
    """A client whose machine is gone holds neither its place nor its pod's for longer than the keepalive."""

    async def story() -> None:
        pod = Pod("127.0.0.2", PORT, greets)
        pod.open()
        async with running(TARGET=target([pod]), LISTEN=f"{POD_IP}:{PORT}", RELAY=relay, **SHORT) as proxy:
            client = call((POD_IP, PORT))
            assert await client.receive(1) == GREETING
            for end in ("--dport", "--sport"):  # of that address: our questions may have the same port
                drop("-s", POD_IP, "-p", "tcp", end, str(client.sock.getsockname()[1]))

            await proxy.counts("headway_connections_total", 1, outcome="client_reset")
            await proxy.counts("headway_endpoint_connections_active", 0)
            client.close()
        await pod.end()

    with own_network():
        run(story())


@pytest.mark.parametrize("relay", RELAYS)
def test_a_pod_that_accepts_and_hangs(relay: str) -> None:
    """No timeout of ours ends what may be a long poll; IDLE_TIMEOUT does, and is told as such."""

    async def story() -> None:
        pod = Pod("127.0.0.2", PORT, says_nothing)
        pod.open()
        settings = {"CONNECT_TIMEOUT": "50ms", "CONNECT_DEADLINE": "100ms", "IDLE_TIMEOUT": "500ms"}
        async with running(TARGET=target([pod]), RELAY=relay, **settings) as proxy:
            began = time.monotonic()
            client = call(proxy.address)
            await client.send(b"?")
            assert await client.rest() == b""
            assert time.monotonic() - began >= 0.5
            await proxy.counts("headway_connections_total", 1, outcome="idle_timeout")
            client.close()
        await pod.end()

    with own_network():
        run(story())
