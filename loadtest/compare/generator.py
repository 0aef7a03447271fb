"""Builds the load generator and runs it. What it measures is in the C files beside.

One small program of our own, because no other does all of this work: an open loop that sends when a request
is due, a new connection for each request with its latency, bulk both ways, and the CPU time of the processes
watched, taken at the very edges of the window in which requests are counted. wrk has none of these, and took
9.2 to 10.2 µs of CPU for a request over one of 64 kept connections where this took 7.4 to 8.7.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from loadtest.compare.arithmetic import Histogram
from proxy.model import Address

SOURCES = Path(__file__).parent / "generator"
FLAGS = ("-std=gnu11", "-D_GNU_SOURCE", "-O2")
GRACE_S = 30.0  # beyond the time that a run takes

Mode = Literal["kept", "fresh", "open", "upload"]


class GeneratorError(Exception):
    """The load could not be made; the message is the generator's."""


class Outcome(msgspec.Struct):
    """What came of a load, within its window."""

    seconds: float
    requests: int
    bytes: int
    errors: int
    wrong: int
    unanswered: int
    own_cpu: float
    cpu: list[float]  # of the processes watched
    latency: Histogram
    late: Histogram  # by how much the generator itself was late to send what was due


@dataclass(frozen=True)
class Window:
    seconds: float
    warm_up: float
    seed: int


@dataclass(frozen=True)
class Load:
    """What to send. The rate is that of an open loop."""

    mode: Mode
    connections: int
    path: str = "/"
    rate: float = 0.0


def build(directory: Path, flags: Sequence[str] = FLAGS) -> None:
    """Raises GeneratorError where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise GeneratorError(
            "there is no C compiler to build the load generator with (Debian: gcc libc6-dev)"
        )
    parts = [SOURCES / f"{name}.c" for name in ("main", "connection", "schedule", "histogram")]
    for program, sources in {"generator": parts, "sink": [SOURCES / "sink.c"]}.items():
        command = [compiler, *flags, "-o", str(directory / program), *map(str, sources), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise GeneratorError(f"the load generator does not compile:\n{done.stderr}")


class Generator:
    def __init__(self, directory: Path) -> None:
        self._program = directory / "generator"

    async def run(self, load: Load, window: Window, to: Address, watch: Sequence[int] = ()) -> Outcome:
        child = await self._start(
            *("--mode", load.mode, "--connections", str(load.connections), "--path", load.path),
            *("--rate", str(load.rate), "--seed", str(window.seed), "--seconds", str(window.seconds)),
            *("--warm-up", str(window.warm_up), "--ip", to.ip, "--port", str(to.port)),
            *(word for pid in watch for word in ("--watch", str(pid))),
        )
        try:
            async with asyncio.timeout(window.warm_up + window.seconds + GRACE_S):
                said, complaint = await child.communicate()
        except TimeoutError:
            raise GeneratorError(f"the generator did not end in {GRACE_S:g} s") from None
        finally:
            if child.returncode is None:
                child.kill()
        if child.returncode:
            raise GeneratorError(complaint.decode().strip())
        return msgspec.json.decode(said, type=Outcome)

    @asynccontextmanager
    async def holding(self, connections: int, to: Address) -> AsyncIterator[None]:
        """So many connections, idle after a request each."""
        child = await self._start(
            *("--mode", "hold", "--connections", str(connections), "--ip", to.ip, "--port", str(to.port))
        )
        assert child.stdout is not None and child.stdin is not None
        try:
            async with asyncio.timeout(GRACE_S):
                if await child.stdout.readline() != b"held\n":
                    raise GeneratorError((await child.communicate())[1].decode().strip())
            yield
        finally:
            child.stdin.close()
            if child.returncode is None:
                child.kill()
            await child.wait()

    async def _start(self, *words: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            os.fspath(self._program), *words, stdin=pipe, stdout=pipe, stderr=pipe
        )
