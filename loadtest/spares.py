"""Measures what spares save a client whose pods are far away: `python -m loadtest.spares`, as root.

Clients come one after the other at uneven times, ask at once, and wait for the first byte. The pods are 20 ms
away, there and back, behind a network device (TUN); `unshare -n sh -c 'ip link set lo up; exec …'` keeps that
to itself. The proxy's CPU time is that of all its threads, checks included.
"""

import argparse
import asyncio
import os
import sys
from statistics import quantiles
from subprocess import PIPE, Popen
from time import monotonic

import uvloop

from loadtest.idle import Process
from tests.datapath.far_pods import NETWORK
from tests.support.process import running

PODS = 6
SETTINGS = "0", "1", "2", "auto"
UNUSED = "expired", "closed", "spoken", "dropped", "failed"


async def ask(address: tuple[str, int]) -> float:
    """Seconds from the connect to the first byte of the answer."""
    began = monotonic()
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"?")
    assert await reader.read(1) == b"x"
    took_s = monotonic() - began
    writer.close()
    return took_s


async def ask_all(address: tuple[str, int], rate: float, count: int) -> list[float]:
    asking = []
    due = monotonic()
    for number in range(count):
        due += (0.5 + number * 0.618034 % 1) / rate  # the same times in each run
        await asyncio.sleep(max(0.0, due - monotonic()))
        asking.append(asyncio.create_task(ask(address)))
    return await asyncio.gather(*asking)


async def measure(spares: str, relay: str, rate: float, count: int) -> None:
    target = "static://" + ",".join(f"{NETWORK}.{host}:80" for host in range(2, 2 + PODS))
    async with running(TARGET=target, SPARE_CONNECTIONS=spares, RELAY=relay) as proxy:
        await asyncio.sleep(1.5)
        process = Process(proxy.child.pid)
        cpu_s = process.cpu_s()
        cuts = [cut * 1000 for cut in quantiles(await ask_all(proxy.address, rate, count), n=100)]
        cpu_us = (process.cpu_s() - cpu_s) / count * 1e6
        used = await proxy.metric("headway_spares_total", result="used")
        unused = await proxy.metric("headway_spares")
        unused += sum([await proxy.metric("headway_spares_total", result=each) for each in UNUSED])
    times = f"{cuts[49]:.1f} | {cuts[89]:.1f} | {cuts[98]:.1f}"
    print(f"| {relay} | {spares} | {times} | {used / count:.0%} | {unused:.0f} | {cpu_us:.0f} |")


async def measure_all(rate: float, count: int) -> None:
    for relay in ("native", "asyncio"):
        for spares in SETTINGS:
            await measure(spares, relay, rate, count)


def main(rate: float, count: int, away_ms: float) -> None:
    command = [sys.executable, "-m", "tests.datapath.far_pods", str(os.getpid()), str(away_ms)]
    with Popen(command, stdin=PIPE, stdout=PIPE, bufsize=0) as far:
        assert far.stdin and far.stdout
        assert far.stdout.readline() == b"up\n"
        print(
            f"{PODS} pods {away_ms:g} ms away, {count} connections, {rate:g} a second; ms to the first byte\n"
        )
        print(
            "| relay | SPARE_CONNECTIONS | p50 | p90 | p99 | found one | dialled for nothing | CPU µs each |"
        )
        print("|---|---|---|---|---|---|---|---|", flush=True)
        uvloop.run(measure_all(rate, count))
        far.stdin.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--away-ms", type=float, default=20.0)
    options = parser.parse_args()
    main(options.rate, options.count, options.away_ms)
