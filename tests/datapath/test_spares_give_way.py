"""Spares have what connections leave free, of the slots and of the system's descriptors."""

import asyncio
import errno
import os
import socket
from contextlib import ExitStack

import pytest

from proxy.datapath.listener import accept
from proxy.datapath.slots import SharedSlots
from tests.datapath.keeping import LONG_S, keeping
from tests.datapath.peers import connected, no_descriptor_free, no_socket_lost
from tests.datapath.scenes import Scene, echoing, pods, silent
from tests.datapath.test_listener import door, greeted
from tests.support import FakeClock, run, until
from tests.support.virtual import with_sockets


class Kept:
    """The spares of one service."""

    def __init__(self, slots: SharedSlots, held: int) -> None:
        self.held = held
        self._slots = slots
        slots.spares += held
        slots.keepers.append(self)

    def give_up_oldest(self) -> None:
        assert self.held
        self.held -= 1
        self._slots.spares -= 1


def test_who_has_most_spares_gives_them_up() -> None:
    """Each connection above the cap takes one from the service that has most: no service loses all first."""
    slots = SharedSlots(10, FakeClock())
    kept = [Kept(slots, held) for held in (3, 1, 6)]
    for _ in range(6):
        slots.take()

    assert [each.held for each in kept] == [1, 1, 2]
    for _ in range(4):
        slots.take()
    assert slots.full
    assert slots.spares == 0


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_spares_give_way_where_the_system_has_no_descriptors(code: int) -> None:
    """Two are as many as a connection needs; who comes when none are left waits."""

    async def test() -> None:
        slots = SharedSlots(100, FakeClock())
        kept = Kept(slots, 5)

        def accept_if_there_is_one(sock: socket.socket) -> int:
            if slots.used + kept.held / 2 >= 2.5:
                raise OSError(code, os.strerror(code))
            return accept(sock)

        async with no_socket_lost(), door(0, slots, accept=accept_if_there_is_one) as it:
            with it.clients(3) as everyone:
                inside = await greeted(everyone, 2)

                assert (len(inside), kept.held) == (2, 1)

    run(test())


def test_spares_stay_where_accepting_fails_for_something_else() -> None:
    """A firewall's EPERM, say: without spares it would be no better."""

    async def test() -> None:
        slots = SharedSlots(100, FakeClock())
        kept, asked = Kept(slots, 5), []

        def forbidden(sock: socket.socket) -> int:
            asked.append(sock)
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        async with no_socket_lost(), door(0, slots, accept=forbidden) as it:
            with it.clients(1):
                await until(lambda: bool(asked))

                assert kept.held == 5

    run(test())


def test_spares_give_way_to_a_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor that somebody else took meanwhile: the next pod is tried with what spares have given."""

    async def test() -> None:
        async with pods(echoing, echoing) as there:
            scene = Scene([pod.address for pod in there])
            client, accepted = connected()
            with ExitStack() as scarce:

                def give_way() -> bool:
                    scarce.close()
                    return True

                monkeypatch.setattr(scene.slots, "give_way", give_way)
                scarce.enter_context(no_descriptor_free())
                scene.sessions.begin(accepted.detach())
                await client.send(b"hello")

                assert await client.receive(5) == b"hello"
            client.close()
            await until(lambda: scene.outcomes == {"completed": 1})

    run(test())


def test_what_was_given_is_not_taken_back_at_once() -> None:
    """The connection's second descriptor is for its pod, not for the next spare; those return later."""

    async def story() -> None:
        async with keeping(silent, SPARE_CONNECTIONS="3") as (it, _):
            await asyncio.sleep(1.2)
            assert it.slots.give_way()
            await asyncio.sleep(0.9)
            assert it.there() == [1]
            assert not it.slots.give_way()
            await asyncio.sleep(1.0)

            assert it.there() == [3]

    with_sockets(story(), LONG_S)
