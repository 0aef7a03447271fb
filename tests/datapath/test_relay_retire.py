"""Every relay: those it is asked to retire end once they are at rest, the oldest first, and no others."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from proxy.datapath.relay import Timeouts
from proxy.model import EndReason
from tests.datapath.relays import Bench, Engine, Relayed
from tests.support import run

pytestmark = pytest.mark.slow

QUIET_S = 0.05
LIVES = Timeouts(0.0, 0.0, 0.0, QUIET_S)
LONG_S = 30.0


async def asks(it: Relayed) -> None:
    """The client has the last word."""
    await it.client.send(b"question")
    assert await it.pod.receive(8) == b"question"


async def is_answered(it: Relayed) -> None:
    await it.pod.send(b"answer")
    assert await it.client.receive(6) == b"answer"


async def ends_cleanly(it: Relayed) -> None:
    """It ends by a FIN on both sides."""
    assert await it.client.rest() == b""
    assert await it.pod.rest() == b""
    assert (await it.end()).reason is EndReason.REBALANCED


def test_the_oldest_of_one_owner(engine: Engine) -> None:
    """As many as wished, of those that began in time, the oldest first; nobody else hears of it."""

    async def test() -> None:
        bench, mine, others = Bench(engine, LIVES), object(), object()
        async with AsyncExitStack() as open_ones:
            owners = (others, mine, mine, mine)
            foreign, first, second, third = [
                await open_ones.enter_async_context(bench.relayed(owner=owner)) for owner in owners
            ]
            await asyncio.sleep(2 * QUIET_S)
            before = time.monotonic()
            late = await open_ones.enter_async_context(bench.relayed(owner=mine))
            assert bench.relay.retire({mine: 2}, before, LONG_S) == 2

            await ends_cleanly(first)
            await ends_cleanly(second)
            await asyncio.sleep(2 * QUIET_S)
            assert bench.relay.retire({mine: 2}, before, LONG_S) == 1
            await ends_cleanly(third)
            await asyncio.sleep(2 * QUIET_S)
            assert not (foreign.task.done() or late.task.done())

    run(test())


def test_who_is_busy_is_waited_for(engine: Engine) -> None:
    """An unanswered question keeps it; soon after the answer it ends, if the time for that is not over."""

    async def test() -> None:
        bench, owner = Bench(engine, LIVES), object()
        async with bench.relayed(owner=owner) as patient, bench.relayed(owner=owner) as late:
            await asks(patient)
            await asks(late)
            assert bench.relay.retire({owner: 1}, time.monotonic(), LONG_S) == 1
            assert bench.relay.retire({owner: 1}, time.monotonic(), 2 * QUIET_S) == 1
            await asyncio.sleep(4 * QUIET_S)
            assert not patient.task.done()
            await is_answered(patient)
            await is_answered(late)

            await ends_cleanly(patient)
            await asyncio.sleep(4 * QUIET_S)
            assert not late.task.done()

    run(test())


def test_who_was_asked_in_vain_is_asked_last(engine: Engine) -> None:
    """A stream that never rests does not keep those behind it from being asked."""

    async def test() -> None:
        bench, owner = Bench(engine, LIVES), object()
        async with bench.relayed(owner=owner) as busy, bench.relayed(owner=owner) as idle:
            await asks(busy)
            await asyncio.sleep(2 * QUIET_S)
            for _ in range(2):
                assert bench.relay.retire({owner: 1}, time.monotonic(), QUIET_S) == 1

            await ends_cleanly(idle)
            assert not busy.task.done()
            assert bench.relay.retire({owner: 5}, time.monotonic(), LONG_S) == 1
            await is_answered(busy)
            await ends_cleanly(busy)

    run(test())
