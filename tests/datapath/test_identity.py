"""A pod's address is taken over by another pod: no byte of a client's goes to the wrong one."""

from proxy.model import Address, Answer, AnswerKind, EndReason, Identity, Listed
from tests.datapath.peers import no_socket_lost
from tests.datapath.relays import ENGINES, Bench
from tests.datapath.scenes import Scene, echoing, pods, silent
from tests.support import run


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


def test_a_connect_under_way_is_not_used() -> None:
    """The name changes while a client waits for the connect: it is served by another pod, no byte lost."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent, echoing) as (first, second):
            scene = Scene()
            scene.pool.apply(named(web0=first.address))
            slow = scene.sessions._connector.connect

            async def connect_late(address: Address, timeout_s: float) -> object:
                sock = await slow(address, timeout_s)
                if address == first.address:
                    scene.pool.apply(named(web7=first.address, web1=second.address))
                    scene.pool.apply(named(web1=second.address))
                    scene.pool.apply(named(web1=second.address))
                return sock

            scene.sessions._connector.connect = connect_late  # type: ignore[method-assign, assignment]

            assert await scene.ask() == b"hello"
            assert scene.outcomes == {"completed": 1}
            assert scene.counters.ejections == {}
            assert first.accepted[0].sock.recv(10) == b""  # closed again, without a byte

    run(test())
