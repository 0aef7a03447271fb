"""Connections that wait while all endpoints are full: who is next, who is turned away, who is gone."""

import asyncio
import errno
import os
import select
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial

import pytest

from proxy.datapath.queue import Queue
from proxy.errors import HeadwayError, QueueFull
from proxy.pool import Lease, Pool
from tests.datapath.peers import Peer, connected, no_socket_lost, refusing
from tests.datapath.scenes import Pod, Scene, echoing, pods, silent
from tests.support import run, until
from tests.support.fleet import Stage


async def clients_of(scene: Scene, count: int, stack: AsyncExitStack) -> list[Peer]:
    """So many clients that came one after the other; each has said its number."""
    every: list[Peer] = []
    for number in range(count):
        peer, _ = await stack.enter_async_context(scene.client())
        await peer.send(b"%d" % number)
        await until(lambda: scene.counters.active == len(every) + 1)
        every.append(peer)
    return every


def ended(scene: Scene, count: int) -> bool:
    """Whether so many have left, and those who waited for it have got their places."""
    served = scene.leases == 2 or not scene.counters.waiting
    return scene.outcomes == {"client_reset": count} and served


async def heard(pod: Pod, which: int = 0) -> bytes:
    """What the client said whose connection is this one of those that the pod accepted."""
    await until(lambda: len(pod.accepted) > which)
    return await pod.accepted[which].receive(1)


def test_first_in_first_out() -> None:
    """Never more than the cap at the pod; each that leaves makes room for the one who waits longest."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,), AsyncExitStack() as stack:
            scene = Scene([pod.address], MAX_CONNECTIONS_PER_ENDPOINT="2", CONNECT_DEADLINE="1m")
            everyone = await clients_of(scene, 7, stack)
            for number, peer in enumerate(everyone):
                assert await heard(pod, number) == b"%d" % number
                assert (scene.leases, scene.counters.waiting) == (min(2, 7 - number), max(0, 5 - number))
                peer.reset()
                await until(partial(ended, scene, number + 1))

    run(test())


def test_who_cannot_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than fs.epoll.max_user_watches: it is told so at once, and leaves nothing in the line."""

    class Full:
        def fileno(self) -> int:
            return unused.fileno()

        def register(self, *_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def test() -> None:
        scene = Scene()
        async with no_socket_lost(), scene.client() as (peer, _):
            assert await peer.was_reset()
            assert scene.outcomes == {"out_of_descriptors": 1}
            assert scene.queue.size == 0

    with select.epoll() as unused:
        monkeypatch.setattr(select, "epoll", Full)
        run(test())


def test_nobody_overtakes() -> None:
    """Who comes while a slot is free that nobody has taken yet has to wait all the same."""

    async def test() -> None:
        async with pods(silent) as (pod,), AsyncExitStack() as stack:
            scene = Scene([pod.address], MAX_CONNECTIONS_PER_ENDPOINT="1", CONNECT_DEADLINE="1m")
            with scene.pool.lease([]):
                waiting, *_ = await clients_of(scene, 1, stack)
            newcomer, accepted = connected()
            scene.sessions.begin(accepted.detach())  # before the queue has had its turn

            assert (scene.leases, scene.counters.waiting) == (0, 2)
            assert await heard(pod) == b"0"
            waiting.reset()
            await newcomer.send(b"!")
            assert await heard(pod, 1) == b"!"
            newcomer.reset()
            await until(lambda: scene.counters.active == 0)

    run(test())


def test_more_than_the_queue_holds() -> None:
    """QUEUE_SIZE wait, further ones are reset at once and counted; who leaves frees a place."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,), AsyncExitStack() as stack:
            scene = Scene(
                [pod.address], MAX_CONNECTIONS_PER_ENDPOINT="1", QUEUE_SIZE="2", CONNECT_DEADLINE="1m"
            )
            _, *waiting = await clients_of(scene, 3, stack)
            for _ in range(2):
                async with scene.client() as (peer, session):
                    assert await peer.was_reset()
                    await session
            assert scene.outcomes == {"queue_full": 2}
            assert scene.counters.sheds == {"queue_full": 2}
            waiting[0].reset()
            await until(lambda: scene.counters.waiting == 1)
            await clients_of_one_more(scene, stack)

            assert scene.outcomes == {"queue_full": 2, "client_reset": 1}

    async def clients_of_one_more(scene: Scene, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(scene.client())
        await until(lambda: scene.counters.waiting == 2)

    run(test())


def test_no_room_until_the_deadline() -> None:
    """CONNECT_DEADLINE ends the wait by a reset, which is counted; the place is free."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,):
            scene = Scene([pod.address], MAX_CONNECTIONS_PER_ENDPOINT="1", CONNECT_DEADLINE="100ms")
            with scene.pool.lease([]):
                async with scene.client() as (peer, session):
                    assert await peer.was_reset()
                    await session

                assert scene.outcomes == {"all_full": 1}
                assert scene.counters.sheds == {"all_full": 1}
                assert (scene.counters.waiting, scene.counters.active) == (0, 0)

    run(test())


def test_a_client_that_was_reset_wastes_no_slot() -> None:
    """Its place is free at once, and a slot that becomes free in the same moment goes to the next one."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,), AsyncExitStack() as stack:
            scene = Scene([pod.address], MAX_CONNECTIONS_PER_ENDPOINT="1", CONNECT_DEADLINE="1m")
            lease = scene.pool.lease([])
            early, second, *_ = await clients_of(scene, 4, stack)
            early.reset()
            await until(lambda: scene.outcomes == {"client_reset": 1})
            assert scene.counters.waiting == 3
            second.reset()
            lease.release()

            assert await heard(pod) == b"2"
            await until(lambda: scene.outcomes == {"client_reset": 2})

    run(test())


def test_a_client_that_finished_is_served() -> None:
    """A FIN alone says that the client has said all, not that it is gone: it gets its answer."""

    async def test() -> None:
        async with pods(echoing) as (pod,):
            scene = Scene([pod.address], MAX_CONNECTIONS_PER_ENDPOINT="1", CONNECT_DEADLINE="1m")
            lease = scene.pool.lease([])
            async with scene.client() as (peer, session):
                await peer.send(b"hello")
                peer.finish()
                await until(lambda: scene.counters.waiting == 1)
                lease.release()

                assert await peer.rest() == b"hello"
                await session
            assert scene.outcomes == {"completed": 1}

    run(test())


def test_a_retry_waits_as_well() -> None:
    """Who was refused by one pod waits for the other, which is full, instead of failing."""

    async def test() -> None:
        async with pods(echoing) as (pod,):
            with refusing() as dead:
                scene = Scene([pod.address], MAX_CONNECTIONS_PER_ENDPOINT="1", CONNECT_DEADLINE="1m")
                lease = scene.pool.lease([])
                scene.learn([pod.address, dead])
                asking = asyncio.create_task(scene.ask())
                await until(lambda: scene.endpoint(dead).picks and scene.counters.waiting)
                lease.release()

                assert await asking == b"hello"
                assert scene.counters.retries == 1

    run(test())


def test_a_lively_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 clients at a time, two pods that take three each: all are served, and no pod ever has more.

    Each slot that is freed is told: nobody has to wait for the look that finds what is not.
    """
    monkeypatch.setattr("proxy.datapath.queue.LOOK_EVERY_S", 3600.0)

    async def test() -> None:
        async with no_socket_lost(), pods(echoing, echoing) as some:
            scene = Scene(
                [pod.address for pod in some], MAX_CONNECTIONS_PER_ENDPOINT="3", CONNECT_DEADLINE="1m"
            )
            asking = [asyncio.create_task(scene.ask(b"%d" % number)) for number in range(200)]
            most = 0
            while not all(task.done() for task in asking):
                most = max(most, *(each.in_flight for each in scene.pool.members))
                await asyncio.sleep(0)

            assert [task.result() for task in asking] == [b"%d" % number for number in range(200)]
            assert most == 3
            assert scene.outcomes == {"completed": 200}

    run(test())


# --- without sessions ---------------------------------------------------------------------------


class Waiting:
    """Takes what it is offered, unless the pool has nothing for it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.far, near = socket.socketpair()
        self.client = near.detach()
        self.offers = 0
        self.lease: Lease | None = None
        self.error: HeadwayError | None = None

    def offered(self) -> bool:
        self.offers += 1
        try:
            self.lease = self.pool.lease([])
        except HeadwayError:
            return False
        return True

    def give_up(self, error: HeadwayError) -> None:
        self.error = error


@contextmanager
def queue_of(stage: Stage, count: int, most: int = 10_000) -> Iterator[tuple[Queue, list[Waiting]]]:
    queue = Queue(stage.pool, most)
    everyone = [Waiting(stage.pool) for _ in range(count)]
    for each in everyone:
        queue.join(each, each.client, stage.clock.now(), 60.0, frozenset())
    try:
        yield queue, everyone
    finally:
        queue.close()
        for each in everyone:
            each.far.close()
            socket.close(each.client)


def test_a_freed_slot_is_offered_once() -> None:
    """However many wait, one slot is offered to one of them."""

    async def test() -> None:
        stage = Stage(1, MAX_CONNECTIONS_PER_ENDPOINT="1")
        lease = stage.pool.lease([])
        with queue_of(stage, 300) as (queue, everyone):
            await until(lambda: everyone[0].offers == 1)  # the first look
            for waiting in everyone[:20]:
                lease.release()
                await until(partial(getattr, waiting, "lease"))
                assert waiting.lease is not None
                lease = waiting.lease

            assert sum(each.offers for each in everyone) <= 20 + 1 + 3  # and some looks on suspicion
            assert stage.pool.counters.waiting == queue.size == 280
        assert (stage.pool.counters.waiting, queue.size) == (0, 0)

    run(test())


def test_several_slots_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots that are freed in the same turn of the loop are all given away in the next one."""
    monkeypatch.setattr("proxy.datapath.queue.LOOK_EVERY_S", 3600.0)

    async def test() -> None:
        stage = Stage(1, MAX_CONNECTIONS_PER_ENDPOINT="3")
        leases = [stage.pool.lease([]) for _ in range(3)]
        with queue_of(stage, 5) as (queue, everyone):
            await until(lambda: everyone[0].offers == 1)
            for lease in leases:
                lease.release()
            await until(lambda: queue.size == 2)

            assert [bool(each.lease) for each in everyone] == [True, True, True, False, False]

    run(test())


def test_gone_in_the_moment_a_slot_is_free() -> None:
    """Who is gone is not offered it, though nobody has looked since."""

    async def test() -> None:
        stage = Stage(1, MAX_CONNECTIONS_PER_ENDPOINT="1")
        lease = stage.pool.lease([])
        with queue_of(stage, 2) as (queue, (gone, other)):
            await until(lambda: gone.offers == 1)
            asyncio.get_running_loop().remove_reader(queue)  # it comes too late
            gone.far.close()
            lease.release()
            await until(lambda: other.lease)

            assert gone.error is not None
            assert (gone.error.reason, gone.lease) == ("client_reset", None)

    run(test())


def test_all_at_once() -> None:
    """When the first endpoint is known, all who waited for it go there, a batch at a time."""

    async def test() -> None:
        stage = Stage()
        with queue_of(stage, 300) as (queue, everyone):
            stage.answer(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert 0 < queue.size < 300
            await until(lambda: not queue.size)

            assert all(each.lease for each in everyone)

    run(test())


def test_an_endpoint_that_time_brings_back() -> None:
    """That an ejection is over is no event; it is found out all the same while somebody waits."""

    async def test() -> None:
        stage = Stage(2, MAX_CONNECTIONS_PER_ENDPOINT="1", EJECT_AFTER="1", HEALTH_CHECK="off")
        stage.fail(1)
        assert stage.pool.lease([]).endpoint is stage.pod(0)
        with queue_of(stage, 1) as (_, (waiting,)):
            await until(lambda: waiting.offers)
            stage.clock.advance(7.0)
            await until(lambda: waiting.lease)

            assert waiting.lease is not None
            assert waiting.lease.endpoint is stage.pod(1)

    run(test())


def test_what_clients_say_does_not_keep_us_busy() -> None:
    """Bytes that wait in the kernel wake nobody, however long they are there."""

    async def test() -> None:
        stage = Stage(1, MAX_CONNECTIONS_PER_ENDPOINT="1")
        stage.pool.lease([])
        with queue_of(stage, 1) as (queue, (waiting,)):
            waiting.far.sendall(b"hello")
            waiting.far.shutdown(socket.SHUT_WR)
            with select.epoll() as above:
                above.register(queue.fileno(), select.EPOLLIN)
                assert above.poll(0.05) == []
            assert waiting.error is None
            waiting.far.close()  # of a Unix socket that is certain

            await until(lambda: waiting.error)
            assert waiting.error is not None
            assert (waiting.error.reason, queue.size) == ("client_reset", 0)

    run(test())


def test_nobody_may_wait() -> None:
    """With QUEUE_SIZE=0 a connection finds room or is turned away."""

    async def test() -> None:
        stage = Stage(1)
        queue = Queue(stage.pool, 0)
        waiting = Waiting(stage.pool)
        with pytest.raises(QueueFull):
            queue.join(waiting, waiting.client, 0.0, 0.0, frozenset())
        waiting.far.close()
        socket.close(waiting.client)

        assert stage.pool.counters.sheds == {"queue_full": 1}

    run(test())
