"""What becomes of idle connections that their pods end, speak on, or do not want in the first place."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from proxy.model import Answer
from proxy.policy.endpoint import Endpoint
from tests.datapath.keeping import LONG_S, greet, keeping, open_at
from tests.datapath.peers import refusing
from tests.datapath.scenes import Act, Pod, closing, silent
from tests.support.virtual import with_sockets


def ended(pod: Pod) -> None:
    for peer in pod.accepted:
        peer.close()


def reset(pod: Pod) -> None:
    for peer in pod.accepted:
        peer.reset()


@pytest.mark.parametrize("end", [ended, reset])
def test_the_pod_ends_one(end: Callable[[Pod], None]) -> None:
    """It is noticed at once, without a look: our side is closed, and there is a new one."""

    async def story() -> None:
        async with keeping(silent, SPARE_CONNECTIONS="2") as (it, (pod,)):
            await asyncio.sleep(3.0)
            end(pod)
            pod.accepted.clear()
            await asyncio.sleep(0.01)
            assert it.results == {"closed": 2}
            assert len(pod.accepted) == 2
            assert it.there() == [2]

    with_sockets(story(), LONG_S)


def test_ended_before_the_loop_turned() -> None:
    """One that ended a moment ago is not handed out, though nobody has heard of it yet."""

    async def story() -> None:
        async with keeping(silent, SPARE_CONNECTIONS="2") as (it, (pod,)):
            await asyncio.sleep(3.0)
            ended(pod)
            assert not it.come_and_go()

    with_sockets(story(), LONG_S)


def test_pods_that_close_idle_connections() -> None:
    """Where they do so after 8 s none gets so old again: one on its way out would be lost with its client."""

    def closing_after(seconds: float) -> Act:
        def act(sock: socket.socket) -> None:
            asyncio.get_running_loop().call_later(seconds, sock.close)

        return act

    async def story() -> None:
        async with keeping(closing_after(8.0), SPARE_CONNECTIONS="2") as (it, _):
            await asyncio.sleep(300.0)
            assert it.results["closed"] == 2
            assert it.results["expired"] >= 2 * 280 / 6
            assert it.there() == [2]

    with_sockets(story(), LONG_S)


@pytest.mark.parametrize("act", [closing, None])
def test_a_pod_that_does_not_want_them(act: Act | None) -> None:
    """One that refuses, or takes and ends them, is asked less and less, once a minute in the end."""

    async def story() -> None:
        with refusing() as nobody:
            async with keeping(*filter(None, [act]), SPARE_CONNECTIONS="2") as (it, _):
                if act is None:
                    it.pool.apply(Answer.of([nobody]))
                await asyncio.sleep(3600.0)
                assert 60 <= sum(it.results.values()) <= 2 * 80
                assert it.there() == [0]
                assert it.endpoint().ejection.failures == 0  # nobody's connection has failed
                assert it.endpoint().usable

    with_sockets(story(), LONG_S)


def test_a_pod_that_vanishes() -> None:
    """Its spares stay as they are: a dial that takes long speaks against them, one that failed ends them."""

    async def story() -> None:
        async with keeping(silent, SPARE_CONNECTIONS="3") as (it, (pod,)):
            await asyncio.sleep(1.2)
            with pod.vanished():
                assert it.come_and_go()
                await asyncio.sleep(0.01)
                assert it.come_and_go()
                await asyncio.sleep(0.2)
                assert (it.there(), it.come_and_go()) == ([1], False)
                await asyncio.sleep(1.0)
                assert it.there() == [0]
            await asyncio.sleep(3.0)
            assert it.there() == [3]

    with_sockets(story(), LONG_S)


def test_a_failed_dial_asks_for_a_check() -> None:
    """Checks and DNS tell what it means."""

    async def story() -> None:
        with refusing() as nobody:
            async with keeping(SPARE_CONNECTIONS="2") as (it, _):
                suspects: list[Endpoint] = []
                it.pool.on_suspect = suspects.append
                it.pool.request_resolve = lambda: suspects.append(it.endpoint())
                it.pool.apply(Answer.of([nobody]))
                await asyncio.sleep(1.2)

                assert set(suspects) == {it.endpoint()}

    with_sockets(story(), LONG_S)


def test_where_pods_speak_first() -> None:
    """A greeting is part of the connection; until a session has shown that it is one nobody gets it."""

    async def story() -> None:
        async with keeping(silent, SPARE_CONNECTIONS="2") as (it, (pod,)):
            await asyncio.sleep(1.2)
            greet(pod)
            assert not it.come_and_go()
            await asyncio.sleep(0.01)
            assert it.there() == [2]
            it.spares.heard(unasked=True)
            lease, spare = it.connection()
            assert spare is not None
            assert spare.sock.recv(100) == b"welcome"
            spare.sock.close()
            lease.release()

    with_sockets(story(), LONG_S)


def test_where_clients_speak_first() -> None:
    """What a pod says unasked is an answer to nobody's question: it goes with its connection."""

    async def story() -> None:
        async with keeping(silent, SPARE_CONNECTIONS="2") as (it, (pod,)):
            it.spares.heard(unasked=False)
            await asyncio.sleep(3.0)
            greet(pod)
            assert not it.come_and_go()
            await asyncio.sleep(0.01)

            assert it.results == {"spoken": 2}
            assert (len(pod.accepted), open_at(pod)) == (4, 2)

    with_sockets(story(), LONG_S)


def test_a_greeting_that_was_none() -> None:
    """The first session shows that clients speak first: the spares that have spoken go."""

    async def story() -> None:
        async with keeping(silent, SPARE_CONNECTIONS="2") as (it, (pod,)):
            await asyncio.sleep(3.0)
            greet(pod)
            assert not it.come_and_go()
            it.spares.heard(unasked=False)
            it.come_and_go()
            await asyncio.sleep(0.01)

            assert it.results == {"spoken": 2}

    with_sockets(story(), LONG_S)


def test_farewells() -> None:
    """Bytes with a FIN behind them are no greeting, wherever pods speak first."""

    async def story() -> None:
        async with keeping(silent, SPARE_CONNECTIONS="2") as (it, (pod,)):
            it.spares.heard(unasked=True)
            await asyncio.sleep(3.0)
            greet(pod)
            ended(pod)
            assert not it.come_and_go()
            assert it.results == {"closed": 2}

    with_sockets(story(), LONG_S)
