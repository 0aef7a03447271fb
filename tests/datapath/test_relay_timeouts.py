"""Every relay: what stands still for too long is ended; what moves, or may wait for ever, is not."""

import asyncio
import time

import pytest

from proxy.datapath.relay import Timeouts
from proxy.model import EndReason
from tests.datapath.peers import MIB, connected
from tests.datapath.relays import Bench, Engine
from tests.datapath.test_relay import Who, ends
from tests.support import run

SHORT_S = 0.2
SOON_S = SHORT_S * 2 + 1.0  # a relay may look only now and then


class Watch:
    """How long something took."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._began


@pytest.mark.slow
@pytest.mark.parametrize("said", [False, True])
def test_idle(engine: Engine, said: bool) -> None:
    """A connection on which nothing is said for the idle time ends cleanly on both sides, not much later."""

    async def test() -> None:
        watch = Watch()
        async with Bench(engine, Timeouts(SHORT_S, 0.0)).relayed(retry_s=60.0) as it:
            if said:
                watch = Watch()
                await it.client.send(b"hello")
                assert await it.pod.receive(5) == b"hello"
            end = await it.end()

            assert SHORT_S * 0.9 <= watch.seconds() < SOON_S
            assert (end.reason, end.client) == (EndReason.IDLE_TIMEOUT, -1)
            assert not await it.client.was_reset()
            assert not await it.pod.was_reset()

    run(test())


@pytest.mark.slow
@pytest.mark.parametrize("first", ["client", "pod"])
def test_one_direction_is_enough(engine: Engine, first: Who) -> None:
    """A stream in one direction only keeps its connection, whatever the idle time."""

    async def test() -> None:
        async with Bench(engine, Timeouts(SHORT_S * 2, SHORT_S * 2)).relayed() as it:
            one, other = ends(it, first)
            for _ in range(30):
                await asyncio.sleep(SHORT_S / 8)
                await one.send(b"tick")
                assert await other.receive(4) == b"tick"

            assert not it.task.done()

    run(test())


@pytest.mark.slow
@pytest.mark.parametrize("first", ["client", "pod"])
def test_half_closed(engine: Engine, first: Who) -> None:
    """After one side's FIN the other has only the half-close time to say more; then both are reset."""

    async def test() -> None:
        async with Bench(engine, Timeouts(60.0, SHORT_S * 2)).relayed() as it:
            one, other = ends(it, first)
            await one.send(b"done")
            one.finish()
            assert await other.rest() == b"done"
            for _ in range(20):
                await asyncio.sleep(SHORT_S / 8)
                watch = Watch()
                await other.send(b"wait")
                assert await one.receive(4) == b"wait"

            assert await one.was_reset()
            assert SHORT_S * 2 * 0.9 <= watch.seconds() < SHORT_S + SOON_S
            end = await it.end()
            assert (end.reason, end.pod_first) == (EndReason.HALF_CLOSE_TIMEOUT, first == "pod")
            with pytest.raises(OSError):
                for _ in range(3):
                    await other.send(b"still there?")
                    await asyncio.sleep(0.01)

    run(test())


@pytest.mark.slow
@pytest.mark.parametrize("first", ["client", "pod"])
def test_a_stalled_end_does_not_count_as_complete(engine: Engine, first: Who) -> None:
    """A side that never takes the last bytes after both FINs is reset in the end, and the outcome says so."""

    async def test() -> None:
        async with Bench(engine, Timeouts(60.0, SHORT_S)).relayed(buffer=64 << 10) as it:
            stuck, other = ends(it, first)
            stuck.finish()
            await other.send(b"x" * (300 << 10))
            other.finish()
            assert await other.rest() == b""

            assert await it.reason() is EndReason.HALF_CLOSE_TIMEOUT
            assert await stuck.was_reset()

    run(test())


@pytest.mark.slow
def test_a_stalled_stream_is_idle(engine: Engine) -> None:
    """A pod that stops reading for the idle time loses its connection by a reset: its stream is not whole."""

    async def test() -> None:
        async with Bench(engine, Timeouts(SHORT_S, 0.0)).relayed(buffer=64 << 10) as it:
            sending = asyncio.create_task(it.client.send(b"x" * (8 * MIB)))

            with pytest.raises(OSError):
                await sending
            assert await it.reason() is EndReason.IDLE_TIMEOUT
            assert await it.pod.was_reset()

    run(test())


@pytest.mark.slow
def test_a_slow_reader_is_not_idle(engine: Engine) -> None:
    """What is taken little by little, long after it was said, counts as moving: nothing of it is lost."""
    data, bite = b"x" * (160 << 10), 4 << 10

    async def test() -> None:
        idle = Timeouts(SHORT_S * 2, 0.0)
        async with Bench(engine, idle).relayed(client=connected(), buffer=bite) as it:
            sending = asyncio.create_task(it.client.send(data))
            for _ in range(len(data) // bite):
                await asyncio.sleep(SHORT_S / 8)
                assert await it.pod.receive(bite) == b"x" * bite
            await sending

    run(test())


@pytest.mark.slow
@pytest.mark.parametrize("half_closed", [False, True])
def test_zero_is_never(engine: Engine, half_closed: bool) -> None:
    """With a time of 0 a connection may wait for ever, while another kind of waiting still has its limit."""
    timeouts = Timeouts(SHORT_S / 2, 0.0) if half_closed else Timeouts(0.0, SHORT_S / 2)

    async def test() -> None:
        async with Bench(engine, timeouts).relayed() as it:
            if half_closed:
                it.client.finish()
                await it.pod.rest()
            await asyncio.sleep(SHORT_S * 2)
            await it.pod.send(b"at last")

            assert await it.client.receive(7) == b"at last"

    run(test())


@pytest.mark.slow
@pytest.mark.parametrize("first", ["client", "pod"])
def test_quiet_before_the_fin(engine: Engine, first: Who) -> None:
    """The half-close time begins with the FIN: a reply after a long silence and a FIN still arrives."""

    async def test() -> None:
        async with Bench(engine, Timeouts(60.0, SHORT_S * 2)).relayed() as it:
            one, other = ends(it, first)
            await one.send(b"question")
            assert await other.receive(8) == b"question"
            await asyncio.sleep(SHORT_S * 3)
            one.finish()
            await asyncio.sleep(SHORT_S / 4)
            await other.send(b"answer")

            assert await one.receive(6) == b"answer"

    run(test())
