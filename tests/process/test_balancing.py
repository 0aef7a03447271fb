"""The promises an application relies on, through the whole process, over real sockets and real DNS."""

from collections import Counter

import pytest

from proxy.demo.dns import DnsServer
from tests.support import run
from tests.support.pods import Pod, ask_once, connect, pods, static
from tests.support.process import Proxy, running

pytestmark = pytest.mark.slow

WEB = "web.demo.svc.cluster.local"


def service(dns: DnsServer, some: list[Pod]) -> dict[str, str]:
    """Everything a user has to say, and a DNS that is quick to change its mind."""
    dns.set(WEB, [pod.ip for pod in some])
    return {
        "TARGET": f"{WEB}:{some[0].port}",
        "DNS_SERVERS": dns.address,
        "DNS_INTERVAL": "200ms",
        "READY_WHEN": "endpoint",
    }


def test_the_main_job() -> None:
    """Two variables beside an application, and its connections are spread over all pods of the Service."""

    async def story() -> None:
        async with DnsServer() as dns, pods(3) as some, running(**service(dns, some)) as proxy:
            served = Counter([await ask_once(proxy.address) for _ in range(60)])

            assert set(served) == {pod.ip for pod in some}

    run(story())


@pytest.mark.parametrize(
    "balancer,within", [("least_connections", 0.06), ("round_robin", 0.06), ("p2c", 0.35), ("random", 0.80)]
)
def test_held_connections_are_even(balancer: str, within: float) -> None:
    """300 connections held open over 10 pods: nobody is far from 30."""

    async def story() -> None:
        async with pods(10) as some, running(TARGET=static(some), BALANCER=balancer) as proxy:
            held = [await connect(proxy.address) for _ in range(300)]
            counts = [len(pod.held) for pod in some]

            assert sum(counts) == 300
            assert max(abs(count - 30) / 30 for count in counts) <= within
            for connection in held:
                connection.writer.close()

    run(story())


def test_the_same_client_the_same_pod() -> None:
    """With maglev, by its address; another client may have another pod."""

    async def story() -> None:
        async with pods(5) as some, running(TARGET=static(some), BALANCER="maglev") as proxy:
            clients = [f"127.0.0.{number}" for number in range(2, 22)]
            first, again = [[await ask_once(proxy.address, each) for each in clients] for _ in range(2)]

            assert first == again
            assert len(set(first)) > 1

    run(story())


def test_one_of_six_addresses_refuses() -> None:
    """Even with health checks and ejection off, not one of 1,000 connections fails."""

    async def story() -> None:
        async with DnsServer() as dns, pods(6) as some:
            settings = service(dns, some) | {"HEALTH_CHECK": "off", "EJECT_AFTER": "0"}
            await some[0].close()
            async with running(**settings) as proxy:
                served = Counter([await ask_once(proxy.address) for _ in range(1000)])

                assert set(served) == {pod.ip for pod in some[1:]}
                assert await proxy.metric("headway_retries_total") > 100
                await proxy.counts("headway_connections_total", 1000, outcome="completed")

    run(story(), within_s=60)


def test_a_new_pod_serves_after_one_poll() -> None:
    """A scaled-up pod takes connections as soon as DNS was asked again, and held ones are left alone."""

    async def story() -> None:
        async with DnsServer() as dns, pods(3) as some, running(**service(dns, some[:2])) as proxy:
            old = await connect(proxy.address)
            dns.set(WEB, [pod.ip for pod in some])
            asked = dns.count()
            while await ask_once(proxy.address) != some[2].ip:
                assert dns.count() - asked < 40  # five polls: A and AAAA for the name, with a wide margin

            assert await old.echo(b"alive") == b"alive"
            await old.close()

    run(story())


def test_a_pod_that_leaves_dns_drains() -> None:
    """It gets no new connection, and the one that it has lives on."""

    async def story() -> None:
        async with DnsServer() as dns, pods(2) as some, running(**service(dns, some)) as proxy:
            old = await connect(proxy.address)
            stays = next(pod for pod in some if pod.ip != old.pod)
            dns.set(WEB, [stays.ip])
            await proxy.counts("headway_endpoints", 1, state="draining")

            assert {await ask_once(proxy.address) for _ in range(20)} == {stays.ip}
            assert await old.echo(b"alive") == b"alive"
            await old.close()
            await proxy.counts("headway_endpoints", 0, state="draining")

    run(story())


def test_several_services_in_one_process() -> None:
    """Each has its listener, its pods and its own balancer."""

    async def story() -> None:
        async with pods(1, first=21) as orders, pods(1, first=31) as users:
            ports = Proxy({})
            settings = {
                "SERVICES": "orders,users",
                "ORDERS_TARGET": static(orders),
                "ORDERS_LISTEN": f"127.0.0.1:{ports.port}",
                "USERS_TARGET": static(users),
                "USERS_LISTEN": f"[::1]:{ports.admin_port}",
                "USERS_BALANCER": "random",
            }
            async with running(**settings) as proxy:
                assert await ask_once(("127.0.0.1", ports.port)) == orders[0].ip
                assert await ask_once(("::1", ports.admin_port)) == users[0].ip
                await proxy.counts("headway_connections_total", 1, service="orders")
                await proxy.counts("headway_connections_total", 1, service="users")

    run(story())
