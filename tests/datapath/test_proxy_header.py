"""The PROXY header is taken off a client's socket, to the byte, from those who may send one."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from select import select

import pytest

from proxy.datapath.proxy_header import ProxyHeaders
from proxy.errors import ClientReset, WrongProxyHeader
from proxy.model import Address
from proxy.policy.proxy_protocol import MOST, Header, version_1, version_2
from tests.datapath.peers import Peer, connected, stall
from tests.support import run, service_settings, until

WHO = Header(Address("192.0.2.7", 56324), Address("198.51.100.1", 443))
V1, V2 = version_1(WHO), version_2(WHO)
LARGE = V2[:14] + (MOST - 16).to_bytes(2, "big") + V2[16:] + b"\x04" + (MOST - 31).to_bytes(2, "big")
LARGE += bytes(MOST - len(LARGE))
TEXTS = {"v1": V1, "v2": V2, "large": LARGE}


def headers(**variables: str) -> ProxyHeaders:
    return ProxyHeaders(service_settings(LISTEN="127.0.0.1:2", PROXY_PROTOCOL_ACCEPT="true", **variables))


@asynccontextmanager
async def client(unix: bool = False) -> AsyncIterator[tuple[Peer, socket.socket]]:
    """A client, and its accepted socket."""
    if unix:
        far, near = socket.socketpair()
        peer = Peer(far)
        near.setblocking(False)
    else:
        peer, near = connected()
    with peer.sock, near:
        yield peer, near


@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize("name", TEXTS)
def test_to_the_byte(name: str, unix: bool) -> None:
    """What follows the header is still in the socket: all of it, and nothing else."""

    async def test() -> None:
        async with client(unix) as (peer, near):
            await peer.send(TEXTS[name] + b"PROXY is what the client says next\r\n")

            assert await headers().hear(near) == WHO
            assert near.recv(1000) == b"PROXY is what the client says next\r\n"

    run(test())


@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize("name", ["v1", "v2"])
def test_byte_by_byte(name: str, unix: bool) -> None:
    """A header in as many pieces as it has bytes is waited for, and read as if it had come at once."""

    async def test() -> None:
        async with client(unix) as (peer, near):
            hearing = asyncio.create_task(headers().hear(near))
            for byte in TEXTS[name]:
                assert not hearing.done()
                await peer.send(bytes([byte]))
                await until(lambda: not select([near], [], [], 0)[0])  # it was taken
            await peer.send(b"hello")

            assert await hearing == WHO
            assert near.recv(1000) == b"hello"

    run(test())


@pytest.mark.parametrize(
    "text,why",
    [
        (b"GET / HTTP/1.1\r\n\r\n", "it does not begin as one"),
        (b"PROXY TCP4 192.0.2.7\r\n", "its line is none of version 1"),
        (V2[:14] + MOST.to_bytes(2, "big"), "its 4112 bytes are more than 4096"),
    ],
)
def test_something_else(text: bytes, why: str) -> None:
    """What is no header is refused as soon as that is sure."""

    async def test() -> None:
        async with client() as (peer, near):
            await peer.send(text)
            with pytest.raises(WrongProxyHeader, match=f"^{why}$"):
                await headers().hear(near)

    run(test())


def test_it_ends_before_all_is_there() -> None:
    """A part of a header and a FIN is a wrong one; a FIN alone is somebody who looked whether we listen."""

    async def test() -> None:
        for text, error in ((V1[:-1], WrongProxyHeader), (V2[:-1], WrongProxyHeader), (b"", ClientReset)):
            async with client() as (peer, near):
                await peer.send(text)
                peer.finish()
                with pytest.raises(error):
                    await headers().hear(near)

    run(test())


def test_the_client_is_reset() -> None:
    """That is the client's doing, whenever it happens, and not a wrong header."""

    async def test() -> None:
        for text in (b"", V1[:10]):
            async with client() as (peer, near):
                hearing = asyncio.create_task(headers().hear(near))
                await peer.send(text)
                await asyncio.sleep(0.001)
                peer.reset()
                with pytest.raises(ClientReset):
                    await hearing

    run(test())


def test_too_late() -> None:
    """No header, or only a part of one, before the deadline: nobody waits for longer."""

    async def test() -> None:
        for text in (b"", V1[:-1]):
            async with client() as (peer, near):
                await peer.send(text)
                with pytest.raises(WrongProxyHeader, match=r"^none within 0.1 s$"):
                    await headers(CONNECT_DEADLINE="100ms", CONNECT_TIMEOUT="100ms").hear(near)

    run(test())


def test_our_own_stall() -> None:
    """A header that came while this process stood still has come in time."""

    async def test() -> None:
        async with client() as (peer, near):
            hearing = asyncio.create_task(
                headers(CONNECT_DEADLINE="100ms", CONNECT_TIMEOUT="100ms").hear(near)
            )
            await asyncio.sleep(0)
            peer.sock.send(V1)
            stall(0.2)

            assert await hearing == WHO

    run(test())


# --- who may ------------------------------------------------------------------------------------


class Seeming(socket.socket):
    """A socket whose two ends seem to be elsewhere."""

    ends = ("", "")

    def getpeername(self) -> tuple[str, int]:
        return self.ends[0], 50000

    def getsockname(self) -> tuple[str, int]:
        return self.ends[1], 8080


PEERS = [  # of: address, PROXY_PROTOCOL_FROM, whether it may
    ("10.1.2.3", "", False),
    ("192.168.1.1", "", False),
    ("2001:db8::7", "", False),
    ("fe80::1%eth0", "", False),
    ("10.0.0.1", "", True),  # this pod's own
    ("::ffff:10.0.0.1", "", True),
    ("127.0.0.9", "", True),
    ("::1", "", True),
    ("10.1.2.3", "10.1.0.0/16", True),
    ("::ffff:10.1.2.3", "10.1.0.0/16", True),
    ("10.2.2.3", "10.1.0.0/16", False),
    ("10.2.2.3", "10.1.0.0/16,10.2.2.3", True),
    ("10.2.2.4", "10.1.0.0/16,10.2.2.3", False),
    ("2001:db8::7", "10.0.0.0/8, 2001:db8::/32", True),
    ("fe80::1%eth0", "fe80::/10", True),
    ("127.0.0.9", "10.1.0.0/16", True),
    ("10.1.2.3", "0.0.0.0/0", True),
    ("2001:db8::7", "0.0.0.0/0", False),
]


@pytest.mark.parametrize("ip,trusted,may", PEERS)
def test_who_may_send_one(ip: str, trusted: str, may: bool) -> None:
    """Nobody but this pod, and those in PROXY_PROTOCOL_FROM: any other's header is not even looked at."""
    settings = {"PROXY_PROTOCOL_FROM": trusted} if trusted else {}

    async def test() -> None:
        async with client() as (peer, near):
            await peer.send(V1)
            seeming = Seeming(fileno=near.fileno())
            seeming.ends = (ip, "::ffff:10.0.0.1" if "::ffff:" in ip else "10.0.0.1")
            try:
                if may:
                    assert await headers(**settings).hear(seeming) == WHO
                else:
                    with pytest.raises(WrongProxyHeader, match=f"^{ip} is not in PROXY_PROTOCOL_FROM$"):
                        await headers(**settings).hear(seeming)
            finally:
                seeming.detach()

    run(test())


# --- what the pod gets --------------------------------------------------------------------------


def family_of(near: socket.socket) -> Header:
    """What is true of a connection."""
    return Header(Address(*near.getpeername()[:2]), Address(*near.getsockname()[:2]))


@pytest.mark.parametrize("word,write", [("v1", version_1), ("v2", version_2)])
def test_what_the_pod_gets(word: str, write: Callable[[Header], bytes]) -> None:
    """What the client's header says; where it says nothing, or there is none, what is true of the socket."""

    async def test() -> None:
        sending = headers(PROXY_PROTOCOL_SEND=word)
        async with client() as (_, near):
            true = family_of(near)
            local = Header(true.source, true.destination, local=True)
            for heard, said in ((WHO, WHO), (Header(), true), (None, true), (Header(local=True), local)):
                assert sending.for_pod(near.fileno(), heard) == write(said)
                assert headers().for_pod(near.fileno(), heard) == b""

    run(test())


def test_an_address_of_both_families() -> None:
    """A listener for both shows IPv4 clients as ::ffff:1.2.3.4: the pod is told what they are."""

    async def test() -> None:
        with socket.socket(socket.AF_INET6) as listener:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(("::", 0))
            listener.listen()
            port = listener.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)) as far, listener.accept()[0] as near:
                text = headers(PROXY_PROTOCOL_SEND="v1").for_pod(near.fileno(), None)
                assert text == b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (far.getsockname()[1], port)

    run(test())


@pytest.mark.parametrize("word", ["v1", "v2"])
def test_nothing_to_say(word: str) -> None:
    """Of a client behind a Unix socket nothing is known; nor of one that is gone already."""

    async def test() -> None:
        sending = headers(PROXY_PROTOCOL_SEND=word)
        nothing = {"v1": b"PROXY UNKNOWN\r\n", "v2": V2[:12] + b"\x20\x00\x00\x00"}[word]
        async with client(unix=True) as (_, near):
            assert sending.for_pod(near.fileno(), None) == nothing
        async with client() as (peer, near):
            peer.reset()
            assert sending.for_pod(near.fileno(), None) == nothing

    run(test())
