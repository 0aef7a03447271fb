"""Every relay: a side that does not read stops the other from sending, and costs the proxy little memory."""

import asyncio
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from random import Random
from resource import getpagesize

import pytest

from proxy.model import EndReason
from tests.datapath.peers import MIB, Peer, settled
from tests.datapath.relays import TIMES, Bench, Engine
from tests.datapath.test_relay import Who, ends
from tests.support import run, until

KERNEL = 64 << 10  # what the kernel may keep per socket: the rest of a stalled stream is the relay's
DATA = Random(8).randbytes(8 * MIB)
SUM = sha256(DATA).hexdigest()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


@pytest.mark.parametrize("first", ["client", "pod"])
def test_who_does_not_read_stalls_the_sender(engine: Engine, first: Who) -> None:
    """The relay takes less than a megabyte for a side that does not read; once it does, all of it arrives."""

    async def test() -> None:
        bench = Bench(engine)

        def taken() -> int:
            bench.relay.account()
            return bench.counters.bytes_to_pods + bench.counters.bytes_from_pods

        async with bench.relayed(buffer=KERNEL) as it:
            sender, reader = ends(it, first)
            sending = asyncio.create_task(sender.send(DATA))

            await until(taken)
            assert await settled(taken) < MIB
            assert not sending.done()

            hearing = asyncio.create_task(reader.checksum())
            await sending
            sender.finish()
            assert await hearing == SUM

    run(test())


def test_the_other_direction_flows_on(engine: Engine) -> None:
    """A pod that does not read can still be heard, and does not slow down another connection."""

    async def test() -> None:
        bench = Bench(engine)
        async with bench.relayed(buffer=KERNEL) as stuck, bench.relayed(buffer=KERNEL) as lively:
            sending = asyncio.create_task(stuck.client.send(DATA))
            await asyncio.sleep(0.02)
            for it in (stuck, lively):
                answer = asyncio.create_task(it.pod.send(DATA))
                assert await it.client.receive(len(DATA)) == DATA
                await answer

            assert not sending.done()
            sending.cancel()

    run(test())


@pytest.mark.slow
def test_memory_of_twenty_stalled_uploads(engine: Engine) -> None:
    """Twenty clients that push 8 MiB each at pods that never read cost less than 40 MiB; then all arrives."""

    async def test() -> None:
        async with AsyncExitStack() as open_ones:
            bench = Bench(engine)
            every = [await open_ones.enter_async_context(bench.relayed(buffer=KERNEL)) for _ in range(20)]
            before = resident()
            sending = [asyncio.create_task(it.client.send(DATA)) for it in every]
            await settled(resident)

            assert resident() - before < 40 * MIB
            assert not any(task.done() for task in sending)

            hearing = [asyncio.create_task(it.pod.checksum()) for it in every]
            await asyncio.gather(*sending)
            for it in every:
                it.client.finish()
            assert await asyncio.gather(*hearing) == [SUM] * 20

    run(test())


@pytest.mark.parametrize("first", ["client", "pod"])
def test_both_ended_with_bytes_still_to_be_sent(engine: Engine, first: Who) -> None:
    """When both sides have sent their FIN, a slow reader still gets all the bytes before the end."""

    async def test() -> None:
        async with Bench(engine).relayed(buffer=KERNEL) as it:
            slow, other = ends(it, first)
            slow.finish()
            saying = asyncio.create_task(other.send(DATA[: 400 << 10]))
            await asyncio.sleep(0.02)
            heard = await slow.receive(200 << 10)
            await saying
            other.close()
            await asyncio.sleep(0.02)

            assert heard + await slow.rest() == DATA[: 400 << 10]
            assert await it.reason() is EndReason.COMPLETED

    run(test())


@pytest.mark.slow
@pytest.mark.parametrize("first", ["client", "pod"])
def test_fins_behind_slow_readers(engine: Engine, first: Who) -> None:
    """Both ends say more than fits on the way, then FIN, and only then read: all arrives, every time."""
    size = 48 << 10

    async def test() -> None:
        bench = Bench(engine)

        async def one_connection(number: int) -> None:
            async with bench.relayed(buffer=4 << 10) as it:
                early, late = ends(it, first)

                async def say(peer: Peer, start: int) -> None:
                    await peer.send(DATA[start : start + size])
                    peer.finish()

                saying = [asyncio.create_task(say(early, number)), asyncio.create_task(say(late, 2 * number))]
                await asyncio.sleep(0.005)
                hearing = asyncio.create_task(late.rest())
                assert await early.rest() == DATA[2 * number : 2 * number + size]
                assert await hearing == DATA[number : number + size]
                await asyncio.gather(*saying)
                assert await it.reason() is EndReason.COMPLETED

        await asyncio.gather(*map(one_connection, range(TIMES // 4)))

    run(test(), within_s=120.0)  # the kernel takes its time with windows that small


@pytest.mark.parametrize("first", ["client", "pod"])
def test_reset_while_stalled(engine: Engine, first: Who) -> None:
    """Whoever gives up while it is not reading takes the stalled sender with it, by a reset."""

    async def test() -> None:
        async with Bench(engine).relayed(buffer=KERNEL) as it:
            sender, stuck = ends(it, first)
            sending = asyncio.create_task(sender.send(DATA))
            await asyncio.sleep(0.02)
            stuck.reset()

            with pytest.raises(OSError):
                await sending
            assert await it.reason() is (EndReason.POD_RESET if first == "client" else EndReason.CLIENT_RESET)

    run(test())
