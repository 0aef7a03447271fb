"""Every relay: it connects to the pod itself; one that cannot be reached costs the client nothing."""

import asyncio
import os
import socket
from contextlib import suppress
from select import select

import pytest

from proxy.clock import SystemClock
from proxy.datapath.relay import End
from proxy.errors import (
    ConnectError,
    ConnectTimeout,
    IdentityChanged,
    OutOfDescriptors,
    Refused,
    Unhealthy,
    Unreachable,
)
from proxy.model import Address, EndReason
from proxy.observe.counters import ServiceCounters
from tests.datapath.peers import (
    Peer,
    address_of,
    black_hole,
    connected,
    listening,
    no_descriptor_free,
    no_socket_lost,
    refusing,
)
from tests.datapath.relays import LATER_S, NEVER, Engine, Hearing, relay_through
from tests.support import run, until


def has_come(listener: socket.socket) -> bool:
    return bool(select([listener], [], [], 0)[0])


def accepted(listener: socket.socket) -> Peer:
    sock, _ = listener.accept()
    sock.setblocking(False)
    return Peer(sock)


def socket_to(far: socket.socket) -> socket.socket:
    """A second descriptor of the socket of this process that `far` is connected with."""
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            sock = socket.socket(fileno=os.dup(int(number)))
            if sock.getsockname() == far.getpeername():
                return sock
            sock.close()
    raise AssertionError("no such socket")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_connects_and_serves(engine: Engine, family: socket.AddressFamily) -> None:
    """The client's bytes, sent before there was a pod, reach it; how long the connect took is told."""

    async def test() -> None:
        async with no_socket_lost():
            with listening(family=family) as listener:
                client, near = connected()
                await client.send(b"hello")
                ear = Hearing()
                task = asyncio.create_task(
                    relay_through(engine(NEVER, ServiceCounters()), near, address_of(listener), ear)
                )
                await until(lambda: has_come(listener))
                pod = accepted(listener)
                assert await pod.receive(5) == b"hello"
                await pod.send(b"welcome")
                assert await client.receive(7) == b"welcome"
                client.close()
                pod.close()
                end = await task

            assert (end.reason, end.to_pod, end.from_pod) == (EndReason.COMPLETED, 5, 7)
            assert ear.connects == [end.connect_s]
            assert 0.0 < end.connect_s < 5.0

    run(test())


async def fails(engine: Engine, address: Address, connect_s: float = LATER_S) -> tuple[End, Peer, Hearing]:
    client, near = connected()
    ear = Hearing()
    end = await relay_through(engine(NEVER, ServiceCounters()), near, address, ear, connect_s=connect_s)
    return end, client, ear


def expect(end: End, client: Peer, ear: Hearing, error: type[ConnectError]) -> None:
    """There was no connection for this reason, and the client is as it was."""
    assert (end.to_pod, end.from_pod, end.connect_s) == (0, 0, 0.0)
    assert type(end.error) is error
    assert ear.connects == []
    assert ear.given_back is not None
    client.sock.send(b"still here")
    ear.given_back.setblocking(True)
    assert ear.given_back.recv(10, socket.MSG_WAITALL) == b"still here"
    ear.close()
    client.close()


def test_refused(engine: Engine) -> None:
    """A pod that refuses gives the client back at once."""

    async def test() -> None:
        async with no_socket_lost():
            with refusing() as address:
                end, client, ear = await fails(engine, address)
            assert end.reason is EndReason.UNCONNECTED
            expect(end, client, ear, Refused)

    run(test())


def test_black_hole(engine: Engine) -> None:
    """A pod that does not answer gives the client back when its time is over, and not before."""

    async def test() -> None:
        async with no_socket_lost():
            with black_hole() as address:
                began = SystemClock().now()
                end, client, ear = await fails(engine, address, connect_s=0.1)
                assert 0.1 <= SystemClock().now() - began < 5.0
            expect(end, client, ear, ConnectTimeout)

    run(test())


def test_no_descriptor(engine: Engine) -> None:
    """When this process has no descriptor left, the error says so: no pod is to blame."""

    async def test() -> None:
        client, near = connected()
        ear = Hearing()
        with refusing() as address:
            relay = engine(NEVER, ServiceCounters())
            with no_descriptor_free():
                end = await relay_through(relay, near, address, ear)
        expect(end, client, ear, OutOfDescriptors)

    run(test())


@pytest.mark.parametrize("reason", [EndReason.IDENTITY_CHANGED, EndReason.UNHEALTHY, EndReason.ABORTED])
def test_aborted_under_way(engine: Engine, reason: EndReason) -> None:
    """Another pod took the address, or its checks fail: the client may go elsewhere. When the proxy ends, it
    is reset.
    """

    async def test() -> None:
        async with no_socket_lost():
            with black_hole() as address:
                client, near = connected()
                relay, ear, owner = engine(NEVER, ServiceCounters()), Hearing(), object()
                task = asyncio.create_task(relay_through(relay, near, address, ear, owner=owner))
                await asyncio.sleep(0.01)
                relay.abort(reason, object())
                await asyncio.sleep(0.01)
                assert not task.done()
                relay.abort(reason, owner)
                end = await task
            assert end.reason is reason
            if reason is EndReason.ABORTED:
                assert end.error is None
                assert await client.was_reset()
                client.close()
            else:
                expect(end, client, ear, IdentityChanged if reason.value == "identity_changed" else Unhealthy)

    run(test())


def test_tuned(engine: Engine) -> None:
    """The pod's socket has no delay at once, and keepalive before the connection is two seconds old."""

    async def test() -> None:
        with listening() as listener:
            client, near = connected()
            relay = engine(NEVER, ServiceCounters())
            task = asyncio.create_task(relay_through(relay, near, address_of(listener), Hearing()))
            await until(lambda: has_come(listener))
            pod = accepted(listener)
            with socket_to(pod.sock) as sock:
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
                await until(lambda: sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3)
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0  # on loopback
            client.close()
            pod.close()
            await task

    run(test())


def test_aborted_in_the_same_turn(engine: Engine) -> None:
    """An answer of DNS may come between the order and its first step."""

    async def test() -> None:
        async with no_socket_lost():
            with black_hole() as address:
                client, near = connected()
                relay, ear, owner = engine(NEVER, ServiceCounters()), Hearing(), object()
                relay.start(near.detach(), address, ear, connect_within_s=60.0, retry_before=0.0, owner=owner)
                relay.abort(EndReason.IDENTITY_CHANGED, owner)
                end = await ear.over
            assert end.reason is EndReason.IDENTITY_CHANGED
            expect(end, client, ear, IdentityChanged)

    run(test())


def test_no_such_zone(engine: Engine) -> None:
    """An address of a network that is not there cannot be reached, like any other."""

    async def test() -> None:
        async with no_socket_lost():
            end, client, ear = await fails(engine, Address("fe80::1%nope0", 80))
            expect(end, client, ear, Unreachable)

    run(test())


def test_the_client_of_a_unix_socket_leaves_under_way(engine: Engine) -> None:
    """Closed as it is, it may have said all that it wanted: that is still there for the next pod."""

    async def test() -> None:
        async with no_socket_lost():
            with black_hole() as address:
                far, near = socket.socketpair()
                near.setblocking(False)
                ear = Hearing()
                relay = engine(NEVER, ServiceCounters())
                task = asyncio.create_task(relay_through(relay, near, address, ear, connect_s=0.05))
                await asyncio.sleep(0.01)
                far.send(b"note this")
                far.close()
                assert (await task).reason is EndReason.UNCONNECTED
            assert ear.given_back is not None
            assert ear.given_back.recv(10) == b"note this"
            ear.close()

    run(test())


@pytest.mark.parametrize("reset", [False, True])
def test_the_client_leaves_under_way(engine: Engine, reset: bool) -> None:
    """A FIN is no farewell: the client may wait for its answer. After a reset nobody is kept, at once."""

    async def test() -> None:
        async with no_socket_lost():
            with black_hole() as address:
                client, near = connected()
                ear = Hearing()
                relay = engine(NEVER, ServiceCounters())
                connect_s = LATER_S if reset else 0.05
                task = asyncio.create_task(relay_through(relay, near, address, ear, connect_s=connect_s))
                await asyncio.sleep(0.01)
                client.reset() if reset else client.finish()
                end = await task
            assert end.reason is (EndReason.CLIENT_RESET if reset else EndReason.UNCONNECTED)
            assert (ear.given_back is None) is reset
            ear.close()
            client.close()

    run(test())
