"""Runs a program in the background, whose last words are kept in a file, and which never outlives the run."""

import asyncio
import contextlib
import ctypes
import os
import signal
from pathlib import Path

from loadtest.compare import machine
from proxy.model import Address

PR_SET_PDEATHSIG = 1  # prctl(2)
GRACE_S = 3.0
READY_WITHIN_S = 15.0
LAST_WORDS = 15

_libc = ctypes.CDLL(None)


class ProgramError(Exception):
    """It did not do what it was started for; the message has its last words."""


def _die_with_the_run() -> None:
    # Not SIGKILL: nginx's master would leave its workers behind.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Program:
    """One program with its children. Start it with `Program.start`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, log: Path, *command: str) -> "Program":
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the run alone, which then ends its programs in order
                preexec_fn=_die_with_the_run,
            )
        return cls(Path(command[0]).name, process, log)

    def pids(self) -> list[int]:
        return machine.family(self._process.pid)

    async def accepts(self, at: Address, children: int = 0) -> None:
        """Returns when it does, and has so many children. Raises ProgramError when that does not happen."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_WITHIN_S):
                while self._process.returncode is None:
                    if await _accepts(at) and len(self.pids()) > children:
                        return
                    await asyncio.sleep(0.02)
        raise self.failure("did not come up")

    def failure(self, what: str) -> ProgramError:
        lines = self._log.read_text(errors="replace").splitlines()[-LAST_WORDS:]
        return ProgramError("\n    ".join([f"{self.name} {what}. Its last words:", *lines]))

    async def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(GRACE_S):
                await self._process.wait()
        except TimeoutError:
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
            await self._process.wait()


async def _accepts(at: Address) -> bool:
    try:
        _, writer = await asyncio.open_connection(*at)
    except OSError:
        return False
    writer.close()
    return True
