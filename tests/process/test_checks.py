"""Health checks through the whole process: each kind finds the pod that is not well; FLEET is asked for."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from proxy.demo.dns import DnsServer
from proxy.demo.ports import free_ports
from tests.controlpath.talking import GrpcServer, grpc_server
from tests.support import eventually, run
from tests.support.process import running, started

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[GrpcServer]:
    with grpc_server() as started:
        yield started


@asynccontextmanager
async def http_pods(*statuses: int) -> AsyncIterator[str]:
    """The TARGET that lists pods with these answers to any request."""
    ips = [f"127.0.0.{number + 31}" for number in range(len(statuses))]
    (port,) = free_ports(1, ips)
    async with AsyncExitStack() as cleanup:
        for ip, status in zip(ips, statuses, strict=True):

            async def serve(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int = status
            ) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n".encode())
                writer.close()

            listener = await asyncio.start_server(serve, ip, port)
            cleanup.callback(listener.close)
        yield "static://" + ",".join(f"{ip}:{port}" for ip in ips)


def test_http() -> None:
    """A pod that answers 503 is out, and the log says so; HEALTH_STATUS may call it well."""

    async def story() -> None:
        fast = {"HEALTH_CHECK": "http", "HEALTH_INTERVAL": "200ms", "HEALTH_PATH": "/healthz"}
        async with http_pods(200, 503, 302) as target:
            async with running(TARGET=target, **fast) as proxy:
                await proxy.counts("headway_endpoints", 1, state="unhealthy")
                await proxy.counts("headway_endpoints", 2, state="ready")
                await proxy.logs("check failed: HTTP 503")
            async with running(TARGET=target, HEALTH_STATUS="200-599", **fast) as proxy:
                await proxy.counts_at_least("headway_health_checks_total", 9, result="passed")
                assert await proxy.metric("headway_health_checks_total", result="failed") == 0

    run(story())


@pytest.mark.parametrize("service,said", [("users", "NOT_SERVING"), ("orders", "")])
def test_grpc(server: GrpcServer, service: str, said: str) -> None:
    """A real gRPC server is well or not, as its health service says of HEALTH_SERVICE."""

    async def story() -> None:
        settings = {"HEALTH_CHECK": "grpc", "HEALTH_INTERVAL": "200ms", "HEALTH_SERVICE": service}
        async with running(TARGET=f"static://{server.healthy}", **settings) as proxy:
            if said:
                await proxy.logs(f"check failed: {said}")
                await proxy.counts("headway_endpoints", 1, state="unhealthy")
            else:
                await proxy.counts_at_least("headway_health_checks_total", 5, result="passed")

    run(story())


def test_the_fleet_is_asked_for() -> None:
    """FLEET is looked up like a TARGET, soon after the start; without it nothing is."""

    async def story() -> None:
        async with DnsServer() as dns, http_pods(200) as target:
            dns.set("sidecars.demo.svc.cluster.local.", ["10.0.0.1", "10.0.0.2"])
            async with started(TARGET=target, DNS_SERVERS=dns.address):
                await asyncio.sleep(1.5)
                assert dns.count() == 0
            fleet = "sidecars.demo.svc.cluster.local."
            async with started(TARGET=target, DNS_SERVERS=dns.address, FLEET=fleet):

                async def asked() -> bool:
                    return {query.name for query in dns.queries} == {fleet}

                await eventually(asked)

    run(story())
