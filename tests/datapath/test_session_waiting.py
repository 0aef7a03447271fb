"""One connection while there is nowhere to go, when its client leaves, and what is written down of it."""

import asyncio
import logging
from typing import Any

import pytest

from proxy.errors import NoRoom
from proxy.model import PLAIN, Answer, AnswerKind, Identity
from tests.datapath.peers import black_hole, connected, no_socket_lost, refusing
from tests.datapath.scenes import Scene, echoing, pods, silent
from tests.support import run, until


def test_waits_for_the_first_endpoint() -> None:
    """Clients that come before the first DNS answer are served when it is there, with all they said."""

    async def test() -> None:
        async with no_socket_lost(), pods(echoing) as (pod,):
            scene = Scene()
            asking = [asyncio.create_task(scene.ask(b"%d" % number)) for number in range(20)]
            await until(lambda: scene.counters.waiting == 20)
            assert scene.counters.active == 20
            scene.learn([pod.address])

            assert await asyncio.gather(*asking) == [b"%d" % number for number in range(20)]
            assert (scene.counters.waiting, scene.counters.active) == (0, 0)
            assert scene.outcomes == {"completed": 20}

    run(test())


def test_no_endpoint() -> None:
    """Without an endpoint until the deadline, the client is reset and nothing is kept."""

    async def test() -> None:
        async with no_socket_lost():
            scene = Scene(CONNECT_DEADLINE="100ms")
            async with scene.client() as (peer, session):
                assert await peer.was_reset()
                await session

            assert scene.outcomes == {"no_endpoint": 1}
            assert not scene.counters.sheds
            assert (scene.counters.waiting, scene.counters.active) == (0, 0)

    run(test())


def test_reset_while_waiting() -> None:
    """A client that was reset before there was an endpoint ends at once when there is; no pod is blamed."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,):
            scene = Scene(EJECT_AFTER="1")
            async with scene.client() as (peer, session):
                await asyncio.sleep(0)
                peer.reset()
                scene.learn([pod.address])
                await session

            assert scene.outcomes == {"client_reset": 1}
            assert scene.leases == 0
            assert scene.endpoint(pod.address).ejection.failures == 0

    run(test())


def test_finished_while_waiting() -> None:
    """A client that said all it had to say before there was an endpoint gets its answer."""

    async def test() -> None:
        async with pods(echoing) as (pod,):
            scene = Scene()
            async with scene.client() as (peer, _):
                await peer.send(b"hello")
                peer.finish()
                await asyncio.sleep(0)
                scene.learn([pod.address])

                assert await peer.rest() == b"hello"

    run(test())


def test_left_while_connecting() -> None:
    """A client that leaves while a pod is connected to holds its lease no longer than CONNECT_TIMEOUT."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,):
            with black_hole() as hole:
                scene = Scene([hole, pod.address], CONNECT_TIMEOUT="50ms")
                async with scene.client() as (peer, session):
                    await asyncio.sleep(0.01)
                    peer.reset()
                    await session

                assert scene.outcomes == {"client_reset": 1}
                assert scene.leases == 0

    run(test())


def test_left_without_a_word() -> None:
    """A client that connects and leaves, as a port check does, says nothing about the pod either way."""

    async def test() -> None:
        async with pods(echoing) as (pod,):
            scene = Scene([pod.address])
            async with scene.client() as (peer, session):
                peer.close()
                await session

            assert scene.outcomes == {"completed": 1}
            assert scene.endpoint(pod.address).ejection.failures == 0

    run(test())


@pytest.mark.parametrize("stage", ["waiting", "connecting", "relaying"])
def test_cut_off(stage: str) -> None:
    """A session that is cut off resets its client and gives everything back, whatever it was doing."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,):
            with black_hole() as hole:
                scene = Scene({"waiting": [], "connecting": [hole], "relaying": [pod.address]}[stage])
                async with scene.client() as (peer, session):
                    await asyncio.sleep(0.01)
                    assert scene.leases == (0 if stage == "waiting" else 1)
                    scene.cut_off()

                    assert await peer.was_reset()
                    await session
            assert scene.outcomes == {"aborted": 1}
            assert (scene.leases, scene.counters.active, scene.counters.waiting) == (0, 0, 0)

    run(test())


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    every = (record for record in caplog.records if record.name == "headway.access")
    return [vars(record)["fields"] for record in every]


@pytest.mark.parametrize(
    "what,outcomes", [("off", []), ("failures", ["refused"]), ("all", ["completed", "refused"])]
)
def test_access_log(what: str, outcomes: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """ACCESS_LOG writes one line per ended connection: none, those that failed, or all."""
    caplog.set_level(logging.INFO)

    async def test() -> None:
        async with pods(echoing) as (pod,):
            scene = Scene([pod.address], ACCESS_LOG=what)
            await scene.ask()
        async with scene.client() as (peer, session):
            assert await peer.was_reset()
            await session

    run(test())

    assert [line["outcome"] for line in lines(caplog)] == outcomes


def test_debugging_shows_each_connection(caplog: pytest.LogCaptureFixture) -> None:
    """With LOG_LEVEL=debug nobody has to switch the access log on; a failure says what the system said."""
    caplog.set_level(logging.DEBUG)

    async def test() -> None:
        with refusing() as dead:
            async with Scene([dead], ACCESS_LOG="off").client() as (peer, _):
                assert await peer.was_reset()

    run(test())

    (line,) = lines(caplog)
    assert (line["outcome"], line["detail"]) == ("refused", "Connection refused")
    assert line["connect_ms"] is None


def test_access_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """A line says which pod took the connection at which attempt, how much flowed and who ended it."""
    caplog.set_level(logging.INFO)

    async def test() -> str:
        async with pods(silent) as (pod,):
            with refusing() as dead:
                scene = Scene([dead, pod.address], ACCESS_LOG="all")
                async with scene.client() as (peer, session):
                    await peer.send(b"four")
                    await until(lambda: pod.accepted)
                    await pod.accepted[0].send(b"seventy")
                    pod.accepted[0].finish()
                    assert await peer.rest() == b"seventy"
                    peer.close()
                    await session
            return str(pod.address)

    label = run(test())

    (line,) = lines(caplog)
    assert 0.0 < line.pop("seconds") < 5.0
    assert 0.0 < line.pop("connect_ms") < 5000.0
    assert line == {
        "service": "default",
        "outcome": "completed",
        "endpoint": label,
        "identity": "",
        "attempts": 2,
        "to_pod": 4,
        "from_pod": 7,
        "spare": False,
        "ended_by": "pod",
        "detail": "",
    }


def test_a_pod_that_has_a_name(caplog: pytest.LogCaptureFixture) -> None:
    """Where DNS names the pods the line does, too; the connect is that of the pod which served in the end."""
    caplog.set_level(logging.INFO)

    async def test() -> None:
        async with pods(echoing) as (pod,):
            scene = Scene(ACCESS_LOG="all")
            name = Identity(pod.address, "orders-0.orders.shop.svc.cluster.local")
            scene.pool.apply(Answer(AnswerKind.ENDPOINTS, {name: PLAIN}))
            assert await scene.ask() == b"hello"

    run(test())

    (line,) = lines(caplog)
    assert line["identity"] == "orders-0"
    assert line["connect_ms"] > 0


def test_one_that_was_refused_at_the_door(caplog: pytest.LogCaptureFixture) -> None:
    """Who is accepted only to be told that there is no room has a line, and is counted."""
    caplog.set_level(logging.INFO)

    async def test() -> None:
        scene = Scene(ACCESS_LOG="failures")
        client, accepted = connected()
        scene.sessions.refuse(accepted.detach(), NoRoom("2 connections open, no room for more"))
        assert await client.was_reset()
        client.close()

        assert scene.outcomes == dict(scene.counters.sheds) == {"no_room": 1}
        assert (scene.counters.active, scene.slots.used) == (0, 0)

    run(test())

    (line,) = lines(caplog)
    assert (line["outcome"], line["endpoint"], line["connect_ms"]) == ("no_room", "", None)
    assert line["detail"] == "2 connections open, no room for more"


@pytest.mark.parametrize(
    "how,outcome,by", [("abort", "aborted", "proxy"), ("reset", "client_reset", "client")]
)
def test_who_ended_it(how: str, outcome: str, by: str, caplog: pytest.LogCaptureFixture) -> None:
    """What the proxy ends is not said to be the client's doing."""
    caplog.set_level(logging.INFO)

    async def test() -> None:
        async with pods(silent) as (pod,):
            scene = Scene([pod.address], ACCESS_LOG="all")
            async with scene.client() as (peer, session):
                await until(lambda: pod.accepted)
                scene.relay.abort() if how == "abort" else peer.reset()
                await session

    run(test())

    assert [(line["outcome"], line["ended_by"]) for line in lines(caplog)] == [(outcome, by)]
