"""Keeps the process serving once it is asked to end, until nobody needs it or its time is over."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from proxy.datapath.slots import Slots
from proxy.model import Clock

log = logging.getLogger("headway")

LOOK_EVERY_S = 0.1
SAY_EVERY_S = 5.0


class Drain:
    """An application that ends still talks (istio#36631): nothing is refused meanwhile."""

    def __init__(
        self,
        slots: Slots,
        timeout_s: float,
        quiet_s: float,
        clock: Clock,
        take_all: Callable[[], None],
        leave: Callable[[], bool],
    ) -> None:
        self._slots = slots
        self._take_all = take_all  # who waits to be accepted
        self._leave = leave  # the sockets that others keep; whether nobody can come any more
        self._timeout_s = timeout_s
        self._quiet_s = quiet_s
        self._clock = clock
        self._asked = asyncio.Event()
        self._asked_at_once = asyncio.Event()
        self._latest = float("inf")

    def ask(self) -> None:
        if not self._asked.is_set():
            self._latest = self._clock.now() + self._timeout_s
            self._asked.set()

    def ask_at_once(self) -> None:
        """Whoever asks twice does not wait."""
        self._asked_at_once.set()
        self.ask()

    @property
    def progress(self) -> str:
        """How it goes, in words; none before it is asked for."""
        if not self._asked.is_set():
            return ""
        left_s = max(0.0, self._latest - self._clock.now())
        return f"draining, {self._slots.used} connections open, {left_s:.0f} s left"

    async def run(self) -> None:
        """Returns when the process may end."""
        await self._asked.wait()
        if not self._is_over:
            log.info("%s, still accepting", self.progress)
        began = say_at = self._clock.now()
        while not self._is_over:
            now = self._clock.now()
            if self._is_quiet(began, now):
                self._take_all()
                if self._is_quiet(began, now):
                    break
            if self._is_late(now) and self._leave() and not self._slots.used:
                break
            if now >= say_at + SAY_EVERY_S:
                say_at = now
                log.info("%s", self.progress)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked_at_once.wait(), LOOK_EVERY_S)
        used = self._slots.used
        rest = ": those at rest are closed, the others reset" if used else ""
        log.info("ending: %d connections still open%s", used, rest)

    @property
    def _is_over(self) -> bool:
        return self._asked_at_once.is_set() or self._clock.now() >= self._latest

    def _is_late(self, now: float) -> bool:
        """Whether who comes after this look would have less than the quiet time."""
        return now > self._latest - self._quiet_s - LOOK_EVERY_S

    def _is_quiet(self, began: float, now: float) -> bool:
        return not self._slots.used and now >= max(began, self._slots.changed_at) + self._quiet_s
