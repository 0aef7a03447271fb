"""`headway doctor` and the check that HEALTH_CHECK names: who accepts may still say that he is not well."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from proxy.demo.ports import free_ports
from tests.doctor.scene import Cluster, with_cluster

IPS = [f"127.0.0.{number}" for number in (41, 42, 43)]


@asynccontextmanager
async def http_pods(asked: list[str], *statuses: int) -> AsyncIterator[int]:
    """The port of pods that answer any request so; what they were asked goes to `asked`."""
    (port,) = free_ports(1, IPS)
    async with AsyncExitStack() as cleanup:
        for ip, status in zip(IPS, statuses, strict=False):

            async def serve(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int = status
            ) -> None:
                try:
                    request = await reader.readuntil(b"\r\n\r\n")
                except asyncio.IncompleteReadError:  # a mere connect
                    writer.close()
                    return
                asked.append(request.split(b"\r\n")[0].decode())
                writer.write(f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n".encode())
                writer.close()

            listener = await asyncio.start_server(serve, ip, port)
            cleanup.callback(listener.close)
        yield port


def static(port: int) -> str:
    return "static://" + ",".join(f"{ip}:{port}" for ip in IPS)


@pytest.mark.slow
def test_what_came_back(tmp_path: Path) -> None:
    """Two pods accept and answer 503: the doctor asks what the sidecar asks, and tells the answer."""

    async def test(world: Cluster) -> None:
        asked: list[str] = []
        async with http_pods(asked, 200, 503, 503) as port:
            ended = await world.doctor(
                TARGET=static(port), HEALTH_CHECK="http", HEALTH_PATH="/healthz?full=1"
            )
        finding = ended.only("unhealthy", "default")

        assert set(asked) == {"GET /healthz?full=1 HTTP/1.1"}
        assert finding.what == (
            f"2 of 3 pods fail the check: GET /healthz?full=1: HTTP 503: {IPS[1]}:{port}, {IPS[2]}:{port}"
        )
        assert "HEADWAY_HEALTH_PATH, HEADWAY_HEALTH_PORT" in finding.fix
        health = ended.facts["services"][0]["health"]
        assert list(health.values()) == ["ok", "HTTP 503", "HTTP 503"]

    with_cluster(tmp_path, test)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tcp", "off"])
def test_a_connect_is_all(tmp_path: Path, kind: str) -> None:
    """Where nothing more is asked, nothing is."""

    async def test(world: Cluster) -> None:
        asked: list[str] = []
        async with http_pods(asked, 503, 503, 503) as port:
            ended = await world.doctor(TARGET=static(port), HEALTH_CHECK=kind)

        assert (ended.status, asked, ended.facts["services"][0]["health"]) == (0, [], {})

    with_cluster(tmp_path, test)


@pytest.mark.slow
def test_pods_behind_a_name(tmp_path: Path) -> None:
    """The same when DNS tells the pods: those of the cluster speak no HTTP at all."""

    async def test(world: Cluster) -> None:
        finding = (await world.doctor(HEALTH_CHECK="http")).only("unhealthy")

        assert "3 of 3 pods fail the check: GET /: " in finding.what

    with_cluster(tmp_path, test)


@pytest.mark.slow
def test_another_port(tmp_path: Path) -> None:
    """HEALTH_PORT, where nobody listens: every pod accepts, and none would ever be used."""

    async def test(world: Cluster) -> None:
        (closed,) = free_ports(1, IPS)
        async with http_pods([], 200, 200, 200) as port:
            finding = (await world.doctor(TARGET=static(port), HEALTH_PORT=str(closed))).only(
                "unhealthy", "default"
            )

        assert f"3 of 3 pods fail the check: a connect at port {closed}: refused: " in finding.what

    with_cluster(tmp_path, test)


@pytest.mark.slow
def test_grpc(tmp_path: Path) -> None:
    """An HTTP/1.1 server is no gRPC server."""

    async def test(world: Cluster) -> None:
        async with http_pods([], 200, 200, 200) as port:
            ended = await world.doctor(TARGET=static(port), HEALTH_CHECK="grpc", HEALTH_SERVICE="shop.Orders")

        finding = ended.only("unhealthy", "default")
        assert "fail the check: grpc.health.v1 of shop.Orders: " in finding.what
        assert "HEADWAY_HEALTH_SERVICE" in finding.fix

    with_cluster(tmp_path, test)
