"""Tells the time: the only place that asks the operating system for it."""

import asyncio
import time


class SystemClock:
    """The real clock. Tests pass their own, with the same methods."""

    def now(self) -> float:
        """Seconds on a clock that never jumps; only differences mean something."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
