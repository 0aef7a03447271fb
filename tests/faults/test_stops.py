"""Processes that stand still, or get crumbs: SIGSTOP, a CPU limit, a memory limit. Nobody else is blamed."""

import asyncio
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from proxy.demo.cluster import Cluster
from proxy.demo.dns import DnsServer
from tests.faults.pods import pods, target
from tests.faults.sessions import GREETING, Traffic, call, play_for
from tests.support import run, until
from tests.support.process import RELAYS, Proxy, running, up

pytestmark = pytest.mark.slow

HASTY = {"CONNECT_TIMEOUT": "100ms", "CONNECT_DEADLINE": "500ms"}
HASTY |= {
    "HEALTH_INTERVAL": "100ms",
    "HEALTH_TIMEOUT": "50ms",
    "HEALTH_FALL": "1",
    "HEALTH_PASSIVE_FIRST": "false",
}
CGROUPS = Path("/sys/fs/cgroup")
IN_CGROUP = """
import os, pathlib, runpy, sys
for group in sys.argv[1:]:
    pathlib.Path(group, "cgroup.procs").write_text(str(os.getpid()))
sys.argv[1:] = []
runpy.run_module("proxy", run_name="__main__")
"""


@pytest.mark.parametrize("relay", RELAYS)
def test_the_proxy_stands_still(relay: str) -> None:
    """For longer than each of its timeouts, again and again: no session suffers, and no pod is blamed."""

    async def story() -> None:
        traffic = Traffic(Random(7))
        settings = HASTY | {"RELAY": relay}
        async with pods(*[traffic.serve] * 3) as some, running(TARGET=target(some), **settings) as proxy:
            playing = asyncio.create_task(play_for(1.5, traffic, proxy.address))
            while not playing.done():
                await asyncio.sleep(0.1)
                proxy.signal(signal.SIGSTOP)
                await asyncio.sleep(0.3)
                proxy.signal(signal.SIGCONT)
            await playing

            assert traffic.verdicts["complete"] > 10
            assert not traffic.faults, traffic.first_faults
            assert await proxy.metric("headway_endpoints", state="ready") == 3
            assert await proxy.metric("headway_ejections_total") == 0
            assert await proxy.metric("headway_health_checks_total", result="failed") == 0

    run(story())


def test_a_pod_stands_still() -> None:
    """Its kernel goes on accepting: what it holds waits, and is not lost. The others are served meanwhile."""

    async def story() -> None:
        async with DnsServer() as dns:
            cluster = Cluster(dns, 2)
            try:
                stopped, other = await cluster.start(2, "serving")
                everyone = ",".join(f"{pod.ip}:{cluster.port}" for pod in (stopped, other))
                async with running(TARGET=f"static://{everyone}", BALANCER="round_robin") as proxy:
                    stopped.child.signal(signal.SIGSTOP)
                    clients = [call(proxy.address) for _ in range(20)]
                    for client in clients:
                        await client.send(b"GET / HTTP/1.1\r\n\r\n")
                    replies = [asyncio.create_task(client.rest()) for client in clients]
                    await until(lambda: sum(reply.done() for reply in replies) == 10)
                    stopped.child.signal(signal.SIGCONT)
                    names = [(await reply).split()[-3] for reply in replies]
                    assert names.count(stopped.name.encode()) == names.count(other.name.encode()) == 10
                    for client in clients:
                        client.close()
                    assert await proxy.metric("headway_ejections_total") == 0
            finally:
                await cluster.close()

    run(story())


@contextmanager
def cgroup(controller: str, file: str, limit: str) -> Iterator[Path]:
    """A new control group of version 1 with this limit; gone when its processes are."""
    group = CGROUPS / controller / f"headway-test-{secrets.token_hex(4)}"
    try:
        group.mkdir()
        (group / file).write_text(limit)
    except OSError as error:
        pytest.skip(f"no control group to be had: {error}")
    try:
        yield group
    finally:
        while True:
            try:
                group.rmdir()
                break
            except OSError:  # it is not quite gone
                time.sleep(0.01)


def test_next_to_no_cpu() -> None:
    """A twentieth of a core: slow, but no session fails and no pod is out, though checks have 50 ms only."""

    async def story(group: Path) -> None:
        traffic = Traffic(Random(7))
        async with pods(*[traffic.serve] * 3) as some, running(TARGET=target(some), **HASTY) as proxy:
            (group / "cgroup.procs").write_text(str(proxy.child.pid))
            await traffic.play(proxy.address, 100, at_once=10)

            assert int(found(group / "cpu.stat", "nr_throttled")) > 0
            assert not traffic.faults, traffic.first_faults
            (group.parent / "cgroup.procs").write_text(str(proxy.child.pid))
            assert await proxy.metric("headway_endpoints", state="ready") == 3
            assert await proxy.metric("headway_ejections_total") == 0

    with cgroup("cpu", "cpu.cfs_quota_us", "5000") as group:
        run(story(group))


@pytest.mark.parametrize("relay", RELAYS)
def test_a_memory_limit(relay: str) -> None:
    """In 64 MiB it knows by itself how many connections fit, lets the others wait, and is not killed."""

    async def story(group: Path) -> None:
        traffic = Traffic(Random(7))
        async with pods(*[traffic.serve] * 3) as some:
            proxy = Proxy({"TARGET": target(some), "RELAY": relay})
            proxy.arguments = "-c", IN_CGROUP, str(group)
            async with up(proxy):
                most = int(await proxy.metric("headway_connections_max"))
                inside = [call(proxy.address) for _ in range(most)]
                for peer in inside:
                    assert await peer.receive(1) == GREETING
                outside = asyncio.create_task(traffic.play(proxy.address, 200))
                await proxy.logs("no room for more")
                assert f"room for {most} connections (memory)" in proxy.log
                assert (await proxy.page("/readyz")).status == 200
                for peer in inside:
                    peer.close()
                await outside

                assert not traffic.faults, traffic.first_faults
                assert int(found(group / "memory.oom_control", "oom_kill")) == 0

    with cgroup("memory", "memory.limit_in_bytes", str(64 << 20)) as group:
        run(story(group))


def found(file: Path, word: str) -> str:
    """What stands behind the word in a file of `word value` lines."""
    return next(line.split()[1] for line in file.read_text().splitlines() if line.startswith(word + " "))
