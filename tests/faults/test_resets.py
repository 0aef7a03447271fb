"""A reset at every point of a session, from either side: hidden while it can be, and passed on afterwards."""

import asyncio

import pytest

from tests.datapath.peers import Peer, black_hole
from tests.faults.pods import pods, resets_at_once, target
from tests.faults.sessions import call
from tests.support import run
from tests.support.process import RELAYS, Proxy, running

pytestmark = pytest.mark.slow

MANY = bytes(range(256)) * 256  # 64 KiB


class Doors:
    """Pods that leave their connections to the story."""

    def __init__(self) -> None:
        self._taken: asyncio.Queue[Peer] = asyncio.Queue()

    async def act(self, peer: Peer) -> None:
        self._taken.put_nowait(peer)
        await asyncio.Event().wait()

    async def met(self) -> Peer:
        """The pod's side of the next connection."""
        return await self._taken.get()

    async def meet(self, proxy: Proxy) -> tuple[Peer, Peer]:
        """A client, and its pod's side of the connection."""
        client = call(proxy.address)
        return client, await self.met()


# What happened before the reset, in a connection of the one who will do it with another.
async def one_byte_came(resets: Peer, other: Peer) -> None:
    await other.send(b"x")
    assert await resets.receive(1) == b"x"


async def one_byte_went(resets: Peer, other: Peer) -> None:
    await resets.send(b"x")
    assert await other.receive(1) == b"x"


async def in_mid_answer(resets: Peer, other: Peer) -> None:
    """What the other has had by now is right; how much of the rest still comes is the network's affair."""
    await one_byte_came(resets, other)
    await resets.send(MANY)
    assert await other.receive(1000) == MANY[:1000]


async def in_mid_question(resets: Peer, other: Peer) -> None:
    await other.send(MANY)
    assert await resets.receive(1000) == MANY[:1000]


async def after_the_answer(resets: Peer, other: Peer) -> None:
    await one_byte_came(resets, other)
    await resets.send(MANY)
    assert await other.receive(len(MANY)) == MANY


async def when_the_other_has_finished(resets: Peer, other: Peer) -> None:
    await other.send(MANY)
    other.finish()
    assert await resets.rest() == MANY


POINTS = (
    one_byte_came,
    one_byte_went,
    in_mid_answer,
    in_mid_question,
    after_the_answer,
    when_the_other_has_finished,
)


@pytest.mark.parametrize("relay", RELAYS)
def test_once_bytes_have_flowed(relay: str) -> None:
    """The other side is reset too, wherever they were: half an answer must not look like a whole one."""

    async def story() -> None:
        doors = Doors()
        settings = {"RELAY": relay, "HEALTH_CHECK": "off"}  # a check would come to the doors as well
        async with pods(doors.act) as some, running(TARGET=target(some), **settings) as proxy:
            for point in POINTS:
                for who in ("client", "pod"):
                    client, pod = await doors.meet(proxy)
                    resets, other = (client, pod) if who == "client" else (pod, client)
                    await point(resets, other)
                    resets.reset()

                    assert await other.was_reset(), f"{point.__name__}, by the {who}"
                    other.close()
            for who in ("client", "pod"):
                await proxy.counts("headway_connections_total", len(POINTS), outcome=f"{who}_reset")
            await proxy.counts("headway_endpoint_connections_active", 0)

    run(story())


@pytest.mark.parametrize("relay", RELAYS)
def test_before_any_byte_has(relay: str) -> None:
    """In the backlog, or just accepted: another pod serves, and the client has noticed nothing."""

    async def story() -> None:
        doors = Doors()
        async with pods(resets_at_once, doors.act) as (bad, good):
            settings = {"BALANCER": "ordered", "EJECT_AFTER": "0", "HEALTH_CHECK": "off", "RELAY": relay}
            async with running(TARGET=target([bad, good]), **settings) as proxy:
                await talks(*await doors.meet(proxy))
                assert bad.taken == 1

                bad.close()
                bad.open(accepts=False)
                client = call(proxy.address)
                await proxy.counts(
                    "headway_endpoint_connections_active", 1, endpoint=":".join(map(str, bad.address))
                )
                bad.close()
                await talks(client, await doors.met())
                assert await proxy.metric("headway_retries_total") == 2

    run(story())


async def talks(client: Peer, pod: Peer) -> None:
    await client.send(b"?")
    assert await pod.receive(1) == b"?"
    await pod.send(b"!")
    pod.finish()
    assert await client.rest() == b"!"
    client.close()


@pytest.mark.parametrize("relay", RELAYS)
def test_by_a_client_that_still_waits_for_a_pod(relay: str) -> None:
    """Its place is free when the pod's time is over; with the native relay, which hears of it, at once."""
    settings = {"CONNECT_TIMEOUT": "300ms", "CONNECT_DEADLINE": "300ms", "HEALTH_CHECK": "off"}
    if relay == "native":
        settings |= {"CONNECT_TIMEOUT": "5m", "CONNECT_DEADLINE": "5m"}

    async def story() -> None:
        with black_hole() as silent:
            async with running(TARGET=f"static://{silent}", RELAY=relay, **settings) as proxy:
                client = call(proxy.address)
                await proxy.counts("headway_endpoint_connections_active", 1)
                client.reset()

                await proxy.counts("headway_connections_active", 0)
                await proxy.counts("headway_endpoint_connections_active", 0)

    run(story())
