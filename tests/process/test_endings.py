"""How the proxy itself ends connections: by which way, for which reason, and that it is told."""

import json
import signal
from typing import Any

import pytest

from proxy.datapath.engines import is_built
from tests.support import run
from tests.support.pods import connect, pods, static
from tests.support.process import Proxy, running

pytestmark = pytest.mark.slow

RELAYS = ["asyncio", *(["native"] if is_built() else [])]


def outcomes(proxy: Proxy) -> list[tuple[str, str]]:
    """What the access log says of each connection that ended: how, and by whom."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in proxy.log.splitlines() if "{" in line]
    return [(line["outcome"], line["ended_by"]) for line in lines if line["logger"] == "headway.access"]


@pytest.mark.parametrize("relay", RELAYS)
def test_an_old_connection_at_rest(relay: str) -> None:
    """MAX_CONNECTION_AGE ends it by a FIN on both sides, and is counted and logged as the reason."""

    async def story() -> None:
        async with pods(1) as some:
            settings = {"MAX_CONNECTION_AGE": "1s", "RELAY": relay, "ACCESS_LOG": "all"}
            async with running(TARGET=static(some), **settings) as proxy:
                old = await connect(proxy.address)
                assert await old.echo(b"hello") == b"hello"

                assert await old.reader.read() == b""
                await old.close()
                await proxy.counts("headway_connections_total", 1, outcome="max_age")
                assert not some[0].held
                proxy.signal(signal.SIGTERM)
                await proxy.ends()
                assert outcomes(proxy) == [("max_age", "proxy")]

    run(story())


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("closes", ["true", "false"])
def test_connections_of_an_unhealthy_pod(relay: str, closes: str) -> None:
    """CLOSE_ON_UNHEALTHY resets what a pod still has when its checks fail, and leaves the others alone."""

    async def story() -> None:
        async with pods(2) as some:
            settings = {"CLOSE_ON_UNHEALTHY": closes, "RELAY": relay, "BALANCER": "round_robin"}
            settings |= {
                "HEALTH_INTERVAL": "100ms",
                "HEALTH_TIMEOUT": "100ms",
                "HEALTH_PASSIVE_FIRST": "false",
            }
            async with running(TARGET=static(some), **settings) as proxy:
                one, other = await connect(proxy.address), await connect(proxy.address)
                failing = next(pod for pod in some if pod.ip == one.pod)
                assert other.pod != one.pod
                await failing.close()
                await proxy.counts("headway_endpoints", 1, state="unhealthy")

                if closes == "true":
                    with pytest.raises(ConnectionResetError):
                        await one.reader.read()
                    await proxy.counts("headway_connections_total", 1, outcome="unhealthy")
                else:
                    assert await one.echo(b"still here") == b"still here"
                assert await other.echo(b"still here") == b"still here"
                await one.close()
                await other.close()

    run(story())


@pytest.mark.parametrize("relay", RELAYS)
def test_a_drain_that_ends(relay: str) -> None:
    """At the end of the drain a connection at rest ends by a FIN, in the pod's eyes as well."""

    async def story() -> None:
        async with pods(1) as some:
            settings = {"DRAIN_TIMEOUT": "1s", "RELAY": relay, "ACCESS_LOG": "all"}
            async with running(TARGET=static(some), **settings) as proxy:
                idle = await connect(proxy.address)
                proxy.signal(signal.SIGTERM)

                assert await idle.reader.read() == b""
                assert await proxy.ends() == 0
                assert outcomes(proxy) == [("drained", "proxy")]
                await idle.close()

    run(story())
