"""A loop whose time jumps to the next timer: an hour of checks takes milliseconds, always the same ones."""

import asyncio
import os
import selectors
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
Ready = list[tuple[selectors.SelectorKey, int]]

HOPS = 6  # a TCP handshake with the first bytes behind it takes fewer


class Loopback:
    """Knows when all that was sent over loopback has come, however long the kernel had to wait for a core.

    What one CPU sends to itself waits in one queue: behind it comes a probe. This thread stays on one CPU.
    """

    def __init__(self) -> None:
        self._probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._probe.bind(("127.0.0.1", 0))
        self._probe.connect(self._probe.getsockname())

    def settle(self) -> None:
        for _ in range(HOPS):  # what has come may have been answered by the kernel itself
            self._probe.send(b"")
            self._probe.recv(1)

    @classmethod
    @contextmanager
    def on_one_cpu(cls) -> Iterator["Loopback"]:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(before)})
        made = cls()
        try:
            yield made
        finally:
            made._probe.close()
            os.sched_setaffinity(0, before)


class _Jump(selectors.DefaultSelector):
    """Where nothing is to be read, waiting is a jump of `now`."""

    def __init__(self, loopback: Loopback | None) -> None:
        super().__init__()
        self.now = 1000.0
        self.loopback = loopback
        self.late_s = 1e-6 if loopback else 0.0  # a real timer is never early, not even by rounding
        self.threads = 0  # jobs of the loop's that other threads have

    def select(self, timeout: float | None = None) -> Ready:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.threads or timeout is None:  # the loop ends its threads without a timer
            ready = super().select(10.0)
            assert ready, "the story waits for something that never happens"
            return ready
        if self.loopback is not None:
            self.loopback.settle()
            ready = super().select(0)
        if not ready:
            self.now += max(0.0, timeout) + self.late_s
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, loopback: Loopback | None) -> None:
        self._jump = _Jump(loopback)
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, job: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        self._jump.threads += 1
        doing = super().run_in_executor(executor, job, *args)
        doing.add_done_callback(self._done)
        return doing

    def _done(self, _: asyncio.Future[Any]) -> None:
        self._jump.threads -= 1


class LoopClock:
    """The time of the loop that runs, whichever that is."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def in_virtual_time(story: Coroutine[Any, Any, T], loopback: Loopback | None = None) -> T:
    """Run `story`; tasks that it leaves behind are cancelled."""
    with asyncio.Runner(loop_factory=lambda: _Loop(loopback)) as runner:
        return runner.run(story)


def with_sockets(story: Coroutine[Any, Any, T], within_s: float = 30.0) -> T:
    """The same for a story with real sockets: no timer is early or late, however slow the machine."""

    async def bounded() -> T:
        async with asyncio.timeout(within_s):
            return await story

    with Loopback.on_one_cpu() as loopback:
        return in_virtual_time(bounded(), loopback)


def timers_left() -> int:
    """How many the loop waits for, asyncio's own: who asks counts all that would wake an idle process."""
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return sum(not each.cancelled() for each in timers)
