"""Health checks of pods that expect a PROXY header begin with one, which is that of a check."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from proxy.controlpath.checks import make_check
from proxy.errors import CheckFailed, ConnectError, Refused
from proxy.model import Address
from proxy.policy.proxy_protocol import Header, Read, read, version_2
from tests.controlpath.talking import OK, GrpcServer, check_of, grpc_server, talking
from tests.datapath.peers import connected
from tests.support import eventually, run, service_settings

LOCAL = version_2(Header(local=True))


class Expecting:
    """A pod that wants a header, notes it with what follows it, and answers a GET."""

    def __init__(self) -> None:
        self.heard: list[tuple[Read, bytes]] = []
        self.peers: list[tuple[str, int]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = b""
        while (found := read(seen)) is None:
            seen += await reader.readexactly(1)
        self.peers.append(writer.get_extra_info("peername"))
        rest = b""
        while (chunk := await reader.read(1 << 16)) and not rest.endswith(b"\r\n\r\n"):
            rest += chunk
            if rest.endswith(b"\r\n\r\n"):
                writer.write(OK)
        self.heard.append((found, rest))

    async def hears(self) -> tuple[Read, bytes]:
        """The header of one check, and what followed."""

        async def look() -> bool:
            return bool(self.heard)

        await eventually(look)
        (one,) = self.heard
        return one


@pytest.mark.parametrize("kind", ["tcp", "http"])
def test_version_1(kind: str) -> None:
    """Some receivers reject UNKNOWN: the addresses are those of the check itself (2.1)."""

    async def story() -> None:
        pod = Expecting()
        async with talking(pod) as server:
            await check_of(HEALTH_CHECK=kind, PROXY_PROTOCOL_SEND="v1")(server.address, 5.0)
            found, rest = await pod.hears()
            assert found.header == Header(Address(*pod.peers[0]), server.address)
            assert rest.startswith(b"GET / HTTP/1.1\r\n") if kind == "http" else rest == b""
            assert await server.saw(1) == ["end"]

    run(story())


@pytest.mark.parametrize("kind", ["tcp", "http"])
def test_version_2(kind: str) -> None:
    """There is a word for it: LOCAL."""

    async def story() -> None:
        pod = Expecting()
        async with talking(pod) as server:
            await check_of(HEALTH_CHECK=kind, PROXY_PROTOCOL_SEND="v2")(server.address, 5.0)
            found, rest = await pod.hears()
            assert found == Read(Header(local=True), 16)
            assert rest.startswith(b"GET / HTTP/1.1\r\n") if kind == "http" else rest == b""
            assert await server.saw(1) == ["end"]

    run(story())


@pytest.mark.parametrize("kind", ["tcp", "http"])
@pytest.mark.parametrize("settings", [{}, {"PROXY_PROTOCOL_SEND": "v2", "HEALTH_PORT": "here"}])
def test_no_header(kind: str, settings: dict[str, str]) -> None:
    """Not by default; nor at HEALTH_PORT, where another server listens."""

    async def story() -> None:
        heard: list[bytes] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.read(1 << 16))
            writer.write(OK)

        async with talking(talk) as server:
            chosen = {name: text.replace("here", str(server.address.port)) for name, text in settings.items()}
            await check_of(HEALTH_CHECK=kind, **chosen)(server.address, 5.0)

            async def look() -> bool:
                return bool(heard)

            await eventually(look)
            assert heard[0][:4] == (b"GET " if kind == "http" else b"")

    run(story())


@pytest.fixture(scope="module")
def server() -> Iterator[GrpcServer]:
    with grpc_server() as started:
        yield started


@pytest.mark.slow
@pytest.mark.parametrize("service", ["", "users"])
def test_grpc(server: GrpcServer, service: str) -> None:
    """A real server behind one that takes the header off."""

    async def story() -> None:
        heads: list[bytes] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.readexactly(len(LOCAL)))
            there = await asyncio.open_connection(*server.healthy)
            await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))
            there[1].close()

        async with talking(talk) as front:
            wanted = {"HEALTH_SERVICE": service} if service else {}
            check = check_of(HEALTH_CHECK="grpc", PROXY_PROTOCOL_SEND="v2", **wanted)
            if service:
                with pytest.raises(CheckFailed, match="NOT_SERVING"):
                    await check(front.address, 5.0)
            else:
                await check(front.address, 5.0)
            assert heads == [LOCAL]
            await front.saw(1)

    run(story())


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(1 << 16):
        writer.write(chunk)
    writer.write_eof()


@pytest.mark.parametrize("kind", ["tcp", "http", "grpc"])
def test_nobody_there(kind: str) -> None:
    """It fails as it does without a header."""
    with pytest.raises(Refused):
        run(as_coroutine(kind, Address("127.0.0.1", 1)))


async def as_coroutine(kind: str, address: Address) -> None:
    await check_of(HEALTH_CHECK=kind, PROXY_PROTOCOL_SEND="v2")(address, 5.0)


@pytest.mark.parametrize("kind", ["tcp", "http", "grpc"])
def test_reset_before_the_header_is_sent(kind: str) -> None:
    """Whoever talks notices it; that a pod accepts is all that a check by TCP asks for, now as before."""

    async def story() -> None:
        far, near = connected()

        async def connect(address: Address, timeout_s: float) -> socket.socket:
            far.reset()
            return near

        settings = service_settings(TARGET="web.demo:80", HEALTH_CHECK=kind, PROXY_PROTOCOL_SEND="v2")
        check = make_check(settings, connect)
        if kind == "tcp":
            await check(Address("127.0.0.1", 80), 5.0)
        else:
            with pytest.raises(ConnectError) as caught:
                await check(Address("127.0.0.1", 80), 5.0)
            assert caught.value.source == "upstream"
        assert near.fileno() == -1

    run(story())


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_a_pod_that_resets_at_once(kind: str) -> None:
    """Whether the header was still sent or not, the check fails for the pod's doing."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def story() -> None:
        async with talking(talk) as server:
            for _ in range(20):
                with pytest.raises(ConnectError) as caught:
                    await as_coroutine(kind, server.address)
                assert caught.value.source == "upstream"

    run(story())
