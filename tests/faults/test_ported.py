"""Scenarios of other proxies' tests that had no like here; README.md lists where each is."""

import asyncio
import signal
from contextlib import suppress

import pytest

from proxy.demo.dns import DnsServer
from tests.datapath.peers import Peer
from tests.faults.pods import pods, target
from tests.faults.sessions import GREETING, NOISE, call
from tests.support import pods as greeters
from tests.support import run
from tests.support.pods import ask_once, connect, static
from tests.support.process import RELAYS, Proxy, running, up

pytestmark = pytest.mark.slow

WEB = "web.demo.svc.cluster.local"


@pytest.mark.parametrize("relay", RELAYS)
def test_nginx_max_conns(relay: str) -> None:
    """No pod has more than its two connections; who comes then waits, and the first is served first."""

    async def story() -> None:
        async with greeters.pods(2) as some:
            settings = {"MAX_CONNECTIONS_PER_ENDPOINT": "2", "BALANCER": "random", "RELAY": relay}
            async with running(TARGET=static(some), **settings) as proxy:
                inside = [await connect(proxy.address) for _ in range(4)]
                assert [len(pod.held) for pod in some] == [2, 2]
                waiting = []
                for number in range(2):
                    waiting.append(asyncio.create_task(connect(proxy.address)))
                    await proxy.counts("headway_queue_waiting", number + 1)
                await inside[0].close()

                first = await waiting[0]
                assert first.pod == inside[0].pod
                assert not waiting[1].done()
                for each in (*inside[1:], first):
                    await each.close()
                await (await waiting[1]).close()
                await proxy.counts("headway_connections_total", 6, outcome="completed")

    run(story())


def test_linkerd_loop() -> None:
    """DNS lists the sidecar's own listener: it does not connect to itself."""

    async def story() -> None:
        async with DnsServer() as dns, greeters.pods(1) as (pod,):
            dns.set(WEB, [pod.ip, "127.0.0.99"])
            settings = {"TARGET": f"{WEB}:{pod.port}", "LISTEN": f"127.0.0.99:{pod.port}"}
            settings |= {"DNS_SERVERS": dns.address, "READY_WHEN": "endpoint"}
            async with running(**settings, HEALTH_CHECK="off", BALANCER="round_robin") as proxy:
                assert {await ask_once(("127.0.0.99", pod.port)) for _ in range(4)} == {pod.ip}
                await proxy.counts("headway_connections_total", 4)

    run(story())


@pytest.mark.parametrize("relay", RELAYS)
def test_envoy_exit_while_flushing(relay: str) -> None:
    """Whoever ends it in the midst of a transfer hears 0; the transfer is reset, not cut short by a FIN."""
    taken: list[Peer] = []

    async def pours(peer: Peer) -> None:
        taken.append(peer)
        await peer.send(GREETING)
        with suppress(OSError):
            while True:
                await peer.send(NOISE)

    async def story() -> None:
        async with pods(pours) as some:
            proxy = Proxy({"TARGET": target(some), "RELAY": relay, "DRAIN_TIMEOUT": "0", "DRAIN_QUIET": "0"})
            async with up(proxy):
                client = call(proxy.address)
                assert await client.receive(1) == GREETING
                proxy.signal(signal.SIGTERM)

                assert await proxy.ends() == 0
                assert await client.was_reset()
                client.close()

    run(story())
