"""One connection whose pod is chosen by a key: the same pod for the same key, and all else as ever."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from proxy.model import Address
from tests.datapath.peers import address_of, listening, no_socket_lost, refusing
from tests.datapath.scenes import Act, Scene, echoing, pods, silent
from tests.datapath.tls import hello, serving, trusting
from tests.support import run, until


async def serve_in_tls(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A pod that says its number, and then everything back."""
    with suppress(OSError):
        writer.write(b"%d:" % number)
        while data := await reader.read(1 << 16):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def tls_pods(count: int, folder: Path) -> AsyncIterator[list[Address]]:
    context = serving(folder)
    socks = [listening() for _ in range(count)]
    servers = [
        await asyncio.start_server(partial(serve_in_tls, number), sock=sock, ssl=context)
        for number, sock in enumerate(socks)
    ]
    try:
        yield [address_of(sock) for sock in socks]
    finally:
        for server in servers:
            server.close()  # uvloop would not end with it open


async def ask_in_tls(scene: Scene, name: str) -> int:
    """The number of the pod that answers a client which asks for `name`; its bytes are intact."""
    question = name.encode() * 20_000
    async with scene.client() as (peer, _):
        reader, writer = await asyncio.open_connection(sock=peer.sock, ssl=trusting(), server_hostname=name)
        number = await reader.readuntil(b":")
        writer.write(question)
        assert await reader.readexactly(len(question)) == question
        writer.close()
        with suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
        return int(number[:-1])


@pytest.mark.slow
def test_server_names(tmp_path: Path) -> None:
    """Real handshakes through the proxy: a name always leads to the same pod, other names to others."""

    async def test() -> None:
        async with tls_pods(5, tmp_path) as addresses:
            scene = hashing(addresses, "sni", patience="1s")
            names = [f"web-{number}.example" for number in range(20)]
            first, again = [
                await asyncio.gather(*(ask_in_tls(scene, name) for name in names)) for _ in range(2)
            ]

            assert first == again
            assert len(set(first)) >= 3
            await until(lambda: scene.leases == 0)

    run(test())


def numbered(number: int) -> Act:
    """A pod that speaks first, and says its number; then everything back."""

    def act(sock: socket.socket) -> None:
        sock.send(b"%d" % number)
        echoing(sock)

    return act


@asynccontextmanager
async def five_pods() -> AsyncIterator[list[Address]]:
    async with no_socket_lost(), pods(*map(numbered, range(5))) as every:
        yield [pod.address for pod in every]


def hashing(addresses: list[Address], hash_key: str, patience: str = "50ms") -> Scene:
    """A service whose pods are chosen by nothing but the key."""
    by_key = {"BALANCER": "maglev", "HASH_KEY": hash_key, "HASH_BALANCE_FACTOR": "0"}
    return Scene(addresses, **by_key, CONNECT_TIMEOUT=patience)


async def pod_of(scene: Scene, ip: str, said: bytes = b"", size: int = 0) -> int:
    """Which pod serves a client at `ip`, that says this in pieces of `size` and hears it again."""
    size = size or len(said) or 1
    async with scene.client(ip) as (peer, session):
        for start in range(0, len(said), size):
            await peer.send(said[start : start + size])
            await asyncio.sleep(0)
        number = await peer.receive(1)
        peer.finish()
        assert await peer.rest() == said
        await session
    return int(number)


def test_clients() -> None:
    """A client gets its pod each time; many clients use many pods."""

    async def test() -> None:
        async with five_pods() as addresses:
            scene = hashing(addresses, "client")
            first, again = [[await pod_of(scene, f"127.0.0.{n}") for n in range(2, 32)] for _ in range(2)]

            assert first == again
            assert len(set(first)) >= 3

    run(test())


def test_one_pod() -> None:
    """With HASH_KEY=pod, all clients of this sidecar are at one pod."""

    async def test() -> None:
        async with five_pods() as addresses:
            scene = hashing(addresses, "pod")

            assert len({await pod_of(scene, f"127.0.0.{n}") for n in range(2, 12)}) == 1

    run(test())


def test_a_pod_that_refuses() -> None:
    """Clients whose pod is down stick to another one; those of all other pods stay where they are."""

    async def test() -> None:
        async with five_pods() as addresses:
            with refusing() as dead:
                scene = hashing([*addresses, dead], "client")
                ips = [f"127.0.0.{n}" for n in range(2, 102)]
                # At first nobody has proved itself, and a retry goes to who has.
                _, first, again = [[await pod_of(scene, ip) for ip in ips] for _ in range(3)]

                assert first == again
                assert scene.counters.retries == scene.endpoint(dead).picks > 0
                assert scene.counters.retries % 3 == 0  # the same clients each time

    run(test())


def test_a_hello_in_pieces() -> None:
    """A client that sends its hello byte by byte gets the pod of the name, and the pod every byte."""

    async def test() -> None:
        async with five_pods() as addresses:
            scene = hashing(addresses, "sni", patience="1s")
            for name in ("a.example", "b.example", "c.example"):
                said = hello(name, ssl.TLSVersion.TLSv1_2)  # which is shorter
                whole = await pod_of(scene, "127.0.0.2", said)

                assert await pod_of(scene, "127.0.0.3", said, size=1) == whole

    run(test())


@pytest.mark.parametrize(
    "said", [b"", b"EHLO web.example\r\n", hello(None)], ids=["silence", "EHLO", "no name"]
)
def test_no_name(said: bytes) -> None:
    """With HASH_KEY=sni, clients that name no server are at the pods of their addresses."""

    async def test() -> None:
        async with five_pods() as addresses:
            for ip in (f"127.0.0.{n}" for n in range(2, 6)):
                by_address = await pod_of(hashing(addresses, "client"), ip)

                assert await pod_of(hashing(addresses, "sni"), ip, said) == by_address

    run(test())


def test_part_of_a_hello_then_the_end() -> None:
    """A client that sends its FIN in the middle of a hello has its bytes passed on all the same."""

    async def test() -> None:
        async with no_socket_lost(), pods(echoing) as (pod,):
            scene = hashing([pod.address], "sni")
            for said in (b"", hello("web.example")[:100]):
                assert await scene.ask(said) == said
            assert scene.outcomes == {"completed": 2}

    run(test())


def test_reset_before_it_said_a_name(caplog: pytest.LogCaptureFixture) -> None:
    """A client that is reset while its hello is waited for ends there: no pod is used, none blamed."""
    caplog.set_level(logging.DEBUG)

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,):
            scene = hashing([pod.address], "sni", patience="1s")
            async with scene.client() as (peer, session):
                await asyncio.sleep(0.001)
                peer.reset()
                await session

            assert scene.outcomes == {"client_reset": 1}
            assert scene.endpoint(pod.address).picks == 0
            assert (scene.leases, scene.counters.active) == (0, 0)

    run(test())
    (line,) = [vars(record)["fields"] for record in caplog.records if record.name == "headway.access"]
    assert (line["ended_by"], line["endpoint"], line["detail"]) == ("client", "", "Connection reset by peer")


def test_reset_behind_a_hello() -> None:
    """A client that is reset once it has said its name is relayed as far as it came."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,):
            scene = hashing([pod.address], "sni")
            async with scene.client() as (peer, session):
                await peer.send(hello("web.example"))
                peer.reset()
                await session

            assert scene.outcomes == {"client_reset": 1}
            assert scene.endpoint(pod.address).ejection.failures == 0

    run(test())


def test_cut_off_while_it_is_looked_at() -> None:
    """A session that is ended while a hello is waited for resets its client and keeps nothing."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,):
            scene = hashing([pod.address], "sni", patience="1s")
            async with scene.client() as (peer, _):
                await asyncio.sleep(0.001)
                scene.cut_off()

                assert await peer.was_reset()
            assert scene.outcomes == {"aborted": 1}

    run(test())
