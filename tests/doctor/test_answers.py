"""`headway doctor` and answers that are too large, too old, or not the same twice."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from proxy.demo.dns import DnsServer
from tests.doctor.scene import CLUSTER, IPS, WEB, Cluster, quiet_ips, with_cluster
from tests.support import FakeClock

# --- size ---------------------------------------------------------------------------------------


def everywhere(port: int) -> Any:
    """A pod that listens on every loopback address."""
    return asyncio.start_server(lambda reader, writer: writer.close(), "0.0.0.0", port)


@pytest.mark.slow
@pytest.mark.parametrize("by_srv,fits", [(False, "about 73 pods"), (True, "about 10 pods")])
def test_answers_that_need_tcp(tmp_path: Path, by_srv: bool, fits: str) -> None:
    """Beyond a datagram each poll costs a TCP connection; by SRV that is soon, so the name alone is named."""

    async def test(world: Cluster) -> None:
        for pod in world.pods:
            await pod.close()
        async with await everywhere(world.port):
            world.serve(WEB, quiet_ips(90))
            target = f"srv://_http._tcp.{WEB}" if by_srv else f"{WEB}:{world.port}"
            ended = await world.doctor(TARGET=target, LISTEN="127.0.0.1:1")
            finding = ended.only("truncated")

        assert fits in finding.what
        assert "90 records" in finding.what
        assert (f"HEADWAY_TARGET={WEB}:{world.port}" in finding.fix) is by_srv
        assert "HEADWAY_DNS_INTERVAL" in finding.fix
        assert len(ended.facts["services"][0]["checks"]) <= 24

    with_cluster(tmp_path, test)


def test_tcp_by_choice_is_no_truncation(tmp_path: Path) -> None:
    """With `options use-vc` everything comes over TCP: nothing was cut off."""

    async def test(world: Cluster) -> None:
        world.resolv_conf.write_text(CLUSTER + "options use-vc\n")
        ended = await world.doctor()

        assert ended.findings == []
        assert {query.transport for query in world.dns.queries} == {"tcp"}

    with_cluster(tmp_path, test)


@pytest.mark.slow
def test_an_answer_cut_off_even_over_tcp(tmp_path: Path) -> None:
    """A thousand pods by SRV are more than 64 kB: some are never seen, whatever is done about UDP."""

    async def test(world: Cluster) -> None:
        for pod in world.pods:
            await pod.close()
        async with await everywhere(world.port):
            world.serve(WEB, quiet_ips(1500))
            # The test's own server takes its time to write that much.
            target = f"srv://_http._tcp.{WEB}"
            ended = await world.doctor(TARGET=target, LISTEN="127.0.0.1:1", DNS_TIMEOUT="10s")
            finding = ended.only("truncated")

        assert "even over TCP (64 kB)" in finding.what
        assert f"HEADWAY_TARGET={WEB}:{world.port}" in finding.fix
        assert "split the Service" in finding.fix

    with_cluster(tmp_path, test)


# --- age ----------------------------------------------------------------------------------------


def ageing(dns: DnsServer, clock: FakeClock) -> None:
    """Each query for web's addresses after the first comes 3.5 s later."""

    def script(query: Any, _: Any) -> None:
        if dns.count("A", WEB) > 1:
            clock.advance(3.5)

    dns.script = script


@pytest.mark.parametrize("cache_s", [30.0, 0.0])
def test_answers_from_a_cache(tmp_path: Path, cache_s: float) -> None:
    """A ttl that counts down between two queries gives a cache away; one that stays does not."""

    async def test(world: Cluster) -> None:
        clock = FakeClock()
        async with DnsServer(clock=clock) as dns:
            dns.cache_s = cache_s
            world.dns = dns
            world.serve(WEB, IPS)
            ageing(dns, clock)
            ended = await world.doctor(watch_s=0.05)

        if not cache_s:
            assert ended.findings == []
            return
        finding = ended.only("cached")
        assert "up to 27 s late" in finding.what
        assert "disable success cluster.local; disable denial cluster.local" in finding.fix
        assert "HEADWAY_DNS_SERVERS" in finding.fix

    with_cluster(tmp_path, test)


# --- agreement ----------------------------------------------------------------------------------


def test_servers_that_disagree(tmp_path: Path) -> None:
    """One name server has not heard of a change: who lists how many, and for how long already."""

    async def test(world: Cluster) -> None:
        async with DnsServer("127.0.0.2") as behind:
            behind.set(WEB, IPS[:2])
            behind.set("kubernetes.default.svc.cluster.local", ["10.96.0.1"])
            both = f"{world.dns.address},{behind.address}"
            finding = (await world.doctor(watch_s=0.1, DNS_SERVERS=both)).only("dns_lag")

        assert f"{world.dns.address} lists 3 pods, {behind.address} lists 2 pods" in finding.what
        assert re.search(r"for 0\.[1-9] s at least", finding.what)
        assert "kube-dns" in finding.fix

    with_cluster(tmp_path, test)


def test_one_look_apart_is_a_change_and_no_lag(tmp_path: Path) -> None:
    """A change that reaches two servers within a moment of each other is how it should be."""

    async def test(world: Cluster) -> None:
        async with DnsServer("127.0.0.2") as slower:
            slower.set("kubernetes.default.svc.cluster.local", ["10.96.0.1"])
            slower.script = lambda *_: slower.set(WEB, IPS[: 2 if slower.count("A", WEB) < 2 else 3])
            both = f"{world.dns.address},{slower.address}"

            assert (await world.doctor(watch_s=0.1, DNS_SERVERS=both)).findings == []

    with_cluster(tmp_path, test)


def test_answers_that_go_back_and_forth(tmp_path: Path) -> None:
    """3 pods, 2, 3: two replicas behind one address are out of step, or a pod flaps."""

    async def test(world: Cluster) -> None:
        world.dns.script = lambda *_: world.dns.set(WEB, IPS[: 2 + world.dns.count("A", WEB) % 2])
        finding = (await world.doctor(watch_s=0.1)).only("dns_lag")

        assert "2, 3, 2 pods" in finding.what
        assert world.dns.address in finding.what
        assert "out of step" in finding.fix

    with_cluster(tmp_path, test)


def test_a_change_is_no_lag(tmp_path: Path) -> None:
    """A pod that joins while the doctor looks is nothing to complain about."""

    async def test(world: Cluster) -> None:
        world.dns.script = lambda *_: world.dns.set(WEB, IPS[: 2 if world.dns.count("A", WEB) < 3 else 3])

        assert (await world.doctor(watch_s=0.1)).findings == []

    with_cluster(tmp_path, test)


@pytest.mark.parametrize("by_srv", [False, True])
def test_a_pod_that_is_gone_stays_listed(tmp_path: Path, by_srv: bool) -> None:
    """One of three addresses refuses every connect and DNS goes on listing it: which, and for how long."""

    async def test(world: Cluster) -> None:
        await world.pods[1].close()
        target = f"srv://_http._tcp.{WEB}" if by_srv else f"{WEB}:{world.port}"
        finding = (await world.doctor(watch_s=0.1, TARGET=target, LISTEN="127.0.0.1:1")).only("dns_lag")

        assert world.pods[1].address in finding.what
        assert world.pods[0].address not in finding.what
        assert re.search(r"for 0\.[1-9] s so far", finding.what)
        assert "readinessProbe" in finding.fix

    with_cluster(tmp_path, test)


def test_nothing_is_said_of_time_without_watching(tmp_path: Path) -> None:
    """`--watch 0` looks once: no lag, no cache, whatever there is."""

    async def test(world: Cluster) -> None:
        await world.pods[1].close()
        ended = await world.doctor(watch_s=0.0)

        assert "1 of 3 pods" in ended.only("checks_fail").what
        assert ended.facts["services"][0]["ports"] == {}  # two pods accept: the port is right

    with_cluster(tmp_path, test)
