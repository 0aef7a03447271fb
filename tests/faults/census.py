"""Counts what is alive in a running proxy.

`python -m tests.faults.census` is `python -m proxy`, but that SIGUSR1 makes it print a line with its tasks
and the objects that must not outlive a connection.
"""

import asyncio
import gc
import json
import os
import runpy
import signal
from collections import Counter
from contextlib import suppress
from types import FrameType
from typing import Any, NamedTuple

from tests.support import until
from tests.support.process import Proxy

WORD = "census: "
COUNTED = ("Session", "Lease", "Pair", "_Attempt")  # classes of proxy.datapath and proxy.pool


class Census(NamedTuple):
    """`fds`: by what they are, sockets and pipes without their numbers."""

    fds: Counter[str]
    tasks: Counter[str]
    objects: dict[str, int]
    resident_mib: float


def countable(variables: dict[str, str]) -> Proxy:
    """A proxy that `census` can be taken of."""
    proxy = Proxy(variables)
    proxy.arguments = ("-m", "tests.faults.census")
    return proxy


async def census(proxy: Proxy) -> Census:
    """Of a countable proxy, now."""
    before = proxy.log.count(WORD)
    proxy.signal(signal.SIGUSR1)
    await until(lambda: proxy.log.count(WORD) > before)
    line = next(line for line in reversed(proxy.child.tail) if line.startswith(WORD))
    said = json.loads(line.removeprefix(WORD))
    return Census(descriptors(proxy.child.pid), Counter(said["tasks"]), said["objects"], proxy.resident_mib())


def descriptors(pid: int) -> Counter[str]:
    folder = f"/proc/{pid}/fd"
    kinds: Counter[str] = Counter()
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):  # closed meanwhile
            kinds[os.readlink(f"{folder}/{name}").partition(":")[0]] += 1
    return kinds


def _say(number: int, frame: FrameType | None) -> None:
    gc.collect()  # what only waits to be collected is no leak
    loop = asyncio.get_running_loop()
    tasks = Counter(task.get_name() for task in asyncio.all_tasks(loop))
    kinds = map(type, gc.get_objects())
    counts = Counter(kind.__name__ for kind in kinds if kind.__module__.startswith("proxy."))
    said: dict[str, Any] = {"tasks": tasks, "objects": {name: counts[name] for name in COUNTED}}
    print(WORD + json.dumps(said), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _say)
    runpy.run_module("proxy", run_name="__main__")
