"""Measures what an idle sidecar costs, and how soon it is ready: `python -m loadtest.idle`."""

import argparse
import asyncio
import os
import re
from pathlib import Path
from statistics import median
from time import monotonic

from proxy.demo.cluster import SERVICE, Cluster
from proxy.demo.dns import DnsServer
from proxy.demo.sidecar import Sidecar

PODS = 10
SETTLE_S = 7.0  # more than a health interval: every endpoint has had its first check
INTERVAL_S = 5.0  # the defaults of HEALTH_INTERVAL and DNS_INTERVAL
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Process:
    """What /proc says of one process, all threads included."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")

    def resident_mib(self) -> float:
        found = re.search(r"VmRSS:\s+(\d+) kB", (self._proc / "status").read_text())
        assert found is not None
        return int(found[1]) / 1024

    def wakeups(self) -> int:
        """Voluntary context switches: each ends with the thread being woken up."""
        texts = [(task / "status").read_text() for task in (self._proc / "task").iterdir()]
        return sum(int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for text in texts)

    def cpu_s(self) -> float:
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


async def measure(starts: int, seconds: float) -> None:
    async with DnsServer() as dns:
        cluster = Cluster(dns, PODS)
        try:
            cluster.list_in_dns(*await cluster.start(PODS, "serving"))
            await _measure(cluster, dns, starts, seconds)
        finally:
            await cluster.close()


async def _measure(cluster: Cluster, dns: DnsServer, starts: int, seconds: float) -> None:
    ready: list[float] = []
    for number in range(starts):
        sidecar = Sidecar(cluster.port, dns.address, "p2c", INTERVAL_S)
        began = monotonic()
        try:
            await sidecar.start()
            ready.append(monotonic() - began)
            if number == starts - 1:
                assert sidecar.child is not None
                await _watch(Process(sidecar.child.pid), seconds)
        finally:
            await sidecar.close()
    print(f"start to /readyz 200: {median(ready) * 1000:.0f} ms (median of {starts}, DNS answers at once)")


async def _watch(process: Process, seconds: float) -> None:
    await asyncio.sleep(SETTLE_S)
    wakeups, cpu_s = process.wakeups(), process.cpu_s()
    await asyncio.sleep(seconds)
    print(f"idle with {PODS} endpoints of {SERVICE}, over {seconds:g} s:")
    print(f"  resident   {process.resident_mib():.1f} MiB")
    print(f"  wake-ups   {(process.wakeups() - wakeups) / seconds:.1f} a second")
    print(f"  CPU        {(process.cpu_s() - cpu_s) / seconds:.2%} of a core")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    asyncio.run(measure(options.starts, options.seconds))
