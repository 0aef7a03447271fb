"""Pods that take a client's bytes and end the connection without one of their own."""

import asyncio
import socket
from collections import Counter
from contextlib import suppress

import pytest

from proxy.model import Address
from tests.datapath.peers import Peer, no_socket_lost
from tests.datapath.scenes import Act, Scene, pods
from tests.support import run

CLIENTS = 8


def answering(sock: socket.socket) -> None:
    """Takes 10 ms for each answer."""
    asyncio.create_task(_answer(Peer(sock), b"answer")).add_done_callback(lambda task: task.exception())


def closing_unanswered(sock: socket.socket) -> None:
    asyncio.create_task(_answer(Peer(sock), b"")).add_done_callback(lambda task: task.exception())


def resetting_unanswered(sock: socket.socket) -> None:
    asyncio.create_task(_take_and_reset(Peer(sock))).add_done_callback(lambda task: task.exception())


def listening_only(sock: socket.socket) -> None:
    """Takes all, until its client is done: syslog."""
    asyncio.create_task(_listen(Peer(sock))).add_done_callback(lambda task: task.exception())


async def _answer(peer: Peer, answer: bytes) -> None:
    await asyncio.get_running_loop().sock_recv(peer.sock, 1 << 16)
    if answer:
        await asyncio.sleep(0.01)
        await peer.send(answer)
    peer.close()


async def _take_and_reset(peer: Peer) -> None:
    await asyncio.get_running_loop().sock_recv(peer.sock, 1 << 16)
    peer.reset()


async def _listen(peer: Peer) -> None:
    while await asyncio.get_running_loop().sock_recv(peer.sock, 1 << 16):
        pass
    peer.close()


async def asked(scene: Scene, count: int, *, finish: bool = False) -> None:
    """So many connections, some at a time, that send a question and wait for the end."""

    async def one() -> None:
        async with scene.client() as (peer, session):
            await peer.send(b"question")
            if finish:
                peer.finish()
            with suppress(OSError):
                await peer.rest()
            peer.close()
            await session

    async def many() -> None:
        for _ in range(count // CLIENTS):
            await one()

    await asyncio.gather(*(many() for _ in range(CLIENTS)))


def share(scene: Scene, address: Address) -> float:
    picks = Counter({each.address: each.picks for each in scene.pool.members})
    return picks[address] / picks.total()


@pytest.mark.slow
@pytest.mark.parametrize("bad_act", [closing_unanswered, resetting_unanswered])
@pytest.mark.parametrize("balancer,most", [("peak_ewma", 0.05), ("p2c", 0.45), ("least_connections", 0.52)])
def test_who_gives_no_answer_is_no_quick_one(balancer: str, most: float, bad_act: Act) -> None:
    """One pod of four ends all at once and is never busy: peak_ewma leaves it alone; whoever counts
    connections gives it more than a quarter, but never more than twice that.
    """

    async def test() -> None:
        async with no_socket_lost(), pods(bad_act, answering, answering, answering) as (bad, *good):
            scene = Scene([bad.address, *(pod.address for pod in good)], BALANCER=balancer)
            for endpoint in scene.pool.members:
                endpoint.in_flight = 0
            await asked(scene, 400)

            assert share(scene, bad.address) < most
            assert {each.state.value for each in scene.pool.members} == {"ready"}  # none is ejected for it

    run(test())


@pytest.mark.parametrize("finish", [True, False])
def test_one_way_protocols(finish: bool) -> None:
    """Where only clients speak and end it nobody is penalised; where pods end it all of them are, alike."""

    async def test() -> None:
        act = listening_only if finish else closing_unanswered
        async with no_socket_lost(), pods(*[act] * 3) as some:
            scene = Scene([pod.address for pod in some], BALANCER="peak_ewma")
            for endpoint in scene.pool.members:
                endpoint.in_flight = 0
            await asked(scene, 96, finish=finish)
            now = asyncio.get_running_loop().time()

            latencies = {each.latency.read(now) is not None for each in scene.pool.members}
            assert latencies == {not finish}
            assert all(share(scene, pod.address) > 0.15 for pod in some)

    run(test())
