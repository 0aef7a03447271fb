"""When the process may end after it was asked to, and what it says meanwhile."""

import asyncio
import logging

import pytest

from proxy.datapath.drain import Drain
from proxy.datapath.slots import Slots
from tests.support.virtual import LoopClock, in_virtual_time

START = 1000.0  # what a loop in virtual time shows at first


def now() -> float:
    return asyncio.get_running_loop().time() - START


class Draining:
    """A drain under way, of a process with so many connections open."""

    def __init__(
        self, used: int, timeout_s: float = 25.0, quiet_s: float = 1.0, *, shared: bool = False
    ) -> None:
        clock = LoopClock()
        self.slots = Slots(100, clock)
        for _ in range(used):
            self.slots.take()
        self.in_backlog = 0
        self.drain = Drain(self.slots, timeout_s, quiet_s, clock, self.take_all, self.leave)
        self.left_at: float | None = None
        self._shared = shared  # somebody else has all sockets, too
        self.task = asyncio.create_task(self.drain.run())

    def take_all(self) -> None:
        while self.in_backlog:
            self.in_backlog -= 1
            self.slots.take()

    def leave(self) -> bool:
        self.left_at = self.left_at or now()
        return self._shared

    async def ends(self) -> float:
        """When it does."""
        await self.task
        return now()


def test_nobody_is_there() -> None:
    """Nothing happens before it is asked for; then it ends once nobody has come for the quiet time."""

    async def test() -> None:
        it = Draining(0)
        await asyncio.sleep(10)
        assert not it.task.done()
        assert it.drain.progress == ""
        it.drain.ask()

        assert await it.ends() == pytest.approx(11, abs=0.2)

    in_virtual_time(test())


def test_one_more_at_the_last_moment() -> None:
    """Who waits to be accepted when the quiet time is over is served first, and it is no longer over."""

    async def test() -> None:
        it = Draining(0)
        it.in_backlog = 1
        it.drain.ask()
        await asyncio.sleep(5)
        assert not it.task.done()
        it.slots.release()

        assert await it.ends() == pytest.approx(6, abs=0.2)

    in_virtual_time(test())


def test_until_the_last_one_has_left() -> None:
    """While a connection is open it goes on, and a second after the last one has ended."""

    async def test() -> None:
        it = Draining(1)
        it.drain.ask()
        await asyncio.sleep(10)
        it.slots.release()
        await asyncio.sleep(0.5)
        it.slots.take()  # one more came
        await asyncio.sleep(2)
        it.slots.release()

        assert await it.ends() == pytest.approx(13.5, abs=0.2)

    in_virtual_time(test())


def test_the_latest_end(caplog: pytest.LogCaptureFixture) -> None:
    """Its time is over whoever is left; how many are is said every few seconds, and to whoever asks."""
    caplog.set_level(logging.INFO)

    async def test() -> None:
        it = Draining(3, timeout_s=12.0)
        it.drain.ask()
        await asyncio.sleep(3)
        assert it.drain.progress == "draining, 3 connections open, 9 s left"
        it.slots.release()
        it.drain.ask()  # for the second time: it has no more time for that

        assert await it.ends() == pytest.approx(12, abs=0.2)

    in_virtual_time(test())

    assert [record.getMessage() for record in caplog.records] == [
        "draining, 3 connections open, 12 s left, still accepting",
        "draining, 2 connections open, 7 s left",
        "draining, 2 connections open, 2 s left",
        "ending: 2 connections still open: those at rest are closed, the others reset",
    ]


def test_the_next_process_takes_over() -> None:
    """The last ones have the quiet time to be done; when they are nobody is kept waiting any longer."""

    async def test() -> None:
        it = Draining(1, timeout_s=12.0, quiet_s=2.0, shared=True)
        it.drain.ask()
        await asyncio.sleep(10.5)
        assert it.left_at == pytest.approx(10, abs=0.2)
        it.slots.release()

        assert await it.ends() == pytest.approx(10.5, abs=0.2)

    in_virtual_time(test())


def test_nobody_takes_over() -> None:
    """Who comes to sockets of our own is served until the latest end."""

    async def test() -> None:
        it = Draining(1, timeout_s=12.0, quiet_s=2.0)
        it.drain.ask()
        await asyncio.sleep(10.5)
        it.slots.release()
        await asyncio.sleep(1)
        it.slots.take()

        assert await it.ends() == pytest.approx(12, abs=0.2)

    in_virtual_time(test())


@pytest.mark.parametrize("asked_before", [True, False])
def test_at_once(asked_before: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever is in a hurry need not wait, drain or not; and no time is promised that nobody is given."""
    caplog.set_level(logging.INFO)

    async def test() -> None:
        it = Draining(3)
        if asked_before:
            it.drain.ask()
        await asyncio.sleep(2)
        it.drain.ask_at_once()

        assert await it.ends() == pytest.approx(2, abs=0.01)

    in_virtual_time(test())

    assert ("still accepting" in caplog.text) is asked_before
