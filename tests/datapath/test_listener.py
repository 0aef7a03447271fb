"""Everyone who connects is served, as many at a time as there is room for; accepting never stops for good."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

import pytest

from proxy.bind import bind
from proxy.config import Listen
from proxy.datapath.listener import SAY_EVERY_S, Accept, Listener, accept
from proxy.datapath.slots import Slots
from proxy.datapath.sockets import reset
from proxy.errors import HeadwayError
from proxy.inherit import Inherited
from proxy.tasks import spawn
from tests.datapath.peers import Peer, listening, no_descriptor_free, no_socket_lost
from tests.support import FakeClock, run, until

PATIENCE_S = 5.0


class Door:
    """A listener whose connections are greeted with one byte, and stay until their client leaves."""

    def __init__(
        self,
        cap: int,
        slots: Slots | None = None,
        sock: socket.socket | None = None,
        accept: Accept = accept,
    ) -> None:
        self.clock = FakeClock()
        self.slots = slots or Slots(cap, self.clock)
        sock = sock or listening()
        self.family = sock.family
        self.where = sock.getsockname()
        self.refused: list[str] = []
        self.listener = Listener("web", sock, self.slots, self, PATIENCE_S, accept)

    def begin(self, client: int) -> None:
        self.slots.take()
        spawn(self._serve(Peer(socket.socket(fileno=client))), name="door")

    def refuse(self, client: int, error: HeadwayError) -> None:
        reset(client)
        self.refused.append(error.reason)

    async def _serve(self, peer: Peer) -> None:
        try:
            await peer.send(b"!")
            if await peer.rest() == b"crash":
                raise ValueError("as told")
        finally:
            peer.close()
            self.slots.release()

    @contextmanager
    def clients(self, count: int) -> Iterator[list[Peer]]:
        with ExitStack() as stack:
            every = [Peer(stack.enter_context(socket.socket(self.family))) for _ in range(count)]
            for each in every:
                each.sock.setblocking(True)
                each.sock.connect(self.where)
                each.sock.setblocking(False)
            yield every


@asynccontextmanager
async def door(
    cap: int, slots: Slots | None = None, sock: socket.socket | None = None, accept: Accept = accept
) -> AsyncIterator[Door]:
    opened = Door(cap, slots, sock, accept)
    opened.listener.start()
    try:
        yield opened
    finally:
        opened.listener.close()
        await until(lambda: opened.slots.used == 0)


async def greeted(clients: list[Peer], most: int, quiet_s: float = 0.05) -> list[Peer]:
    """The `most` of `clients` that are being served, as soon as they are; and whoever else is soon after."""
    heard: list[Peer] = []

    async def listen(client: Peer) -> None:
        if await client.receive(1) == b"!":
            heard.append(client)

    listening = [asyncio.create_task(listen(client)) for client in clients]
    await until(lambda: len(heard) >= most)
    await asyncio.wait(listening, timeout=quiet_s)
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    return [client for client in clients if client in heard]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "headway.listener"]


def test_one_after_another() -> None:
    """Clients that come one by one are served as well as those that come together."""

    async def test() -> None:
        async with no_socket_lost(), door(cap=5) as it:
            for _ in range(20):
                with it.clients(1) as (client,):
                    assert await client.receive(1) == b"!"

    run(test())


def test_full(caplog: pytest.LogCaptureFixture) -> None:
    """Above the cap clients wait; each that leaves lets the next one in, until all have been served."""

    async def test() -> None:
        async with no_socket_lost(), door(cap=5) as it:
            with it.clients(12) as waiting:
                served: list[Peer] = []
                for expected in (5, 5, 2):
                    inside = await greeted(waiting, expected)
                    assert len(inside) == expected
                    assert it.slots.used == expected
                    waiting = [each for each in waiting if each not in inside]
                    served += inside
                    for each in inside:
                        each.close()

                assert len(served) == 12

    run(test())

    assert said(caplog) == ["web: 5 connections open, no room for more: new ones wait"]


def test_staying_full_is_said_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """A process that is full for a long time says so now and then, not with every connection."""

    async def test() -> None:
        async with door(cap=1) as it:
            with it.clients(40) as everyone:
                for number, client in enumerate(everyone):
                    if number == 20:
                        it.clock.advance(SAY_EVERY_S)
                    assert await client.receive(1) == b"!"
                    client.close()

    run(test())

    assert len(said(caplog)) == 2


@pytest.mark.slow
def test_out_of_descriptors(caplog: pytest.LogCaptureFixture) -> None:
    """Without a free descriptor clients wait, and are all served by themselves once there is one."""

    async def test() -> None:
        async with no_socket_lost(), door(cap=100) as it:
            with it.clients(20) as everyone:
                with no_descriptor_free():
                    assert await greeted(everyone, 0, quiet_s=0.5) == []

                assert await greeted(everyone, 20) == everyone

    run(test())

    assert said(caplog) == ["web: cannot accept (Too many open files): new ones wait"]


def test_two_listeners_share_the_room() -> None:
    """Services share the process's room; when a client of one leaves, who waits at the other is let in."""

    async def test() -> None:
        slots = Slots(3, FakeClock())
        async with door(0, slots) as one, door(0, slots) as other:
            with one.clients(3) as inside, other.clients(2) as outside:
                assert await greeted(inside, 3) == inside
                assert await greeted(outside, 0, quiet_s=0.02) == []
                for client in inside[:2]:
                    client.close()

                assert await greeted(outside, 2) == outside

    run(test())


def test_gone_before_it_was_accepted() -> None:
    """Clients that leave or are reset while they wait in the backlog do no harm to those behind them."""

    async def test() -> None:
        it = Door(cap=100)
        with it.clients(30) as everyone:
            for number, client in enumerate(everyone[:20]):
                client.reset() if number % 2 else client.close()
            it.listener.start()

            assert await greeted(everyone[20:], 10) == everyone[20:]
            it.listener.close()

    run(test())


def test_close(caplog: pytest.LogCaptureFixture) -> None:
    """After close nobody new gets in, what waits is reset, and who is inside stays until done."""

    async def test() -> None:
        async with no_socket_lost():
            it = Door(cap=1)
            it.listener.start()
            with it.clients(2) as (inside, waiting):
                assert await inside.receive(1) == b"!"
                assert not it.listener.leave()  # nobody else has it
                it.listener.close()
                assert it.refused == ["aborted"]
                assert await waiting.was_reset()
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(it.where)
                assert it.slots.used == 1
                inside.finish()

                assert await inside.rest() == b""
                await until(lambda: it.slots.used == 0)

    run(test())
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # when it was full


def test_close_of_a_socket_that_somebody_keeps() -> None:
    """Who waits there is not ours to refuse, nor to take: the next process takes him in."""

    async def test() -> None:
        kept = listening()
        passed_on = Inherited([("descriptor 3", socket.socket(fileno=os.dup(kept.fileno())))])
        (sock,) = bind(Listen(*kept.getsockname()), "LISTEN", passed_on)
        first = Door(cap=1, sock=sock)
        with first.clients(1) as (client,):
            assert first.listener.leave()
            first.listener.take_all()
            assert first.refused == []

            async with door(1, sock=kept):
                assert await client.receive(1) == b"!"
                client.close()

    run(test())


def test_leaving_a_socket_that_nobody_else_has() -> None:
    """Where no next process will come nobody waits for it: the backlog is reset, who comes is refused."""

    async def test() -> None:
        only = listening()
        (sock,) = bind(Listen(*only.getsockname()), "LISTEN", Inherited([("descriptor 3", only)]))
        it = Door(cap=1, sock=sock)
        with it.clients(1) as (waiting,):
            assert it.listener.leave()

            assert await waiting.was_reset()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(it.where)

    run(test())


@pytest.mark.slow
def test_close_while_resting(caplog: pytest.LogCaptureFixture) -> None:
    """A listener that is closed while it waits for a descriptor does not come back to life."""

    async def test() -> None:
        it = Door(cap=1)
        it.listener.start()
        with it.clients(1) as (client,):
            with no_descriptor_free():
                await until(lambda: caplog.records)
            it.listener.close()
            await asyncio.sleep(0.25)

            assert await client.was_reset()

    run(test())
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_slots_know_when_traffic_last_changed() -> None:
    """The time of the last coming or going is kept: a drain waits until it is long enough ago."""
    clock = FakeClock(1000.0)
    slots = Slots(2, clock)
    assert slots.changed_at == 1000.0
    clock.advance(5.0)
    slots.take()
    assert (slots.used, slots.full, slots.changed_at) == (1, False, 1005.0)
    clock.advance(5.0)
    slots.take()
    assert slots.full
    slots.release()

    assert (slots.used, slots.full, slots.changed_at) == (1, False, 1010.0)
