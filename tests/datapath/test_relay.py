"""Every relay: all bytes of both directions arrive, in order, whoever ends first and however it ends."""

import asyncio
from hashlib import sha256
from random import Random
from typing import Literal

import pytest

from proxy.model import EndReason
from tests.datapath.peers import MIB, Peer
from tests.datapath.relays import AT_ONCE, TIMES, Bench, Engine, Relayed
from tests.support import run

Who = Literal["client", "pod"]


def ends(it: Relayed, first: Who) -> tuple[Peer, Peer]:
    return (it.client, it.pod) if first == "client" else (it.pod, it.client)


@pytest.mark.parametrize("first", ["client", "pod"])
def test_both_directions_at_once(engine: Engine, first: Who) -> None:
    """Megabytes flow both ways at the same time; the side that is done first still hears all of the other."""

    async def test() -> None:
        early, late = Random(1).randbytes(4 * MIB + 1), Random(2).randbytes(6 * MIB + 3)
        async with Bench(engine).relayed() as it:
            one, other = ends(it, first)

            async def say(peer: Peer, data: bytes) -> None:
                await peer.send(data)
                peer.finish()

            _, _, heard, answer = await asyncio.gather(
                say(one, early), say(other, late), other.checksum(), one.checksum()
            )
            end = await it.end()

        assert (heard, answer) == (sha256(early).hexdigest(), sha256(late).hexdigest())
        assert end.reason is EndReason.COMPLETED
        sent = (len(early), len(late)) if first == "client" else (len(late), len(early))
        assert (end.to_pod, end.from_pod) == sent
        it.relay.account()
        assert (it.counters.bytes_to_pods, it.counters.bytes_from_pods) == sent

    run(test())


@pytest.mark.slow
@pytest.mark.parametrize("first", ["client", "pod"])
def test_half_close(engine: Engine, first: Who) -> None:
    """After its FIN, a side still receives whatever the other has to say, 1,000 times out of 1,000."""

    async def test() -> None:
        bench = Bench(engine)

        async def one_connection(number: int) -> None:
            async with bench.relayed() as it:
                one, other = ends(it, first)
                await one.send(b"that is all")
                one.finish()
                assert await other.rest() == b"that is all"
                for answer in (b"%d" % number, b"and more"):
                    await other.send(answer)
                    assert await one.receive(len(answer)) == answer
                await other.send(b"good bye")
                other.finish()

                assert await one.rest() == b"good bye"
                end = await it.end()
                assert (end.reason, end.pod_first) == (EndReason.COMPLETED, first == "pod")

        for start in range(0, TIMES, AT_ONCE):  # each alone would wait for the scheduler at every step
            await asyncio.gather(*map(one_connection, range(start, start + AT_ONCE)))

    run(test(), within_s=120.0)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["client", "pod"])
def test_burst_then_fin(engine: Engine, first: Who) -> None:
    """Bytes with a FIN right behind them all arrive, then the FIN does: 1,000 connections, 50 at a time."""
    rng = Random(3)
    sizes = [[rng.randrange(1, 50_000) for _ in range(rng.randrange(1, 6))] for _ in range(AT_ONCE)]
    bursts = [[rng.randbytes(size) for size in some] for some in sizes]
    sums = [sha256(b"".join(burst)).hexdigest() for burst in bursts]

    async def test() -> None:
        bench = Bench(engine)

        async def one_connection(number: int) -> None:
            async with bench.relayed() as it:
                one, other = ends(it, first)

                async def burst() -> None:
                    for data in bursts[number]:
                        await one.send(data)
                    one.finish()

                _, heard = await asyncio.gather(burst(), other.checksum())
                assert heard == sums[number]
                other.close()
                assert await one.rest() == b""
                assert await it.reason() is EndReason.COMPLETED

        for _ in range(TIMES // AT_ONCE):
            await asyncio.gather(*map(one_connection, range(AT_ONCE)))

    run(test(), within_s=120.0)


@pytest.mark.parametrize("first", ["client", "pod"])
def test_fin_behind_a_slow_reader(engine: Engine, first: Who) -> None:
    """A FIN that comes while the other side does not read waits for the bytes before it, and is then seen."""
    data = Random(4).randbytes(3 * MIB)

    async def test() -> None:
        async with Bench(engine).relayed(buffer=64 << 10) as it:
            one, other = ends(it, first)

            async def say() -> None:
                await one.send(data)
                one.finish()

            saying = asyncio.create_task(say())
            await asyncio.sleep(0.05)
            assert not saying.done()  # stalled
            heard = await other.checksum()
            await saying
            await other.send(b"got it")
            other.finish()

            assert heard == sha256(data).hexdigest()
            assert await one.rest() == b"got it"
            assert await it.reason() is EndReason.COMPLETED

    run(test())


@pytest.mark.parametrize("size", [100, 100_000])
@pytest.mark.parametrize("closed", [False, True])
def test_what_both_sides_said_before(engine: Engine, size: int, closed: bool) -> None:
    """Bytes, with or without a FIN, that wait in both sockets when they are handed over are not lost."""
    question, answer = Random(5).randbytes(size), Random(6).randbytes(size)

    def before(client: Peer, pod: Peer) -> None:
        assert (client.sock.send(question), pod.sock.send(answer)) == (size, size)
        for peer in (client, pod) if closed else ():
            peer.finish()

    async def test() -> None:
        for _ in range(20):
            async with Bench(engine).relayed(before=before, retry_s=60.0) as it:
                assert await it.pod.receive(size) == question
                assert await it.client.receive(size) == answer
                for peer in (it.client, it.pod) if not closed else ():
                    peer.finish()

                assert (await it.client.rest(), await it.pod.rest()) == (b"", b"")
                assert await it.reason() is EndReason.COMPLETED
                assert len(it.waits) == 1

    run(test())


def test_first_byte_of_the_pod(engine: Engine) -> None:
    """The pod's first byte is reported when it comes, once, however much follows; the client's never is."""

    async def test() -> None:
        async with Bench(engine).relayed() as it:
            await it.client.send(b"hello?")
            assert await it.pod.receive(6) == b"hello?"
            assert it.waits == []
            for _ in range(3):
                await it.pod.send(b"x")
                assert await it.client.receive(1) == b"x"

                assert await it.waited_s() >= 0.0

    run(test())


def test_bytes_are_counted_while_they_flow(engine: Engine) -> None:
    """A scrape in the middle of a long connection sees its bytes, and the end does not count them again."""

    async def test() -> None:
        bench = Bench(engine)

        def counted() -> tuple[int, int]:
            bench.relay.account()
            return bench.counters.bytes_to_pods, bench.counters.bytes_from_pods

        async with bench.relayed() as it:
            await it.client.send(b"abc")
            await it.pod.receive(3)
            assert counted() == (3, 0)
            await it.pod.send(b"defgh")
            await it.client.receive(5)
            assert counted() == (3, 5)
            it.client.finish()
            it.pod.finish()
            await it.end()

            assert counted() == (3, 5)

    run(test())


def test_nothing_said(engine: Engine) -> None:
    """A connection that both sides close without a word is complete, and counts no bytes."""

    async def test() -> None:
        async with Bench(engine).relayed() as it:
            it.client.close()
            assert await it.pod.rest() == b""
            it.pod.close()
            end = await it.end()

            assert (end.reason, end.to_pod, end.from_pod) == (EndReason.COMPLETED, 0, 0)
            assert it.waits == []

    run(test())
