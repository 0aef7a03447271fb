"""Every relay: an old connection ends when it is at rest, by a FIN on both sides, not in mid-transfer."""

import asyncio
import time

import pytest

from proxy.datapath.relay import Timeouts
from proxy.model import EndReason
from tests.datapath.peers import MIB, black_hole, connected
from tests.datapath.relays import Bench, Engine, Hearing, Relayed, relay_through
from tests.support import run

pytestmark = pytest.mark.slow

AGE_S = 0.3
QUIET_S = 0.1
LIVES = Timeouts(0.0, 0.0, AGE_S, QUIET_S)


async def ends_cleanly(it: Relayed) -> None:
    """It ends by a FIN on both sides, for its age."""
    assert await it.client.rest() == b""
    assert await it.pod.rest() == b""
    end = await it.end()
    assert (end.reason, end.pod_first, end.error) == (EndReason.MAX_AGE, False, None)


@pytest.mark.parametrize("said", [False, True])
def test_old_and_at_rest(engine: Engine, said: bool) -> None:
    """Once its age is over a connection on which nothing is said, or all was answered, ends; not before."""

    async def test() -> None:
        began = time.monotonic()
        async with Bench(engine, LIVES).relayed(retry_s=60.0) as it:
            if said:
                await it.client.send(b"hello")
                assert await it.pod.receive(5) == b"hello"
                await it.pod.send(b"world")
                assert await it.client.receive(5) == b"world"

            await ends_cleanly(it)
            assert time.monotonic() - began >= AGE_S * 0.9

    run(test())


def test_an_answer_is_waited_for(engine: Engine) -> None:
    """While the client's question is not answered the connection lives on; soon after the answer it ends."""

    async def test() -> None:
        async with Bench(engine, LIVES).relayed() as it:
            await it.client.send(b"question")
            assert await it.pod.receive(8) == b"question"
            await asyncio.sleep(3 * (AGE_S + QUIET_S))
            assert not it.task.done()
            await it.pod.send(b"answer")
            assert await it.client.receive(6) == b"answer"

            await ends_cleanly(it)

    run(test())


def test_an_answer_that_never_comes(engine: Engine) -> None:
    """Who only ever sends does not live for ever: an answer is waited for 200 times as long as quiet."""

    async def test() -> None:
        began = time.monotonic()
        async with Bench(engine, Timeouts(0.0, 0.0, 0.1, 0.002)).relayed() as it:
            await it.client.send(b"log line")
            assert await it.pod.receive(8) == b"log line"

            await ends_cleanly(it)
            assert time.monotonic() - began >= 0.4

    run(test())


def test_what_moves_lives_on(engine: Engine) -> None:
    """At its age it is left alone when something has just moved, and looked at again until nothing does."""

    async def test() -> None:
        async with Bench(engine, Timeouts(0.0, 0.0, AGE_S, 1.5)).relayed() as it:
            for _ in range(30):
                await asyncio.sleep(AGE_S / 15)
                await it.pod.send(b"tick")
                assert await it.client.receive(4) == b"tick"
            last = time.monotonic()
            assert not it.task.done()

            await ends_cleanly(it)
            assert time.monotonic() - last >= 1.4

    run(test())


@pytest.mark.parametrize("size", [1 << 10, MIB // 8])
def test_what_was_not_taken_lives_on(engine: Engine, size: int) -> None:
    """Bytes that the client has not taken yet are a transfer, be they here or in the kernel: all arrive."""

    async def test() -> None:
        # A window that is full: the smaller size is in the kernel's hands as a whole, and not acknowledged.
        async with Bench(engine, LIVES).relayed(buffer=4 << 10) as it:
            filling = asyncio.create_task(it.pod.send(b"x" * size * 8))
            await asyncio.sleep(3 * (AGE_S + QUIET_S))
            assert not it.task.done()
            assert await it.client.receive(size * 8) == b"x" * size * 8
            await filling

            await ends_cleanly(it)

    run(test())


@pytest.mark.parametrize("first", ["client", "pod"])
def test_half_closed(engine: Engine, first: str) -> None:
    """One that is ending anyway is left to its end: what the other side still says arrives."""

    async def test() -> None:
        async with Bench(engine, LIVES).relayed() as it:
            one, other = (it.client, it.pod) if first == "client" else (it.pod, it.client)
            one.finish()
            assert await other.rest() == b""
            await asyncio.sleep(3 * (AGE_S + QUIET_S))
            await other.send(b"at last")
            other.finish()

            assert await one.rest() == b"at last"
            assert await it.reason() is EndReason.COMPLETED

    run(test())


def test_not_all_at_once(engine: Engine) -> None:
    """Connections that began together end one by one, a tenth earlier or later."""
    age_s = 3.0

    async def life_s(bench: Bench, began: float) -> float:
        async with bench.relayed() as it:
            await it.end()
            return time.monotonic() - began

    async def test() -> None:
        bench, began = Bench(engine, Timeouts(0.0, 0.0, age_s, 0.05)), time.monotonic()
        lives = await asyncio.gather(*(life_s(bench, began) for _ in range(40)))

        assert age_s * 0.9 <= min(lives) < age_s
        assert max(lives) - min(lives) > age_s / 20

    run(test())


# --- the end of the process ---------------------------------------------------------------------


def test_parting(engine: Engine) -> None:
    """Who is at rest hears a FIN; who waits for an answer, or to be connected, a reset."""

    async def test() -> None:
        bench = Bench(engine, Timeouts(0.0, 0.0, 0.0, QUIET_S))
        with black_hole() as hole:
            async with bench.relayed() as resting, bench.relayed() as asking:
                client, near = connected()
                ear = Hearing()
                connecting = asyncio.create_task(relay_through(bench.relay, near, hole, ear))
                await asking.client.send(b"question")
                assert await asking.pod.receive(8) == b"question"
                await asyncio.sleep(3 * QUIET_S)
                bench.relay.part(EndReason.DRAINED)

                assert await resting.reason() is EndReason.DRAINED
                assert not await resting.client.was_reset()
                assert not await resting.pod.was_reset()
                assert await asking.reason() is EndReason.ABORTED
                assert await asking.client.was_reset()
                assert await asking.pod.was_reset()
                assert (await connecting).reason is EndReason.ABORTED
                assert await client.was_reset()
                client.close()

    run(test())
