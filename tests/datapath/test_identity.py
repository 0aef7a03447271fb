"""A pod's address is taken over by another pod: no byte of a client's goes to the wrong one."""

import asyncio
from functools import partial

import pytest

from proxy.model import Address, Answer, AnswerKind, EndReason, Identity, Listed
from tests.datapath.peers import black_hole, no_socket_lost
from tests.datapath.relays import ENGINES, Bench
from tests.datapath.scenes import Scene, echoing, pods
from tests.support import run, until


def named(**pods: Address) -> Answer:
    return Answer(AnswerKind.ENDPOINTS, {Identity(address, name): Listed() for name, address in pods.items()})


def test_only_its_own_connections_are_ended() -> None:
    """abort() of one owner resets both ends of its connections, with the reason, and touches no other."""

    async def test() -> None:
        bench = Bench(ENGINES["asyncio"])
        mine, other = object(), object()
        async with bench.relayed(owner=mine) as one, bench.relayed(owner=other) as two:
            bench.relay.abort(EndReason.IDENTITY_CHANGED, mine)

            assert await one.reason() is EndReason.IDENTITY_CHANGED
            assert await one.client.was_reset()
            assert await one.pod.was_reset()
            await two.client.send(b"still here")
            assert await two.pod.receive(10) == b"still here"

    run(test())


@pytest.mark.parametrize("kind", ENGINES)
def test_a_connect_under_way_is_not_used(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name changes while a client waits for the connect: it is served by another pod, no byte lost."""

    async def test() -> None:
        monkeypatch.setattr("tests.datapath.scenes.BY_DEFAULT", ENGINES[kind])
        async with no_socket_lost(), pods(echoing) as (second,):
            with black_hole() as hole:
                await serve_another(hole, second.address)

    async def serve_another(hole: Address, second: Address) -> None:
        scene = Scene()
        scene.pool.roster.on_replaced = partial(scene.relay.abort, EndReason.IDENTITY_CHANGED)
        scene.pool.apply(named(web0=hole))
        asking = asyncio.create_task(scene.ask())
        await until(lambda: scene.leases == 1)
        await asyncio.sleep(0.01)  # the SYN is out
        scene.pool.apply(named(web7=hole, web1=second))
        scene.pool.apply(named(web1=second))
        scene.pool.apply(named(web1=second))

        assert await asking == b"hello"
        assert scene.outcomes == {"completed": 1}
        assert scene.counters.ejections == {}

    run(test())
