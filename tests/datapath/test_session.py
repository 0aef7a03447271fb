"""One connection from accept to close: what its client notices of bad pods, which is as little as can be."""

import asyncio
import gc
import logging
import time
from contextlib import ExitStack, suppress

import pytest

from proxy.datapath.session import Session
from tests.datapath.peers import black_hole, connected, no_descriptor_free, no_socket_lost, refusing
from tests.datapath.scenes import Act, Pod, Scene, closing, echoing, pods, resetting, silent
from tests.support import run, until


@pytest.mark.slow
def test_one_of_six_pods_is_dead() -> None:
    """With one of six endpoints refusing, and no checks and no ejection, not one of 1,000 clients fails."""

    async def test() -> None:
        async with no_socket_lost(), pods(*[echoing] * 5) as five:
            with refusing() as dead:
                scene = Scene([dead, *(pod.address for pod in five)], BALANCER="p2c")
                for _ in range(20):
                    answers = await asyncio.gather(*(scene.ask(b"%d" % number) for number in range(50)))
                    assert answers == [b"%d" % number for number in range(50)]

                assert scene.outcomes == {"completed": 1000}
                assert scene.counters.retries == scene.endpoint(dead).picks > 0
                assert scene.leases == 0

    run(test())


@pytest.mark.parametrize("how", ["refused", "timeout"])
def test_no_connection(how: str) -> None:
    """A client whose first pod cannot be reached is served by the next; the first is blamed for it."""

    async def test() -> None:
        async with pods(echoing) as (good,):
            with refusing() if how == "refused" else black_hole() as bad:
                scene = Scene([bad, good.address], CONNECT_TIMEOUT="50ms", EJECT_AFTER="1")

                assert await scene.ask() == b"hello"
                assert scene.outcomes == {"completed": 1}
                assert scene.counters.retries == 1
                assert scene.counters.ejections == {how: 1}

    run(test())


@pytest.mark.parametrize("bad_act", [resetting, closing])
def test_the_pod_ends_it_in_silence(bad_act: Act) -> None:
    """A client whose first pod ends the connection before any byte is served by the next, bytes and all."""

    async def test() -> None:
        async with no_socket_lost(), pods(bad_act, echoing) as (bad, good):
            scene = Scene([bad.address, good.address], EJECT_AFTER="1")
            async with scene.client() as (peer, session):
                await until(lambda: scene.counters.retries)
                assert scene.counters.retries == 1
                await peer.send(b"hello")
                assert await peer.receive(5) == b"hello"
                peer.finish()
                assert await peer.rest() == b""
                await session

            assert scene.outcomes == {"completed": 1}
            assert scene.counters.ejections == {"reset_early": 1}
            assert scene.leases == 0

    run(test())


def test_reset_when_nobody_takes_it_after_all() -> None:
    """A client that one pod gives back and the rest refuse is reset: a FIN would pass for an empty reply."""

    async def test() -> None:
        async with no_socket_lost(), pods(closing) as (first,):
            with refusing() as second, refusing() as third:
                scene = Scene([first.address, second, third])
                async with scene.client() as (peer, session):
                    assert await peer.was_reset()
                    await session

                assert scene.outcomes == {"refused": 1}
                assert [each.picks for each in scene.pool.members] == [1, 1, 1]

    run(test())


@pytest.mark.parametrize(
    "pods_there,attempts,tried", [(5, 3, 5), (5, 1, 1), (2, 3, 2), (1, 3, 1), (4, 100, 4)]
)
@pytest.mark.parametrize("balancer", ["p2c", "round_robin", "random", "least_connections"])
def test_attempts(balancer: str, pods_there: int, attempts: int, tried: int) -> None:
    """A connection tries CONNECT_ATTEMPTS endpoints, none of them twice; then its client is reset."""

    async def test() -> None:
        with ExitStack() as dead:
            addresses = [dead.enter_context(refusing()) for _ in range(pods_there)]
            for _ in range(5):
                scene = Scene(addresses, BALANCER=balancer, CONNECT_ATTEMPTS=str(attempts))
                async with scene.client() as (peer, session):
                    assert await peer.was_reset()
                    await session

                assert sorted(each.picks for each in scene.pool.members)[-tried:] == [1] * tried
                assert sum(each.picks for each in scene.pool.members) == tried
                assert scene.counters.retries == tried - 1
                assert scene.outcomes == {"refused": 1}

    run(test())


def test_deadline() -> None:
    """Silent pods hold a client up until CONNECT_DEADLINE, not for as many timeouts as there are pods."""

    async def test() -> None:
        with ExitStack() as dead:
            addresses = [dead.enter_context(black_hole()) for _ in range(6)]
            settings = {"CONNECT_TIMEOUT": "400ms", "CONNECT_DEADLINE": "600ms", "CONNECT_ATTEMPTS": "6"}
            scene = Scene(addresses, **settings)
            began = time.monotonic()
            async with scene.client() as (peer, session):
                assert await peer.was_reset()
                assert 0.6 <= time.monotonic() - began < 2.4  # six timeouts
                await session

            assert scene.outcomes == {"deadline": 1}
            assert [each.picks for each in map(scene.endpoint, addresses)] == [1, 1, 0, 0, 0, 0]
            # The second had only what was left of the deadline: that says nothing about it.
            assert [scene.endpoint(each).ejection.failures for each in addresses[:2]] == [1, 0]

    run(test())


@pytest.mark.parametrize("where", ["lease", "connection_succeeded"])
def test_a_fault_of_our_own(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A session that crashes is logged and counted; its client is reset, and it holds no room after it."""

    async def test() -> None:
        async with no_socket_lost(), pods(echoing) as (good,):
            scene = Scene([good.address])
            with monkeypatch.context() as patch:
                patch.setattr(scene.pool, where, None)  # cannot be called
                peer, accepted = connected()
                scene.listen(accepted)
                peer.sock.send(b"hello")
                peer.finish()
                with suppress(ConnectionResetError):
                    await peer.rest()
                await until(lambda: scene.slots.used == 0)
                peer.close()
            assert (scene.counters.active, scene.leases) == (0, 0)
            assert await scene.ask() == b"hello"

    with caplog.at_level(logging.ERROR):
        run(test())
    assert "TypeError" in caplog.text


def test_failures_leave_no_garbage() -> None:
    """In an outage all fail: their sessions go at once, and not with some later collection."""

    async def test() -> None:
        with refusing() as dead:
            scene = Scene([dead])
            gc.collect()
            gc.disable()
            try:
                for _ in range(20):
                    peer, accepted = connected()
                    await scene.serve(accepted)
                    peer.close()
                left = sum(isinstance(each, Session) for each in gc.get_objects())
            finally:
                gc.enable()
            assert left <= 1  # the last one's news may still be on its way

    run(test())


def test_out_of_descriptors() -> None:
    """When we cannot open a socket, the client is reset with that reason, and no pod is blamed for it."""

    async def test() -> None:
        async with pods(echoing) as (good,):
            scene = Scene([good.address], EJECT_AFTER="1")
            async with scene.client() as (peer, session):
                with no_descriptor_free():
                    assert await peer.was_reset()
                await session
            assert scene.outcomes == {"out_of_descriptors": 1}
            assert not scene.counters.ejections
            assert await scene.ask() == b"hello"

    run(test())


@pytest.mark.parametrize("act", [resetting, closing])
def test_the_only_pod_ends_it_in_silence(act: Act) -> None:
    """With no other pod to go to the client is reset, however politely the pod ended: it got no service."""

    async def test() -> None:
        async with pods(act) as (bad,):
            scene = Scene([bad.address], EJECT_AFTER="1")
            async with scene.client() as (peer, session):
                assert await peer.was_reset()
                await session

            assert scene.outcomes == {"reset_early": 1}
            assert scene.endpoint(bad.address).ejection.failures == 1

    run(test())


async def fail_once(scene: Scene, pod: Pod) -> None:
    """One connection that the pod takes and resets before a byte has flowed."""
    async with scene.client() as (_, session):
        await until(lambda: pod.accepted)
        pod.accepted[0].reset()
        await session


def test_success_is_known_with_the_first_byte() -> None:
    """A pod is cleared of earlier failures when its first byte comes, not when a long connection ends."""

    async def test() -> None:
        async with pods(silent) as (pod,):
            scene = Scene([pod.address])
            endpoint = scene.endpoint(pod.address)
            await fail_once(scene, pod)
            assert endpoint.ejection.failures == 1

            async with scene.client() as (peer, _):
                await peer.send(b"hello")
                await until(lambda: len(pod.accepted) == 2)
                assert endpoint.ejection.failures == 1
                await pod.accepted[1].send(b"x")
                assert await peer.receive(1) == b"x"

                # The native relay tells it from a thread of its own: maybe after the client has the byte.
                await until(lambda: endpoint.ejection.failures == 0)
                assert scene.leases == 1

    run(test())


def test_how_long_a_pod_makes_its_clients_wait() -> None:
    """The pool learns the time to connect, and with the first byte how long that took beside it."""

    async def test() -> None:
        async with pods(silent) as (pod,):
            scene = Scene([pod.address])
            endpoint = scene.endpoint(pod.address)

            began = time.monotonic()
            async with scene.client() as (peer, _):
                await peer.send(b"hello")
                await until(lambda: pod.accepted)
                assert await pod.accepted[0].receive(5) == b"hello"
                asked = time.monotonic()
                assert endpoint.latency.read(asked) is None
                await asyncio.sleep(0.05)
                answering = time.monotonic()
                await pod.accepted[0].send(b"x")
                assert await peer.receive(1) == b"x"
                # The relay may say so a little after the client has the byte.
                await until(lambda: endpoint.latency.read(asked) is not None)

                assert endpoint.connect_s is not None
                waited_s = endpoint.latency.seconds - endpoint.connect_s
                assert answering - asked <= waited_s <= endpoint.latency.seconds <= time.monotonic() - began
                assert 0.0 < endpoint.connect_s <= asked - began

    run(test())


def test_a_pod_that_joins_during_an_attempt() -> None:
    """While the only pod known stays silent, DNS brings another: the client is served by that one."""

    async def test() -> None:
        with black_hole() as hole:
            async with pods(echoing) as (good,):
                scene = Scene([hole], CONNECT_TIMEOUT="300ms")
                asking = asyncio.create_task(scene.ask())
                await until(lambda: scene.endpoint(hole).picks)
                scene.learn([hole, good.address])

                assert await asking == b"hello"
                assert scene.counters.retries == 1

    run(test())


def test_a_question_without_an_answer_clears_nobody() -> None:
    """A pod that hangs takes every question; that a client gives up on it is no success."""

    async def test() -> None:
        async with pods(silent) as (pod,):
            scene = Scene([pod.address])
            endpoint = scene.endpoint(pod.address)
            await fail_once(scene, pod)
            async with scene.client() as (peer, session):
                await peer.send(b"hello")
                await until(lambda: len(pod.accepted) == 2)
                assert await pod.accepted[1].receive(5) == b"hello"
                peer.reset()
                await session

            assert scene.outcomes == {"reset_early": 1, "client_reset": 1}
            assert endpoint.ejection.failures == 1

    run(test())


def test_a_reset_in_answer_to_a_request() -> None:
    """It may be the request's doing: one bad client must not get pods ejected."""

    async def test() -> None:
        async with pods(silent) as (pod,):
            scene = Scene([pod.address])
            async with scene.client() as (peer, session):
                await peer.send(b"hello")
                await until(lambda: pod.accepted)
                assert await pod.accepted[0].receive(5) == b"hello"
                pod.accepted[0].reset()
                await session

            assert scene.outcomes == {"pod_reset": 1}
            assert scene.endpoint(pod.address).ejection.failures == 0

    run(test())
