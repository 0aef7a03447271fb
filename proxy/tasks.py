"""Starts background tasks that are neither collected early nor allowed to die unheard."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from proxy.model import Clock

T = TypeVar("T")

log = logging.getLogger("headway.tasks")

RESTART_AFTER_S = 1.0

# The loop itself keeps only weak references to tasks: one that nobody holds may vanish mid-flight.
_running: set[asyncio.Task[Any]] = set()


def spawn(coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Run `coro` in the background; a crash is logged with its traceback."""
    task = asyncio.create_task(coro, name=name)
    _running.add(task)
    task.add_done_callback(_finished)
    return task


def _finished(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (crash := task.exception()) is not None:
        log.error("task %s crashed", task.get_name(), exc_info=crash)


async def keep_running(loop: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Run `loop` for ever, anew after a crash: traffic must not wait for somebody to read the log."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("a background loop crashed; it starts again in %g s", RESTART_AFTER_S)
        await clock.sleep(RESTART_AFTER_S)
