"""What the tests of the doctor share: a cluster's DNS and pods on loopback, and the doctor called there."""

import asyncio
import contextlib
import io
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec

from proxy import doctor
from proxy.demo.dns import DnsServer
from proxy.demo.ports import free_ports
from proxy.doctor import near
from proxy.doctor.finding import Finding
from tests.support import run
from tests.support.pods import Pod, pods_on

WEB = "web.demo.svc.cluster.local."
KUBERNETES = "kubernetes.default.svc.cluster.local."
CLUSTER = "search demo.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
IPS = ("127.0.0.21", "127.0.0.22", "127.0.0.23")


class Ended(NamedTuple):
    """What `headway doctor --json` printed, and its exit status."""

    status: int
    findings: list[Finding]
    facts: dict[str, Any]

    @property
    def codes(self) -> list[str]:
        return [finding.code.value for finding in self.findings]

    def only(self, code: str, service: str = "web") -> Finding:
        """The one finding there is."""
        assert (self.status, self.codes) == (1, [code]), self.findings
        assert self.findings[0].service == service
        return self.findings[0]


class Cluster:
    """A name server with `web` in the namespace demo, three pods behind it, and what the pod's files say."""

    def __init__(self, dns: DnsServer, pods: Sequence[Pod], folder: Path) -> None:
        self.dns = dns
        self.pods = pods
        self.port = pods[0].port
        self.common_ports = near.COMMON_PORTS
        self.resolv_conf = folder / "resolv.conf"
        self.resolv_conf.write_text(CLUSTER)
        self.namespace = folder / "namespace"
        self.env: dict[str, str] = {}
        dns.set(KUBERNETES, ["10.96.0.1"])
        self.serve(WEB, IPS)

    def serve(self, name: str, ips: Sequence[str], port_name: str = "http") -> None:
        """A headless Service, as CoreDNS shows it."""
        hosts = [f"{ip.replace('.', '-')}.{name}" for ip in ips]
        for host, ip in zip(hosts, ips, strict=True):
            self.dns.set(host, [ip])
        self.dns.set(name, ips)
        self.dns.set_srv(name, [(host, self.port) for host in hosts])
        self.dns.set_srv(f"_{port_name}._tcp.{name}", [(host, self.port) for host in hosts])

    async def doctor(self, watch_s: float = 0.0, **variables: str) -> Ended:
        """What it finds with these settings; by default web's pods are looked for in full."""
        if "SERVICES" not in variables:
            variables = {"TARGET": f"{WEB}:{self.port}"} | variables
        settings = {"DNS_SERVERS": self.dns.address} | variables
        return await examine(settings, watch_s, self.env, self.resolv_conf, self.namespace)


async def examine(
    settings: Mapping[str, str], watch_s: float, env: Mapping[str, str], resolv_conf: Path, namespace: Path
) -> Ended:
    env = {f"HEADWAY_{name}": value for name, value in settings.items()} | dict(env)
    out = io.StringIO()

    def call() -> int:
        with contextlib.redirect_stdout(out):
            return doctor.run(
                as_json=True, watch_s=watch_s, env=env, resolv_conf=resolv_conf, namespace=namespace
            )

    status = await asyncio.to_thread(call)
    printed = msgspec.json.decode(out.getvalue())
    return Ended(status, msgspec.convert(printed["findings"], list[Finding]), printed["facts"])


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    """The common ports are free ones: on 8080 somebody else may listen on this machine, on all addresses."""
    common = tuple(free_ports(len(near.COMMON_PORTS), IPS))
    with patch.object(near, "COMMON_PORTS", common):
        async with DnsServer(rng=Random(7)) as dns, pods_on(*IPS) as pods:
            yield Cluster(dns, pods, folder)


def with_cluster(folder: Path, test: Callable[[Cluster], Awaitable[None]]) -> None:
    async def story() -> None:
        async with cluster(folder) as world:
            await test(world)

    run(story())


def quiet_ips(count: int) -> list[str]:
    """Loopback addresses that no other test uses."""
    return list(itertools.islice((f"127.77.{a}.{b}" for a in range(256) for b in range(1, 251)), count))
