"""Without room new connections wait for a while, and no longer; then they are told, and counted."""

import asyncio
import socket
from collections import deque
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.datapath.listener import BATCH
from proxy.datapath.slots import Slots
from proxy.datapath.sockets import backlog_length
from tests.datapath.peers import Peer, listening, no_descriptor_free, no_socket_lost
from tests.datapath.test_listener import PATIENCE_S, Door, door, said
from tests.support.virtual import LoopClock, timers_left, with_sockets


def now() -> float:
    return asyncio.get_running_loop().time()


def full_with(inside: int) -> Slots:
    return Slots(inside, LoopClock())


async def was_reset_at(client: Peer) -> float:
    assert await client.was_reset()
    return now()


async def served(it: Door, client: Peer) -> None:
    assert await client.receive(1) == b"!"


def test_who_waits_for_too_long(caplog: pytest.LogCaptureFixture) -> None:
    """They are reset before CONNECT_DEADLINE is over; who came later has time of his own, and is served."""

    async def test() -> None:
        async with no_socket_lost(), door(0, full_with(1)) as it:
            with it.clients(1) as (inside,):
                await served(it, inside)
                began = now()
                with it.clients(3) as early:
                    await asyncio.sleep(PATIENCE_S * 0.6)
                    with it.clients(1) as (late,):
                        for each in early:
                            assert PATIENCE_S * 0.75 <= await was_reset_at(each) - began < PATIENCE_S + 0.01
                        assert it.refused == ["no_room"] * 3
                        inside.close()
                        await served(it, late)

                        assert it.refused == ["no_room"] * 3

    with_sockets(test())

    assert said(caplog) == [
        "web: 1 connections open, no room for more: new ones wait",
        "web: 1 connections open, no room for more: who has waited for 5 s is reset",
    ]


def test_who_is_served_in_time() -> None:
    """A crowd that moves loses nobody, though there is somebody waiting for far longer than the deadline."""

    async def test() -> None:
        async with no_socket_lost(), door(0, full_with(1)) as it:
            with ExitStack() as stack:
                line = deque(stack.enter_context(it.clients(5)))
                for _ in range(int(3 * PATIENCE_S / 0.5)):
                    await served(it, line[0])
                    await asyncio.sleep(0.5)
                    line += stack.enter_context(it.clients(1))
                    line.popleft().close()

            assert it.refused == []

    with_sockets(test())


def test_more_than_a_batch() -> None:
    """However many are overdue, all of them hear of it in time."""

    async def test() -> None:
        async with no_socket_lost(), door(0, full_with(1)) as it:
            with it.clients(1) as (inside,):
                await served(it, inside)
                began = now()
                with it.clients(3 * BATCH) as everyone:
                    assert await was_reset_at(everyone[-1]) - began < PATIENCE_S + 0.01
                    assert it.refused == ["no_room"] * 3 * BATCH

    with_sockets(test())


def test_when_the_crowd_is_gone() -> None:
    """With room again nothing is looked at any more: an idle process does not wake up."""

    async def test() -> None:
        async with no_socket_lost(), door(0, full_with(1)) as it:
            with it.clients(2) as (one, other):
                await served(it, one)
                one.close()
                await served(it, other)
            await asyncio.sleep(2 * PATIENCE_S)

            assert timers_left() == 1  # that which bounds this test

    with_sockets(test())


def test_full_and_nobody_waits() -> None:
    """At the cap an idle process sleeps as well, until somebody comes; who has as long as ever."""

    async def test() -> None:
        async with no_socket_lost(), door(0, full_with(1)) as it:
            with it.clients(1) as (inside,):
                await served(it, inside)
                for _ in range(2):
                    await asyncio.sleep(2 * PATIENCE_S)
                    assert timers_left() == 1  # that which bounds this test
                    with it.clients(1) as (waiting,):
                        came = now()
                        assert PATIENCE_S * 0.75 <= await was_reset_at(waiting) - came < PATIENCE_S + 0.01
                    await asyncio.sleep(PATIENCE_S)

    with_sockets(test(), within_s=60)


def test_full_and_nobody_tells_how_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process took them, or a kernel that is none (gVisor): it looks again, but not all the time."""
    looks = []

    def none(sock: socket.socket) -> int:
        looks.append(sock)
        return 0

    monkeypatch.setattr("proxy.datapath.listener.backlog_length", none)

    async def test() -> None:
        async with no_socket_lost(), door(0, full_with(1)) as it:
            with it.clients(2) as (inside, waiting):
                await served(it, inside)
                await asyncio.sleep(2 * PATIENCE_S)
                assert 2 <= len(looks) < 30
                inside.close()
                await served(it, waiting)

    with_sockets(test(), within_s=60)


def test_out_of_descriptors(caplog: pytest.LogCaptureFixture) -> None:
    """Promise 8: without a descriptor it sheds, says so, and goes on accepting as soon as there is one."""

    async def test() -> None:
        async with no_socket_lost(), door(0, full_with(100)) as it:
            began = now()
            with it.clients(4) as early:
                late = [Peer(socket.socket()) for _ in range(2)]
                with no_descriptor_free():
                    for each in early:
                        assert PATIENCE_S * 0.75 <= await was_reset_at(each) - began < PATIENCE_S + 0.01
                    for each in late:  # after the others have been told
                        each.sock.setblocking(True)
                        each.sock.connect(it.where)
                        each.sock.setblocking(False)
                    await asyncio.sleep(1.0)
                for each in late:
                    await served(it, each)
                    each.close()

            assert it.refused == ["out_of_descriptors"] * 4

    with_sockets(test())

    assert said(caplog) == [
        "web: cannot accept (Too many open files): new ones wait",
        "web: cannot accept (Too many open files): who has waited for 5 s is reset",
    ]


def on_file(folder: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(folder / "web.sock"))
    sock.listen()
    sock.setblocking(False)
    return sock


def test_a_unix_socket(tmp_path: Path) -> None:
    """It does not tell how many wait: when there was no room for so long, all of them go."""

    async def test() -> None:
        async with door(0, full_with(1), on_file(tmp_path)) as it:
            with it.clients(1) as (inside,):
                await served(it, inside)
                with it.clients(3) as early:
                    for each in early:
                        assert await each.rest() == b""
                assert it.refused == ["no_room"] * 3
                inside.close()
            with it.clients(1) as (client,):
                await served(it, client)

    with_sockets(test())


def test_who_comes_to_a_unix_socket_when_all_were_reset(tmp_path: Path) -> None:
    """Those have the time that the others had."""

    async def test() -> None:
        async with door(0, full_with(1), on_file(tmp_path)) as it:
            with it.clients(1) as (inside,):
                await served(it, inside)
                with it.clients(1) as (early,):
                    assert await early.rest() == b""
                with it.clients(1) as (late,):
                    came = now()
                    assert await late.rest() == b""
                    assert PATIENCE_S * 0.75 <= now() - came < PATIENCE_S + 0.01

    with_sockets(test())


def test_how_many_wait() -> None:
    """The kernel tells, for both families."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with listening(family=family) as listener:
            assert backlog_length(listener) == 0
            clients = [socket.create_connection(listener.getsockname()[:2]) for _ in range(3)]
            assert backlog_length(listener) == 3
            for each in clients:
                each.close()
