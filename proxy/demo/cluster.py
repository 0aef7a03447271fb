"""Stands in for Kubernetes: starts pods, lists the ready ones in DNS, takes them out again."""

import asyncio
import signal
from dataclasses import dataclass
from typing import Literal

from proxy.demo.child import Child
from proxy.demo.dns import DnsServer
from proxy.demo.ports import free_ports

SERVICE = "web.demo.svc.cluster.local"
FIRST_POD = 11  # web-0 is 127.0.0.11

State = Literal["new", "serving", "crashed", "leaving", "left"]


@dataclass
class Pod:
    """One pod: `listed` is what DNS says, `state` is the truth."""

    name: str
    ip: str
    child: Child
    state: State
    listed: bool = False


class Cluster:
    """The pods by ip, in the order of their birth."""

    def __init__(self, dns: DnsServer, most_pods: int) -> None:
        self._dns = dns
        self.pods: dict[str, Pod] = {}
        self.names: dict[str, str] = {}
        (self.port,) = free_ports(1, [_ip(number) for number in range(most_pods)])

    async def start(self, how_many: int, state: State) -> list[Pod]:
        """New processes, listening but not in DNS yet: readiness comes before traffic."""
        born = []
        for number in range(len(self.pods), len(self.pods) + how_many):
            name, ip = f"web-{number}", _ip(number)
            listen = f"{ip}:{self.port}"
            child = await Child.start(name, "-m", "proxy.demo.pod", "--listen", listen, "--name", name)
            self.pods[ip] = Pod(name, ip, child, state)
            self.names[ip] = name
            born.append(self.pods[ip])
        await asyncio.gather(*(pod.child.speaks() for pod in born))
        return born

    def list_in_dns(self, *pods: Pod) -> None:
        for pod in pods:
            pod.listed = True
        self._publish()

    def drop_from_dns(self, pod: Pod) -> None:
        pod.listed = False
        self._publish()

    def crash(self, pod: Pod) -> None:
        """See `proxy.demo.pod` for what a crash is here. DNS does not know of it."""
        pod.state = "crashed"
        pod.child.signal(signal.SIGUSR1)

    async def terminate(self, pod: Pod) -> None:
        pod.state = "left"
        await pod.child.stop()

    async def close(self) -> None:
        await asyncio.gather(*(pod.child.stop() for pod in self.pods.values()))

    def _publish(self) -> None:
        self._dns.set(SERVICE, [pod.ip for pod in self.pods.values() if pod.listed])


def _ip(number: int) -> str:
    return f"127.0.0.{FIRST_POD + number}"
