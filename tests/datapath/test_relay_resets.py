"""Every relay: a reset stays a reset, whoever sends it; the proxy itself ends connections by one."""

import asyncio
import gc
import weakref
from contextlib import suppress
from random import Random

import pytest

from proxy.datapath.relay import Relay
from proxy.model import EndReason
from tests.datapath.peers import Peer, connected, no_socket_lost
from tests.datapath.relays import AT_ONCE, TIMES, Bench, Engine, Hearing, relay_through
from tests.datapath.test_relay import Who, ends
from tests.support import run, until

REASON = {"client": EndReason.CLIENT_RESET, "pod": EndReason.POD_RESET}


@pytest.mark.parametrize("said", [b"", b"half a reply"])
@pytest.mark.parametrize("first", ["client", "pod"])
def test_reset_is_passed_on(engine: Engine, first: Who, said: bytes) -> None:
    """A reset by one side reaches the other as a reset, so that half a reply never passes for a whole one."""

    async def test() -> None:
        for _ in range(20):
            async with Bench(engine).relayed() as it:
                one, other = ends(it, first)
                await one.send(said)
                assert await other.receive(len(said)) == said
                one.reset()

                assert await other.was_reset()
                end = await it.end()
                assert (end.reason, end.pod_first) == (REASON[first], first == "pod")
                assert end.to_pod + end.from_pod == len(said)

    run(test())


@pytest.mark.parametrize("first", ["client", "pod"])
def test_reset_after_the_fin_of_the_other(engine: Engine, first: Who) -> None:
    """Who has half-closed and waits for an answer learns that it will not come."""

    async def test() -> None:
        async with Bench(engine).relayed() as it:
            one, other = ends(it, first)
            await other.send(b"what is the answer?")
            other.finish()
            await one.rest()
            one.reset()

            assert await other.was_reset()
            end = await it.end()
            assert (end.reason, end.pod_first) == (REASON[first], first == "client")

    run(test())


@pytest.mark.parametrize("answer", [b"", b"42"])
@pytest.mark.parametrize("first", ["client", "pod"])
def test_reset_after_its_own_fin(engine: Engine, first: Who, answer: bytes) -> None:
    """Who half-closes and is reset before it has its answer has not had it: that is no clean end."""

    async def test() -> None:
        async with Bench(engine).relayed() as it:
            one, other = ends(it, first)
            await one.send(b"what is the answer?")
            one.finish()
            await other.rest()
            one.reset()
            with suppress(OSError):  # it may have been told already
                await other.send(answer)
                other.finish()

            end = await it.end()
            assert (end.reason, end.pod_first) == (REASON[first], first == "pod")

    run(test())


def test_bytes_for_a_side_that_has_closed(engine: Engine) -> None:
    """A client that goes on talking to a pod that has closed is told so by a reset, as without a proxy."""

    async def test() -> None:
        async with Bench(engine).relayed() as it:
            await it.pod.send(b"bye")
            it.pod.close()
            assert await it.client.rest() == b"bye"
            with suppress(OSError):
                while True:
                    await it.client.send(b"are you there?")
                    await asyncio.sleep(0.001)

            end = await it.end()
            assert (end.reason, end.pod_first) == (EndReason.POD_RESET, True)

    run(test())


@pytest.mark.parametrize("said", [b"", b"my question"])
@pytest.mark.parametrize("first", ["client", "pod"])
def test_reset_before_the_relay_began(engine: Engine, first: Who, said: bytes) -> None:
    """A side that was reset before the sockets were handed over takes the other with it, whatever it said."""

    def before(client: Peer, pod: Peer) -> None:
        one, other = (client, pod) if first == "client" else (pod, client)
        other.sock.send(said)
        one.reset()

    async def test() -> None:
        for _ in range(20):
            async with Bench(engine).relayed(before=before) as it:
                assert await ends(it, first)[1].was_reset()
                assert await it.reason() is REASON[first]

    run(test())


@pytest.mark.parametrize("turns", range(6))
def test_abort(engine: Engine, turns: int) -> None:
    """When the proxy ends, both sides of every connection are reset, even of one that has barely begun."""

    async def test() -> None:
        bench = Bench(engine)
        async with bench.relayed() as it, bench.relayed() as another:
            it.client.sock.send(b"x")
            for _ in range(turns):
                await asyncio.sleep(0)
            bench.relay.abort()

            for each in (it, another):
                assert await each.client.was_reset()
                assert await each.pod.was_reset()
                assert await each.reason() is EndReason.ABORTED

    run(test())


@pytest.mark.parametrize("turns", range(6))
def test_the_caller_is_cancelled(engine: Engine, turns: int) -> None:
    """Cancelling whoever waits for the connection ends it on both sides, at whatever moment it comes."""

    async def test() -> None:
        async with no_socket_lost(), Bench(engine).relayed() as it:
            it.client.sock.send(b"x")
            for _ in range(turns):
                await asyncio.sleep(0)
            it.task.cancel()

            with pytest.raises(asyncio.CancelledError):
                await it.task
            for peer in (it.client, it.pod):
                with suppress(ConnectionResetError):
                    await peer.rest()

    run(test())


def test_cancelled_in_mid_stream_is_a_reset(engine: Engine) -> None:
    """A connection that the proxy cuts off is reset on both sides; its bytes are counted."""

    async def test() -> None:
        bench = Bench(engine)
        async with bench.relayed() as it:
            await it.client.send(b"abc")
            await it.pod.receive(3)
            it.task.cancel()

            assert await it.client.was_reset()
            assert await it.pod.was_reset()
            bench.relay.account()
            assert bench.counters.bytes_to_pods == 3

    run(test())


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("how", ["done", "cancelled"])
def test_what_is_over_is_forgotten(engine: Engine, how: str, turns: int) -> None:
    """A relay keeps nothing of a connection that ended or was cut off, at whatever moment that was."""

    async def connection(relay: Relay) -> weakref.ref[Hearing]:
        (client, near_client), (pod, near_pod) = connected(), connected()
        ear = Hearing()
        task = asyncio.create_task(relay_through(relay, near_client, near_pod, ear))
        for _ in range(turns + 1):
            await asyncio.sleep(0)
        if how == "cancelled":
            task.cancel()
        client.close()
        pod.close()
        with suppress(asyncio.CancelledError):
            await task
        return weakref.ref(ear)

    async def test() -> None:
        relay = Bench(engine).relay
        over = await connection(relay)

        def forgotten() -> bool:
            gc.collect()
            return over() is None

        await until(forgotten)  # or TimeoutError
        relay.abort()  # there is nothing left to abort

    run(test())


@pytest.mark.slow
def test_churn(engine: Engine) -> None:
    """A thousand connections that end in every way, some cut off half-closed, leave no socket behind."""
    rng = Random(9)

    async def test() -> None:
        bench = Bench(engine)

        async def one_connection() -> None:
            with suppress(OSError):
                await misbehave(rng.choice((0.0, 60.0)))

        async def misbehave(retry_s: float) -> None:
            async with bench.relayed(retry_s=retry_s) as it:
                peers = [it.client, it.pod]
                rng.shuffle(peers)
                for peer in peers:
                    if rng.random() < 0.5:
                        await peer.send(rng.randbytes(rng.randrange(1, 100_000)))
                    rng.choice((peer.finish, peer.finish, peer.close, peer.reset, lambda: None))()
                    await asyncio.sleep(rng.choice((0, 0.002)))

        async with no_socket_lost():
            for _ in range(TIMES // AT_ONCE):
                await asyncio.gather(*(one_connection() for _ in range(AT_ONCE)))

    run(test(), within_s=120.0)
