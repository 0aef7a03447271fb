"""Health checks of real pods: what a result does, and that no pod pays for our own trouble."""

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from proxy.model import Address
from proxy.policy.endpoint import State
from tests.controlpath.checking import Checked
from tests.controlpath.talking import check_of
from tests.support import run

real_check = check_of()


@contextmanager
def listening(address: Address, backlog: int = 16) -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(backlog)
        yield sock


def free(ip: str) -> Address:
    with socket.socket() as sock:
        sock.bind((ip, 0))
        return Address(*sock.getsockname())


@pytest.mark.slow
def test_a_pod_dies_and_returns() -> None:
    """Three refused checks take a pod out, two that pass bring it back; its neighbour is left alone."""

    async def story() -> None:
        world = Checked(real_check, HEALTH_RISE="2", HEALTH_FALL="3")
        dying, living = free("127.0.1.1"), free("127.0.1.2")
        with listening(living):
            with listening(dying):
                world.discover(dying, living)
                await world.passed(4)
            await world.until(dying, State.UNHEALTHY)
            assert world.results["failed"] == 3

            with listening(dying):
                before = world.results["passed"]
                await world.until(dying, State.READY)
                assert 2 <= world.results["passed"] - before <= 5  # the neighbour's among them
            assert world.state(living) is State.READY

    run(story())


@pytest.mark.slow
def test_a_pod_that_does_not_answer_fails_its_check() -> None:
    """A pod that swallows packets is out when HEALTH_TIMEOUT is over, three times."""

    async def story() -> None:
        world = Checked(real_check, HEALTH_TIMEOUT="20ms")
        with listening(free("127.0.1.3"), backlog=0) as sock, ExitStack() as callers:
            address = Address(*sock.getsockname())
            world.discover(address)
            await world.passed(1)
            for _ in range(4):  # fill the backlog: the kernel drops what comes now
                caller = callers.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(address)
            await world.until(address, State.UNHEALTHY)

            assert world.results["failed"] == 3

    run(story())


def test_checks_end_cleanly() -> None:
    """A pod sees a connection that ends, not one that is reset: its log stays quiet."""

    async def story() -> None:
        world = Checked(real_check, HEALTH_INTERVAL="100ms")
        with listening(free("127.0.1.4")) as sock:
            world.discover(Address(*sock.getsockname()))
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            connection, _ = await loop.sock_accept(sock)
            with connection:
                assert await loop.sock_recv(connection, 1) == b""

    run(story())


def test_no_descriptor_left_is_not_the_pods_fault() -> None:
    """While this process is out of descriptors, checks say nothing about the pods, and go on after."""

    async def story() -> None:
        world = Checked(real_check, HEALTH_FALL="1")
        with listening(free("127.0.1.5")) as sock:
            address = Address(*sock.getsockname())
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                world.discover(address)
                await asyncio.sleep(0.15)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert world.state(address) is State.READY
            assert set(world.results) == {"error"}

            await world.passed(1)

    run(story())
