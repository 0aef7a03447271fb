"""Every relay: what is to come first reaches the pod first, and counts as nothing."""

import asyncio
from contextlib import ExitStack
from random import Random

import pytest

from proxy.model import EndReason
from proxy.observe.counters import ServiceCounters
from tests.datapath.peers import MIB, Peer, address_of, connected, listening, no_socket_lost, refusing
from tests.datapath.relays import AT_ONCE, NEVER, TIMES, Bench, Engine, Hearing, relay_through
from tests.support import run

GONE = {"fin": Peer.close, "half_close": Peer.finish, "reset": Peer.reset}
PREFIX = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"


def test_before_the_client_has_said_a_word(engine: Engine) -> None:
    """The pod has it at once, and answers perhaps: none of its bytes waits for the client."""

    async def test() -> None:
        async with Bench(engine).relayed(prefix=PREFIX, retry_s=60.0) as it:
            assert await it.pod.receive(len(PREFIX)) == PREFIX
            await it.pod.send(b"welcome")
            assert await it.client.receive(7) == b"welcome"
            it.client.close()
            assert await it.pod.rest() == b""
            it.pod.close()
            end = await it.end()

        assert (end.reason, end.to_pod, end.from_pod) == (EndReason.COMPLETED, 0, 7)
        it.relay.account()
        assert (it.counters.bytes_to_pods, it.counters.bytes_from_pods) == (0, 7)

    run(test())


@pytest.mark.parametrize("size", [0, 5, 3 * MIB])
@pytest.mark.parametrize("fin", [False, True])
def test_before_what_the_client_said(engine: Engine, size: int, fin: bool) -> None:
    """It comes before bytes that were there earlier than the connection, and before a mere FIN."""
    said = Random(size).randbytes(size)

    def before(client: Peer, pod: Peer) -> None:
        client.sock.send(said[: 64 << 10])
        if fin and size <= 64 << 10:
            client.finish()

    async def test() -> None:
        async with Bench(engine).relayed(prefix=PREFIX, before=before) as it:

            async def say() -> None:
                await it.client.send(said[64 << 10 :])
                if not fin or size > 64 << 10:
                    it.client.finish()

            saying = asyncio.create_task(say())
            assert await it.pod.rest() == PREFIX + said
            await saying
            it.pod.close()
            end = await it.end()

        assert (end.reason, end.to_pod, end.from_pod) == (EndReason.COMPLETED, size, 0)
        it.relay.account()
        assert it.counters.bytes_to_pods == size

    run(test())


@pytest.mark.slow
def test_each_to_its_own_pod(engine: Engine) -> None:
    """1,000 connections, 50 at a time, that the relay opens itself: each pod has the right bytes first."""

    async def test() -> None:
        relay, loop = engine(NEVER, ServiceCounters()), asyncio.get_running_loop()

        async def one_connection(number: int) -> None:
            prefix = b"PROXY %d\r\n" % number
            with ExitStack() as cleanup:
                listener = cleanup.enter_context(listening())
                client, near = connected()
                await client.send(b"%d" % number)
                client.finish()
                story = relay_through(relay, near, address_of(listener), Hearing(), prefix=prefix)
                task = asyncio.create_task(story)
                sock, _ = await loop.sock_accept(listener)
                pod = Peer(sock)
                assert await pod.rest() == prefix + b"%d" % number
                pod.close()
                assert await client.rest() == b""
                client.close()
                assert (await task).reason is EndReason.COMPLETED

        for start in range(0, TIMES, AT_ONCE):
            await asyncio.gather(*map(one_connection, range(start, start + AT_ONCE)))

    run(test(), within_s=120.0)


@pytest.mark.parametrize("how", GONE)
@pytest.mark.parametrize("read", [False, True])
def test_the_client_gets_another_pod(engine: Engine, how: str, read: bool) -> None:
    """A pod that ends with nothing but that, read or not, has touched nothing: the next one gets all."""

    async def test() -> None:
        bench = Bench(engine)
        async with no_socket_lost(), bench.relayed(retry_s=60.0, prefix=PREFIX) as it:
            if read:
                assert await it.pod.receive(len(PREFIX)) == PREFIX
            GONE[how](it.pod)
            end = await it.end()
            assert (end.reason, end.to_pod, end.from_pod) == (EndReason.UNTOUCHED, 0, 0)

            again = (it.client, it.given_back)
            async with bench.relayed(client=again, prefix=PREFIX) as second:
                await second.client.send(b"hello")
                assert await second.pod.receive(len(PREFIX) + 5) == PREFIX + b"hello"

    run(test())


def test_a_pod_that_is_not_reached(engine: Engine) -> None:
    """The client comes back, nothing of what was for the pod is left over."""

    async def test() -> None:
        async with no_socket_lost():
            with refusing() as address:
                (client, near), ear = connected(), Hearing()
                relay = engine(NEVER, ServiceCounters())
                end = await relay_through(relay, near, address, ear, prefix=PREFIX)
                assert (end.reason, end.client >= 0) == (EndReason.UNCONNECTED, True)
                ear.close()
                client.close()

    run(test())


def test_a_reset_while_it_is_on_its_way(engine: Engine) -> None:
    """A client that is gone before anything was said takes the pod's connection with it."""

    async def test() -> None:
        async with no_socket_lost(), Bench(engine).relayed(prefix=PREFIX) as it:
            it.client.reset()
            end = await it.end()

        assert (end.reason, end.to_pod, end.from_pod) == (EndReason.CLIENT_RESET, 0, 0)

    run(test())
