"""The same client, pod or server name is the same number; to find it takes nothing from the client."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ssl import TLSVersion

import pytest

from proxy.config import Balancer, ServiceSettings, hashes
from proxy.datapath.hash_key import PEEK_MOST, KeyOf, make_key_of
from proxy.errors import ClientReset
from tests.datapath.peers import Peer, listening, no_socket_lost, stall
from tests.datapath.tls import fragmented, hello, padded
from tests.support import run, service_settings
from tests.support.virtual import LoopClock, with_sockets

HELLO = hello("web.example")
SAID = {
    "hello": HELLO,
    "part of a hello": HELLO[:100],
    "hello without a name": hello(None),
    "huge hello": padded(HELLO, PEEK_MOST),
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "one byte": b"G",
    "nothing": b"",
}
PIECES = {
    "bytes": (hello("web.example", TLSVersion.TLSv1_2), 1),  # a Unix socket holds 278 of them
    "segments": (HELLO, 200),
    "records": (fragmented(HELLO, 50), 60),
    "a large one": (padded(HELLO, 15_000), 4000),
}
UNIX = "a client of a Unix socket"


class Naps(LoopClock):
    """Counts how often someone looks again."""

    def __init__(self) -> None:
        self.count = 0

    async def sleep(self, seconds: float) -> None:
        self.count += 1
        await super().sleep(seconds)


def listening_at_2(**settings: str) -> ServiceSettings:
    return service_settings(LISTEN="127.0.0.1:2", **settings)


def hashing(hash_key: str, pod: str = "this-pod", clock: Naps | None = None, **settings: str) -> KeyOf:
    """The key function of a service whose balancer hashes."""
    maglev = listening_at_2(BALANCER="maglev", HASH_KEY=hash_key, **settings)
    return make_key_of(maglev, pod, clock or Naps())


@contextmanager
def client_at(ip: str) -> Iterator[tuple[Peer, socket.socket]]:
    """A client with this address, and its accepted socket."""
    if ip == UNIX:
        far, near = socket.socketpair()
    else:
        with listening(family=socket.AF_INET6 if ":" in ip else socket.AF_INET) as listener:
            far = socket.create_connection(listener.getsockname()[:2], source_address=(ip, 0))
            near, _ = listener.accept()
    near.setblocking(False)
    with far, near:
        yield Peer(far), near


async def key_at(ip: str, key_of: KeyOf, said: bytes = b"") -> int:
    with client_at(ip) as (peer, near):
        await peer.send(said)
        return await key_of(near)


@pytest.mark.parametrize("balancer", [each for each in Balancer if each is not Balancer.MAGLEV])
def test_only_who_hashes_asks(balancer: str) -> None:
    """For all other balancers there is no key to be found out."""
    assert not hashes(balancer)


def test_a_picker_of_ones_own_may_hash() -> None:
    """It gets a key as well."""
    assert hashes("my.pickers:make")


def test_client() -> None:
    """A client's key is that of its address, whatever its port; another address has another key."""

    async def test() -> None:
        key_of = hashing("client")
        keys = [await key_at(ip, key_of) for ip in ("127.0.0.2", "127.0.0.2", "127.0.0.3", "::1")]

        assert keys[0] == keys[1] == 0xAB8CCF72EEC3F0D3  # in every process and version: sidecars agree
        assert len(set(keys)) == 3

    run(test())


def test_client_of_a_listener_for_both_families() -> None:
    """A client has the same key whether the node has IPv6 or not."""

    async def test() -> None:
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
            where = ("127.0.0.1", listener.getsockname()[1])
            with (
                socket.create_connection(where, source_address=("127.0.0.2", 0)),
                listener.accept()[0] as near,
            ):
                assert await hashing("client")(near) == await key_at("127.0.0.2", hashing("client"))

    run(test())


def test_clients_of_a_unix_socket() -> None:
    """They have no address: all have one key."""

    async def test() -> None:
        assert await key_at(UNIX, hashing("client")) == await key_at(UNIX, hashing("client"))

    run(test())


def test_a_client_that_is_gone() -> None:
    """One that was reset has no address any more; that is for the relay to find."""

    async def test() -> None:
        with client_at("127.0.0.2") as (peer, near):
            peer.reset()
            await asyncio.sleep(0.001)

            assert await hashing("client")(near) > 0

    run(test())


def test_pod() -> None:
    """All clients of one pod have its key; another pod has another one."""

    async def test() -> None:
        one, other = hashing("pod", "web-0"), hashing("pod", "web-1")
        asked = [("127.0.0.2", one), ("127.0.0.3", one), ("127.0.0.2", other)]
        keys = [await key_at(ip, key_of) for ip, key_of in asked]

        assert keys[0] == keys[1] != keys[2]

    run(test())


def test_server_name() -> None:
    """The key is that of the name, in any case and from any client; another name has another key."""

    async def test() -> None:
        asked = [
            ("127.0.0.2", "web.example"),
            ("127.0.0.3", "WEB.example"),
            (UNIX, "web.example"),
            ("127.0.0.2", "api.example"),
        ]
        keys = [await key_at(ip, hashing("sni"), hello(name)) for ip, name in asked]

        assert keys[0] == keys[1] == keys[2] != keys[3]
        assert await key_at("127.0.0.2", hashing("client")) not in keys

    run(test())


@pytest.mark.parametrize("ip", ["127.0.0.2", UNIX])
@pytest.mark.parametrize("what", SAID)
def test_nothing_is_taken(ip: str, what: str) -> None:
    """What was looked at is still there for the relay, and a single byte more still wakes it."""
    said = SAID[what]

    async def test() -> None:
        with client_at(ip) as (peer, near):
            await peer.send(said)
            await hashing("sni", CONNECT_TIMEOUT="20ms")(near)
            assert await Peer(near).receive(len(said)) == said
            receiving = asyncio.create_task(Peer(near).receive(1))
            await asyncio.sleep(0.001)
            await peer.send(b"x")
            assert await receiving == b"x"

    run(test())


@pytest.mark.parametrize("ip", ["127.0.0.2", UNIX])
@pytest.mark.parametrize("what", PIECES)
def test_in_pieces(ip: str, what: str) -> None:
    """A hello that comes in pieces is waited for, without looking at each of them."""
    data, size = PIECES[what]

    async def test() -> None:
        clock = Naps()
        with client_at(ip) as (peer, near):
            asking = asyncio.create_task(hashing("sni", clock=clock)(near))
            for start in range(0, len(data), size):
                await peer.send(data[start : start + size])
                await asyncio.sleep(0 if size == 1 else 0.01)

            assert await asking == await key_at("127.0.0.3", hashing("sni"), HELLO)
            assert 0 < clock.count < 10

    run(test())


@pytest.mark.parametrize("what", ["one byte", "another protocol", "hello without a name", "huge hello"])
@pytest.mark.parametrize("ip", ["127.0.0.2", UNIX])
def test_no_name_to_be_had(ip: str, what: str) -> None:
    """Without TLS, without a name, or with more of it than a record holds, the client's address is it."""

    async def test() -> None:
        clock = Naps()
        with client_at(ip) as (peer, near):
            await peer.send(SAID[what])
            assert await hashing("sni", clock=clock)(near) == await key_at(ip, hashing("client"))
        assert clock.count == 0

    run(test())


@pytest.mark.parametrize("ip", ["127.0.0.2", UNIX])
def test_finished_without_a_word(ip: str) -> None:
    """A client that sends its FIN at once, and stays to hear, has the key of its address."""

    async def test() -> None:
        with client_at(ip) as (peer, near):
            asking = asyncio.create_task(hashing("sni", CONNECT_TIMEOUT="5s")(near))
            await asyncio.sleep(0.001)
            peer.finish()
            async with asyncio.timeout(0.5):
                assert await asking == await key_at(ip, hashing("client"))

    run(test())


@pytest.mark.parametrize(
    "timeout,deadline,waits_s", [("50ms", "5s", 0.05), ("1s", "1s", 0.5), ("5s", "5s", 1.0)]
)
@pytest.mark.parametrize("what", ["nothing", "part of a hello"])
def test_silence(what: str, timeout: str, deadline: str, waits_s: float) -> None:
    """A client that waits for the server to speak waits no longer than a second, CONNECT_TIMEOUT, or half
    of CONNECT_DEADLINE, whether it said nothing or too little.
    """

    async def test() -> None:
        loop = asyncio.get_running_loop()
        clock = Naps()
        key_of = hashing("sni", clock=clock, CONNECT_TIMEOUT=timeout, CONNECT_DEADLINE=deadline)
        with client_at("127.0.0.2") as (peer, near):
            await peer.send(SAID[what])
            began = loop.time()
            assert await key_of(near) == await key_at("127.0.0.2", hashing("client"))

            assert loop.time() - began == pytest.approx(waits_s, abs=0.001)
            assert clock.count < 12

    with_sockets(test())


def test_a_stall_of_our_own() -> None:
    """A name that came in time is heard, even if the sidecar got no CPU until after the deadline."""

    async def test() -> None:
        with client_at("127.0.0.2") as (peer, near):
            asking = asyncio.create_task(hashing("sni", CONNECT_TIMEOUT="100ms")(near))
            await asyncio.sleep(0.001)
            await peer.send(HELLO)
            stall(0.15)

            assert await asking == await key_at("127.0.0.3", hashing("sni"), HELLO)

    run(test())


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_reset_in_silence(when: str) -> None:
    """Looking consumes the reset, so that the relay would take it for a FIN: it is said here."""

    async def test() -> None:
        async with no_socket_lost():
            with client_at("127.0.0.2") as (peer, near):
                if when == "before":
                    peer.reset()
                asking = asyncio.create_task(hashing("sni")(near))
                await asyncio.sleep(0.001)
                peer.reset()

                with pytest.raises(ClientReset, match="reset by peer"):
                    await asking

    run(test())
