"""Tells the time: the only place that asks the operating system for it."""

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """The real clock. Tests pass their own, with the same methods."""

    # Seconds on a clock that never jumps; only differences mean something. Without a frame of its own: it is
    # asked eight times for each connection.
    now = staticmethod(time.monotonic)

    def date(self, moment: float) -> datetime:
        """What the calendar said at `moment` of now(), going by what it says at present."""
        return datetime.fromtimestamp(time.time() - time.monotonic() + moment, UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
