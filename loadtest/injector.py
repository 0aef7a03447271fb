"""Measures how long the injector takes for reviews at a steady rate: `python -m loadtest.injector`."""

import argparse
import asyncio
import gc
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from statistics import quantiles
from time import perf_counter

import aiohttp

from proxy.injector.authority import Pair
from tests.injector.scenes import NAMES, TARGET, asking, new_pair, pod, put, trusting

COMMAND = "import typer; from proxy.injector.command import injector; typer.run(injector)"
WARM_UP = 50
ENV = [{"name": f"SETTING_{number}", "value": "x" * 40} for number in range(40)]
UP_ON = re.compile(r"is up on 127\.0\.0\.1:(\d+)")


def bodies() -> list[bytes]:
    """Three of four pods ask for a sidecar; all have the environment that pods tend to have."""
    base = pod()["spec"]["containers"][0]
    spec = {
        "containers": [{**base, "env": ENV}],
        "initContainers": [{**base, "name": "migrate", "ports": []}],
    }
    asks = [TARGET, TARGET, {**TARGET, "headway.dev/balancer": "random"}, {}]
    return [json.dumps(asking(pod(annotations, **spec))).encode() for annotations in asks]


async def measure(rate: float, seconds: float, fresh: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        pair = new_pair()
        put(Path(directory), pair)
        ports = ["--listen=127.0.0.1:0", "--telemetry=127.0.0.1:0", f"--certificates={directory}"]
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", COMMAND, *ports, "--drain=0", stderr=asyncio.subprocess.PIPE
        )
        try:
            await _against(child, pair, rate, seconds, fresh)
        finally:
            child.terminate()
            await child.wait()


async def _against(
    child: asyncio.subprocess.Process, pair: Pair, rate: float, seconds: float, fresh: bool
) -> None:
    assert child.stderr is not None
    port = ""
    while not port:
        line = (await child.stderr.readline()).decode()
        if not line:
            raise SystemExit("the injector did not start")
        found = UP_ON.search(line)
        port = found[1] if found else ""
    drained = asyncio.create_task(child.stderr.read())
    connector = aiohttp.TCPConnector(ssl=trusting(pair), limit=0, force_close=fresh)
    async with aiohttp.ClientSession(connector=connector) as session:
        times, late = await _post(session, f"https://127.0.0.1:{port}/inject?timeout=5s", rate, seconds)
    _show(times, late, seconds, fresh, child.pid)
    drained.cancel()


async def _post(
    session: aiohttp.ClientSession, url: str, rate: float, seconds: float
) -> tuple[list[float], list[float]]:
    """Reviews begin when they are due, whatever became of those before: a stall is seen by all that wait.

    With the times come those by which this process itself was late: that is the machine, not the injector.
    """
    sent = bodies()
    times: list[float] = []
    late: list[float] = []

    async def one(number: int, due: float) -> None:
        await asyncio.sleep(due - perf_counter())
        late.append(perf_counter() - due)
        async with session.post(url, data=sent[number % len(sent)], server_hostname=NAMES[0]) as response:
            await response.read()
            response.raise_for_status()
        times.append(perf_counter() - due)

    began = perf_counter() + 0.2
    await asyncio.gather(*(one(number, began + number / rate) for number in range(WARM_UP)))
    times.clear()
    late.clear()
    gc.collect()
    gc.freeze()  # its own collections are no part of the answer
    began = perf_counter() + 0.2
    await asyncio.gather(*(one(number, began + number / rate) for number in range(int(rate * seconds))))
    return times, late


def _show(times: list[float], late: list[float], seconds: float, fresh: bool, pid: int) -> None:
    cuts, lateness = quantiles(times, n=100), quantiles(late, n=100)
    ticks = os.sysconf("SC_CLK_TCK")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    resident = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert resident is not None
    how = "a new TLS connection for each" if fresh else "connections are kept, as API servers do"
    print(f"{len(times)} reviews in {seconds:g} s, {how}, {len(bodies()[0])} bytes each")
    print(f"  p50 {cuts[49] * 1000:.1f} ms  p99 {cuts[98] * 1000:.1f} ms  max {max(times) * 1000:.1f} ms")
    own = f"p50 {lateness[49] * 1000:.1f} ms  p99 {lateness[98] * 1000:.1f} ms"
    print(f"  by which this client itself began late: {own}")
    _, waiting_ns, _ = map(int, Path(f"/proc/{pid}/schedstat").read_text().split())
    cpu = f"CPU {(int(fields[11]) + int(fields[12])) / ticks:.1f} s"
    print(f"  {cpu}, waited {waiting_ns / 1e9:.1f} s for one that was free, start included")
    print(f"  resident {int(resident[1]) / 1024:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--fresh", action="store_true", help="a new connection for each review")
    options = parser.parse_args()
    asyncio.run(measure(options.rate, options.seconds, options.fresh))
