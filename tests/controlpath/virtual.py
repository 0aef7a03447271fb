"""A loop whose time jumps to the next timer: an hour of checks takes milliseconds, always the same ones."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jump(selectors.DefaultSelector):
    """Where nothing is to be read, waiting is a jump of `now`."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "the story waits for something that never happens"
            self.now += max(0.0, timeout)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


class LoopClock:
    """The time of the loop that runs, whichever that is."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def in_virtual_time(story: Coroutine[Any, Any, T]) -> T:
    """Run `story`; tasks that it leaves behind are cancelled."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(story)
