"""Background tasks: none dies unheard, and a loop that crashed runs again."""

import asyncio
import gc
import logging
from weakref import ReferenceType, ref

import pytest

from proxy.tasks import RESTART_AFTER_S, keep_running, spawn
from tests.support import FakeClock, run


def test_a_crash_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A task that fails leaves its name and its traceback in the log, though nobody awaits it."""

    async def crash() -> None:
        raise RuntimeError("out of cheese")

    async def story() -> None:
        spawn(crash(), name="cheese counter")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(story())

    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "task cheese counter crashed")
    assert "RuntimeError: out of cheese" in caplog.text


def test_an_end_and_a_cancellation_are_no_crash(caplog: pytest.LogCaptureFixture) -> None:
    """A task that ends or is told to end is not worth a line."""

    async def story() -> int:
        stopped = spawn(asyncio.sleep(60), name="stopped")
        ended = spawn(asyncio.sleep(0, result=7), name="ended")
        await asyncio.sleep(0)
        stopped.cancel()
        await asyncio.wait([stopped])
        return await ended

    assert run(story()) == 7
    assert caplog.records == []


def test_a_task_that_nobody_holds_runs_to_its_end() -> None:
    """A task survives the garbage collector, although the loop itself holds it weakly."""
    awaited: list[ReferenceType[asyncio.Future[None]]] = []
    ended = asyncio.Event()

    async def wait() -> None:
        future = asyncio.get_running_loop().create_future()
        awaited.append(ref(future))  # task and future hold each other, and nobody else holds either
        await future
        ended.set()

    async def story() -> None:
        spawn(wait(), name="waits")
        await asyncio.sleep(0)
        gc.collect()
        future = awaited[0]()
        assert future is not None
        future.set_result(None)
        await ended.wait()

    run(story(), within_s=1)


def test_a_loop_that_crashes_runs_again(caplog: pytest.LogCaptureFixture) -> None:
    """After a crash the loop is run anew, a second later each time, and each crash is logged."""
    clock = FakeClock(0.0)
    began: list[float] = []
    third = asyncio.Event()

    async def loop() -> None:
        began.append(clock.now())
        if len(began) < 3:
            raise RuntimeError("out of cheese")
        third.set()
        await asyncio.Event().wait()

    async def story() -> bool:
        task = spawn(keep_running(loop, clock), name="loop")
        await third.wait()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(story(), within_s=1)
    assert began == [0.0, RESTART_AFTER_S, 2 * RESTART_AFTER_S]
    assert [record.getMessage() for record in caplog.records] == [
        "a background loop crashed; it starts again in 1 s"
    ] * 2
    assert "RuntimeError: out of cheese" in caplog.text


def test_a_loop_that_returns_runs_again() -> None:
    """A loop that ends though it should not is run anew, without spinning."""
    clock = FakeClock(0.0)
    began: list[float] = []
    third = asyncio.Event()

    async def loop() -> None:
        began.append(clock.now())
        if len(began) == 3:
            third.set()

    async def story() -> None:
        task = spawn(keep_running(loop, clock), name="loop")
        await third.wait()
        task.cancel()

    run(story(), within_s=1)

    assert began[:3] == [0.0, RESTART_AFTER_S, 2 * RESTART_AFTER_S]
