"""A connection to a pod, or the one word for why there is none."""

import asyncio
import socket

import pytest

from proxy.datapath.connector import Connector
from proxy.datapath.sockets import Tuning
from proxy.errors import ConnectTimeout, OutOfDescriptors, Refused, Unreachable
from proxy.model import Address
from tests.datapath.peers import (
    Peer,
    address_of,
    black_hole,
    listening,
    no_descriptor_free,
    no_socket_lost,
    refusing,
    stall,
)
from tests.support import run


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_connected(family: socket.AddressFamily) -> None:
    """Over either family: a non-blocking socket, connected to the pod and to nobody else."""

    async def test() -> None:
        async with no_socket_lost():
            with listening(family=family) as listener:
                sock = await Connector(Tuning()).connect(address_of(listener), 1.0)
                accepted, _ = listener.accept()
                with sock, accepted:
                    await Peer(sock).send(b"hello")

                    assert await Peer(accepted).receive(5) == b"hello"
                    assert not sock.getblocking()
                    assert sock.getpeername() == listener.getsockname()

    run(test())


def test_refused() -> None:
    """A port on which nobody listens is "refused", a fault of the pod's, at once."""

    async def test() -> None:
        async with no_socket_lost():
            with refusing() as address, pytest.raises(Refused) as caught:
                await Connector(Tuning()).connect(address, 10.0)

        assert (caught.value.reason, caught.value.source) == ("refused", "upstream")

    run(test())


def test_a_stall_of_our_own_is_not_the_pods() -> None:
    """A pod that answered in time is connected, even if the sidecar got no CPU until after the deadline."""

    async def test() -> None:
        with listening() as listener:
            connecting = asyncio.create_task(Connector(Tuning()).connect(address_of(listener), 0.02))
            await asyncio.sleep(0)
            stall(0.06)

            (await connecting).close()

    run(test())


def test_timeout() -> None:
    """A pod that does not answer is "timeout" when the time is over, not before."""

    async def test() -> None:
        clock = asyncio.get_running_loop()
        async with no_socket_lost():
            with black_hole() as address:
                began = clock.time()
                with pytest.raises(ConnectTimeout, match=r"no answer within 0\.1 s") as caught:
                    await Connector(Tuning()).connect(address, 0.1)
                took = clock.time() - began

        assert 0.09 <= took < 1.0
        assert (caught.value.reason, caught.value.source) == ("timeout", "upstream")

    run(test())


def test_no_time_at_all() -> None:
    """When the deadline has passed already, the attempt is over before it can hold anything up."""

    async def test() -> None:
        async with no_socket_lost():
            with black_hole() as address, pytest.raises(ConnectTimeout):
                await Connector(Tuning()).connect(address, -1.0)

    run(test())


def test_unreachable() -> None:
    """An address without a route is "unreachable": 240.0.0.0/4 has none by its definition (RFC 1112 4)."""

    async def test() -> None:
        async with no_socket_lost():
            with pytest.raises(Unreachable) as caught:
                await Connector(Tuning()).connect(Address("255.255.255.255", 80), 1.0)

        assert (caught.value.reason, caught.value.source) == ("unreachable", "upstream")

    run(test())


def test_out_of_descriptors() -> None:
    """When the process has no descriptor left, it says so, and works again when it has."""

    async def test() -> None:
        with listening() as listener:
            with no_descriptor_free(), pytest.raises(OutOfDescriptors):
                await Connector(Tuning()).connect(address_of(listener), 1.0)

            (await Connector(Tuning()).connect(address_of(listener), 1.0)).close()

    run(test())


def test_cancelled() -> None:
    """Cancelling a connect that hangs closes its socket at once."""

    async def test() -> None:
        async with no_socket_lost():
            with black_hole() as address:
                task = asyncio.create_task(Connector(Tuning()).connect(address, 60.0))
                await asyncio.sleep(0.01)
                task.cancel()

                with pytest.raises(asyncio.CancelledError):
                    await task

    run(test())


def test_check_is_no_reset() -> None:
    """A health check connects and leaves by a FIN, so that no pod logs a reset; it raises when refused."""

    async def test() -> None:
        async with no_socket_lost():
            with listening() as listener:
                await Connector(Tuning()).check(address_of(listener), 1.0)
                accepted, _ = listener.accept()
                with accepted:
                    assert not await Peer(accepted).was_reset()
            with refusing() as address, pytest.raises(Refused):
                await Connector(Tuning()).check(address, 1.0)

    run(test())
