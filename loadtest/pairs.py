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
from proxy.datapath.connector import Connector
from proxy.datapath.relay import End, Relay, Timeouts
from proxy.datapath.relay_asyncio import AsyncioRelay
from proxy.datapath.relay_native import NativeEngine, NativeRelay
from proxy.datapath.sockets import Tuning
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


class Deaf:
    def answered(self, connect_s: float, waited_s: float, unasked: bool) -> None: ...
    def ended(self, end: End) -> None: ...


def fill(relay: Relay, count: int) -> Relay:
    for _ in range(count):
        client, pod = connected()
        relay.start(client.detach(), pod, Deaf(), connect_within_s=60.0, retry_before=0.0)
    return relay


async def over_asyncio(count: int) -> Relay:
    return fill(AsyncioRelay(HOUR, Connector(Tuning()), ServiceCounters(), SystemClock()), count)


async def native(count: int) -> Relay:
    return fill(NativeRelay(NativeEngine(), HOUR, Tuning(), ServiceCounters()), count)


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
    for each in (over_asyncio, native):
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(each, options.pairs))
        process.start()
        process.join()
