"""Runs one process of the demo and makes sure that it never outlives the demo."""

import asyncio
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from proxy.tasks import spawn

GRACE_S = 3.0  # from SIGTERM to SIGKILL
KEPT_LINES = 500
LAST_WORDS = 20  # of these, in a message
PR_SET_PDEATHSIG = 1  # prctl(2)
# Children import the very package that runs here, whatever directory the demo was called from.
HOME = Path(__file__).resolve().parents[2]
# And as it is compiled: what the image has is for its PYTHONOPTIMIZE.
OPTIMISED = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class DemoError(Exception):
    """The demo cannot go on; the message says what happened, for people."""


class Child:
    """A process with its last words. Start it with `Child.start`; end it with `stop`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.tail: deque[str] = deque(maxlen=KEPT_LINES)
        self._process = process
        self._first_line = asyncio.Event()
        self._reading = spawn(self._read(), name=f"demo-output-{name}")

    @classmethod
    async def start(cls, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> "Child":
        """`python ARGUMENTS` with exactly this environment; output and errors go to `tail`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *OPTIMISED,
            *arguments,
            env=dict(env or {}),
            cwd=HOME,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the demo alone, which then ends its children in order
            preexec_fn=_die_with(os.getpid()),
        )
        return cls(name, process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> int | None:
        """The exit status, -n for signal n; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        await asyncio.shield(self._reading)
        return await self._process.wait()

    async def speaks(self, within_s: float = 20.0) -> None:
        """Returns at its first line of output; raises DemoError when none comes."""
        try:
            async with asyncio.timeout(within_s):
                await self._first_line.wait()
        except TimeoutError:
            raise self.failure(f"said nothing for {within_s:g} s") from None
        if not self.tail:
            raise self.failure("ended at once")

    def failure(self, what: str) -> DemoError:
        """An error that carries the process's last words."""
        lines = [*self.tail][-LAST_WORDS:] or ["(it printed nothing)"]
        last_words = "".join(f"\n    {line}" for line in lines)
        status = "" if self.ended is None else f" (exit status {self.ended})"
        return DemoError(f"{self.name} {what}{status}. Its last words:{last_words}")

    def signal(self, number: signal.Signals) -> None:
        if self.ended is None:
            self._process.send_signal(number)

    async def stop(self) -> None:
        """SIGTERM, a grace, SIGKILL. Returns when the process is gone and its output is read."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(GRACE_S):
                await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.wait()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.tail.append(line.decode(errors="replace").rstrip())
            self._first_line.set()
        await self._process.wait()
        self._first_line.set()


def _die_with(parent: int) -> Callable[[], None]:
    """In the child, before exec: ask the kernel for SIGKILL when the demo dies, however it dies."""

    def before_exec() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # it died before prctl could say so

    return before_exec
