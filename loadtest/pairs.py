"""Measures what an idle relayed connection costs in resident memory: `python -m loadtest.pairs`.

The relay alone, without a session around it. Both its sockets are connected to each other, so that a process
may hold as many as its descriptors allow; what the kernel needs for them is not counted.
"""

import argparse
import asyncio
import gc
import multiprocessing
import os
import socket
from collections.abc import Callable

import uvloop

from proxy.clock import SystemClock
from proxy.datapath.relay import Timeouts
from proxy.datapath.relay_asyncio import AsyncioRelay
from proxy.datapath.relay_native import NativeEngine, NativeRelay
from proxy.observe.counters import ServiceCounters

HOUR = Timeouts(3600.0, 60.0)
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def connected() -> tuple[socket.socket, socket.socket]:
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    return one, other


async def asyncio_tasks(count: int) -> object:
    relay = AsyncioRelay(HOUR, ServiceCounters(), SystemClock())
    return [asyncio.create_task(relay.run(*connected(), _ignore, 0.0)) for _ in range(count)]


async def native_tasks(count: int) -> object:
    relay = NativeRelay(NativeEngine(), HOUR, ServiceCounters())
    return [asyncio.create_task(relay.run(*connected(), _ignore, 0.0)) for _ in range(count)]


async def native_callbacks(count: int) -> object:
    relay = NativeRelay(NativeEngine(), HOUR, ServiceCounters())
    for _ in range(count):
        relay.start(*connected(), _ignore, _ignore, 0.0)
    return relay


def _ignore(_: object) -> None:
    pass


def measure(kind: Callable[[int], object], count: int) -> None:
    async def story() -> None:
        before = resident()
        kept = await kind(count)  # type: ignore[misc]
        await asyncio.sleep(0.5)
        print(
            f"{kind.__name__:17} {(resident() - before) / count:6.0f} bytes each, {count} of them", flush=True
        )
        os._exit(0 if kept else 1)

    uvloop.run(story())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=9000)
    options = parser.parse_args()
    for each in (asyncio_tasks, native_tasks, native_callbacks):
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(each, options.pairs))
        process.start()
        process.join()
