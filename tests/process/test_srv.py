"""SRV targets through the whole process: ports and names of the pods' own, tiers, weights, identities."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from proxy.demo.dns import DnsServer
from proxy.demo.ports import free_ports
from tests.support import run
from tests.support.pods import Pod, ask_once, connect
from tests.support.process import Proxy, running

pytestmark = pytest.mark.slow

WEB = "web.demo.svc.cluster.local"
SRV = f"_http._tcp.{WEB}"


class StatefulSet:
    """Pods with names, each on a port of its own, as SRV records list them."""

    def __init__(self, dns: DnsServer, pods: list[Pod]) -> None:
        self.dns = dns
        self.names = {f"web-{number}.{WEB}": pod for number, pod in enumerate(pods)}
        self.publish()

    def publish(self, ranks: dict[int, tuple[int, int]] | None = None) -> None:
        """`ranks`: the priority and weight of pods by their number."""
        for name, pod in self.names.items():
            self.dns.set(name, [pod.ip])
        ranked = [(ranks or {}).get(number, (0, 1)) for number in range(len(self.names))]
        self.dns.set_srv(
            SRV,
            [(name, pod.port, *rank) for (name, pod), rank in zip(self.names.items(), ranked, strict=True)],
        )

    @property
    def settings(self) -> dict[str, str]:
        return {
            "TARGET": f"srv://{SRV}",
            "DNS_SERVERS": self.dns.address,
            "DNS_INTERVAL": "200ms",
            "READY_WHEN": "endpoint",
        }


@asynccontextmanager
async def stateful_set(count: int) -> AsyncIterator[StatefulSet]:
    async with DnsServer() as dns, AsyncExitStack() as cleanup:
        pods = [Pod(f"127.0.1.{n + 1}", port) for n, port in enumerate(free_ports(count))]
        for pod in pods:
            await pod.open()
            cleanup.push_async_callback(pod.close)
        yield StatefulSet(dns, pods)


async def served_by(proxy: Proxy, connections: int = 60) -> Counter[str]:
    return Counter([await ask_once(proxy.address) for _ in range(connections)])


async def output(*arguments: str) -> str:
    """What the command prints."""
    command = (sys.executable, "-m", "proxy", *arguments)
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await child.communicate()
    return out.decode()


def test_forty_pods_each_on_its_own_port() -> None:
    """The records do not fit a datagram and come over TCP: all forty serve, no error, no further query."""

    async def story() -> None:
        async with stateful_set(40) as web, running(**web.settings, BALANCER="round_robin") as proxy:
            served = await served_by(proxy, 120)

            assert set(served) == {pod.ip for pod in web.names.values()}
            assert set(served.values()) == {3}
            assert {query.qtype for query in web.dns.queries} == {"SRV"}
            assert await proxy.metric("headway_retries_total") == 0
            await proxy.counts("headway_connections_total", 120, outcome="completed")

    run(story())


def test_another_pod_behind_the_same_address() -> None:
    """web-1 becomes web-7 at the same ip: the session of web-1 is ended and counted; new ones go to web-7."""

    async def story() -> None:
        async with stateful_set(2) as web, running(**web.settings, BALANCER="round_robin") as proxy:
            held = [await connect(proxy.address) for _ in range(2)]
            old = next(each for each in held if each.pod == web.names[f"web-1.{WEB}"].ip)
            other = next(each for each in held if each is not old)

            web.names[f"web-7.{WEB}"] = web.names.pop(f"web-1.{WEB}")
            web.publish()
            await proxy.counts("headway_connections_total", 1, outcome="identity_changed")

            with pytest.raises(ConnectionResetError):
                await old.reader.readexactly(1)
            assert await other.echo(b"still here") == b"still here"
            await proxy.counts("headway_endpoints", 2, state="ready")
            assert len(await served_by(proxy)) == 2
            assert "(web-1) is now" in proxy.log
            await other.close()

    run(story())


def test_priorities_are_tiers() -> None:
    """The pod of the second priority gets nothing while one of the first is usable, and everything after."""

    async def story() -> None:
        async with stateful_set(3) as web:
            web.publish({0: (0, 1), 1: (0, 1), 2: (10, 1)})
            async with running(**web.settings, HEALTH_INTERVAL="100ms", EJECT_AFTER="0") as proxy:
                first, second, standby = web.names.values()
                assert set(await served_by(proxy)) == {first.ip, second.ip}

                await first.close()
                assert set(await served_by(proxy)) == {second.ip}

                await second.close()
                assert set(await served_by(proxy)) == {standby.ip}

                await proxy.counts("headway_endpoints", 1, state="ready")
                await first.open()
                await proxy.counts("headway_endpoints", 2, state="ready")
                assert set(await served_by(proxy)) == {first.ip}

    run(story())


def test_weights_that_differ_count() -> None:
    """A pod of weight 30 gets three times the connections of one of weight 10."""

    async def story() -> None:
        async with stateful_set(2) as web:
            web.publish({0: (0, 30), 1: (0, 10)})
            async with running(**web.settings, BALANCER="round_robin") as proxy:
                served = await served_by(proxy, 80)

                assert [served[pod.ip] for pod in web.names.values()] == [60, 20]

    run(story())


def test_an_answer_that_drops_most_pods() -> None:
    """8 of 10 pods vanish from DNS for less than a second: nothing changes. Later for good: obeyed."""

    async def story() -> None:
        async with stateful_set(10) as web, running(**web.settings) as proxy:
            await proxy.counts("headway_endpoints", 10, state="ready")
            whole = dict(web.names)
            web.names = dict(list(whole.items())[:2])
            web.publish()
            await proxy.logs("8 of 10 endpoints dropped at once: to be confirmed")
            web.names = whole
            web.publish()
            assert await proxy.metric("headway_endpoints", state="ready") == 10
            await proxy.counts_at_least("headway_dns_queries_total", web.dns.count() + 4)
            assert await proxy.metric("headway_endpoints", state="ready") == 10
            assert "removed" not in proxy.log

            web.names = dict(list(whole.items())[:2])
            web.publish()
            await proxy.counts("headway_endpoints", 2, state="ready")
            assert set(await served_by(proxy)) == {pod.ip for pod in web.names.values()}

    run(story())


def test_what_dns_said_can_be_read() -> None:
    """/dns shows the last answers with their queries, what was decided, and why; /endpoints the names."""

    async def story() -> None:
        async with stateful_set(2) as web, running(**web.settings, DNS_TIMEOUT="300ms") as proxy:
            web.dns.mode = "servfail"
            await proxy.counts_at_least("headway_dns_queries_total", 60, result="servfail")
            (shown,) = json.loads((await proxy.page("/dns", admin=True)).text)["services"]
            endpoints = json.loads((await proxy.page("/endpoints", admin=True)).text)

            newest = shown["answers"][0]
            assert len(shown["answers"]) == 50
            assert (newest["decision"], newest["reason"]) == ("kept", "kept: the query failed")
            query = newest["queries"][0]
            assert (query["name"], query["type"], query["rcode"]) == (f"{SRV}.", "SRV", "SERVFAIL")
            assert (query["server"], query["transport"]) == (web.dns.address, "udp")
            assert 5 < shown["answer_age_seconds"] < 60
            assert shown["servers"][0]["result"] == "servfail"
            names = [each["name"] for each in endpoints["services"][0]["endpoints"]]
            assert names == list(web.names)
            table = await output("endpoints", "--admin", f"127.0.0.1:{proxy.admin_port}")
            assert [line.split()[2] for line in table.splitlines()] == ["name", "web-0", "web-1"]

    run(story(), within_s=60)
