"""Runs simulated time: processes sleep by yielding seconds, and are woken in order."""

from collections.abc import Generator
from heapq import heappop, heappush
from itertools import count

Process = Generator[float, None, None]


class Timeline:
    """Also the clock of every pool. `current` is the process that runs."""

    def __init__(self) -> None:
        self.time = 0.0
        self.events = 0
        self.current: Process | None = None
        self._sleeping: list[tuple[float, int, Process]] = []
        self._numbers = count()  # who fell asleep first wakes first

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError("a process yields instead")

    def begin(self, process: Process) -> None:
        """Run it up to its first sleep."""
        outer = self.current
        self._step(process)
        self.current = outer

    def wake(self, process: Process, after_s: float = 0.0) -> None:
        """Whoever sleeps is woken now, instead of when it wanted, if it ends then: once more does no harm."""
        heappush(self._sleeping, (self.time + after_s, next(self._numbers), process))

    def run(self, until: float) -> None:
        sleeping = self._sleeping
        while sleeping and sleeping[0][0] <= until:
            self.time, _, process = heappop(sleeping)
            self._step(process)
        self.time = until

    def _step(self, process: Process) -> None:
        self.events += 1
        self.current = process
        seconds = next(process, None)
        if seconds is not None:
            heappush(self._sleeping, (self.time + seconds, next(self._numbers), process))
