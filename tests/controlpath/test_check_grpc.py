"""gRPC health checks of a real gRPC server, and how their connections end."""

import asyncio
import resource
import time
from collections.abc import Iterator

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from proxy.controlpath.grpc_messages import framed
from proxy.errors import CheckFailed, ConnectTimeout, OutOfDescriptors, Refused, ResetEarly
from proxy.model import Address
from tests.controlpath.asking import descriptors
from tests.controlpath.talking import OK, GrpcServer, answering, check_of, grpc_server, talking
from tests.support import eventually, run


@pytest.fixture(scope="module")
def server() -> Iterator[GrpcServer]:
    with grpc_server() as started:
        yield started


def grpc_check(address: Address, service: str = "", timeout_s: float = 5.0) -> None:
    variables = {"HEALTH_CHECK": "grpc"} | ({"HEALTH_SERVICE": service} if service else {})

    async def story() -> None:
        await check_of(**variables)(address, timeout_s)

    run(story())


# --- a real server ------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["", "orders"])
def test_serving(server: GrpcServer, service: str) -> None:
    """A server that says SERVING passes, as a whole or for one service."""
    grpc_check(server.healthy, service)


@pytest.mark.parametrize(
    "service,said",
    [
        ("users", "NOT_SERVING"),
        ("carts", "UNKNOWN"),
        ("nobody", "NOT_FOUND: its health service does not know 'nobody'"),
    ],
)
def test_not_serving(server: GrpcServer, service: str, said: str) -> None:
    """Anything else fails, in words for the log."""
    with pytest.raises(CheckFailed) as caught:
        grpc_check(server.healthy, service)

    assert (str(caught.value), caught.value.source) == (said, "upstream")


def test_no_health_service(server: GrpcServer) -> None:
    """A server that was built without one says so."""
    with pytest.raises(CheckFailed, match=r"^UNIMPLEMENTED: the pod has no health service$"):
        grpc_check(server.bare)


@pytest.mark.slow
def test_a_hundred_checks_leave_nothing_behind(server: GrpcServer) -> None:
    """Each on its own connection, all of them closed."""

    async def story() -> None:
        check = check_of(HEALTH_CHECK="grpc")
        await check(server.healthy, 5.0)
        before = len(descriptors())
        for _ in range(100):
            await check(server.healthy, 5.0)
        assert len(descriptors()) == before

    run(story())


async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A pod that still has something to say after its answer."""
    h2 = H2Connection(H2Configuration(client_side=False))
    h2.initiate_connection()
    ended = False
    while not ended:
        events = h2.receive_data(await reader.read(1 << 16))
        ended = any(isinstance(event, StreamEnded) for event in events)
    h2.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
    h2.send_data(1, framed(b"\x08\x01"))
    h2.send_headers(1, [("grpc-status", "0")], end_stream=True)
    writer.write(h2.data_to_send())
    h2.ping(b"whatever")
    await asyncio.sleep(0.005)
    writer.write(h2.data_to_send())


def test_it_ends_without_a_reset() -> None:
    """A pod sees the end of a connection, not a reset, which it would log with every check."""

    async def story() -> None:
        async with talking(talkative) as pod:
            await check_of(HEALTH_CHECK="grpc")(pod.address, 1.0)
            assert await pod.saw(1) == ["end"]

    run(story())


# --- other pods ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "piece,said",
    [
        (OK, "no gRPC answer (it speaks HTTP/1)"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no gRPC answer (it speaks HTTP/1)"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "closed without a gRPC answer"),
        (b"", "closed without a gRPC answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n" * 9, "closed without a gRPC answer"),
        (bytes(400), "no gRPC answer ("),
    ],
    ids=["HTTP/1.1", "HTTP/1.1 400", "TLS", "nothing", "SSH", "zeros"],
)
def test_pods_that_speak_something_else(piece: bytes, said: str) -> None:
    """They fail at once, and the log can say why."""

    async def story() -> None:
        async with talking(answering(piece, then_close=True)) as pod:
            with pytest.raises((CheckFailed, ResetEarly)) as caught:
                await check_of(HEALTH_CHECK="grpc")(pod.address, 5.0)
            if isinstance(caught.value, CheckFailed):
                assert said in str(caught.value)

    began = time.monotonic()
    run(story())
    assert time.monotonic() - began < 2.0


def test_a_pod_that_does_not_answer() -> None:
    """It accepts and says nothing: the check ends when HEALTH_TIMEOUT is over, and so does the connection."""

    async def story() -> None:
        async with talking(answering()) as pod:
            with pytest.raises(ConnectTimeout):
                await check_of(HEALTH_CHECK="grpc")(pod.address, 0.1)
            assert await pod.saw(1) == ["end"]

    run(story())


def test_nobody_there() -> None:
    with pytest.raises(Refused):
        grpc_check(Address("127.0.0.1", 1))


def test_no_descriptor_left(server: GrpcServer) -> None:
    """That is our fault, and said to be."""

    async def story() -> None:
        check = check_of(HEALTH_CHECK="grpc")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            with pytest.raises(OutOfDescriptors):
                await check(server.healthy, 1.0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    run(story())


def test_descriptors_are_closed_after_failures() -> None:
    async def story() -> None:
        async with talking(answering()) as silent, talking(answering(OK)) as other:
            before = len(descriptors())
            check = check_of(HEALTH_CHECK="grpc")
            for _ in range(3):
                with pytest.raises(ConnectTimeout):
                    await check(silent.address, 0.02)
                with pytest.raises(CheckFailed):
                    await check(other.address, 1.0)

            async def as_before() -> bool:
                return len(descriptors()) == before

            await eventually(as_before)

    run(story())
