"""Every relay: a pod that ends before any byte flowed costs the client nothing: its socket comes back."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from proxy.datapath.relay import End
from proxy.model import EndReason
from tests.datapath.peers import MIB, Peer, no_socket_lost
from tests.datapath.relays import Bench, Engine, Relayed
from tests.support import run

GONE = {"fin": Peer.close, "half_close": Peer.finish, "reset": Peer.reset}


@pytest.mark.parametrize("how", GONE)
@pytest.mark.parametrize("late", [False, True])
def test_the_client_gets_another_pod(engine: Engine, how: str, late: bool) -> None:
    """A client whose pod ends in silence is relayed to a second pod as if the first had never been."""
    question, answer = b"?" * MIB, b"!" * MIB

    async def test() -> None:
        bench = Bench(engine)
        async with no_socket_lost(), bench.relayed(retry_s=60.0) as it:
            if late:
                await asyncio.sleep(0.005)
            GONE[how](it.pod)
            end = await it.end()
            assert (end.reason, end.to_pod, end.from_pod) == (EndReason.UNTOUCHED, 0, 0)
            assert end.pod_first
            assert it.waits == []
            assert not os.get_blocking(end.client)

            async with bench.relayed(client=(it.client, it.given_back)) as second:
                sending = asyncio.create_task(second.client.send(question))
                assert await second.pod.receive(MIB) == question
                await sending
                sending = asyncio.create_task(second.pod.send(answer))
                assert await second.client.receive(MIB) == answer
                await sending
                second.client.finish()
                second.pod.finish()
                assert (await second.client.rest(), await second.pod.rest()) == (b"", b"")
                assert await second.reason() is EndReason.COMPLETED

    run(test())


@pytest.mark.parametrize("how", GONE)
def test_what_the_client_said_meanwhile(engine: Engine, how: str) -> None:
    """A pod that was gone before the relay began gets none of the bytes that wait: the next pod does."""

    def before(client: Peer, pod: Peer) -> None:
        client.sock.send(b"hello")
        GONE[how](pod)

    async def test() -> None:
        bench = Bench(engine)
        for _ in range(50):
            async with bench.relayed(retry_s=60.0, before=before) as it:
                end = await it.end()
                assert end.reason is EndReason.UNTOUCHED

                async with bench.relayed(client=(it.client, it.given_back)) as second:
                    await second.client.send(b" again")
                    assert await second.pod.receive(11) == b"hello again"

    run(test())


@pytest.mark.slow
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_no_byte_is_lost_however_close_it_is(engine: Engine, how: str) -> None:
    """The client speaks just as the pod ends, 500 times: its bytes count as sent, or reach the next pod."""

    async def test() -> None:
        bench = Bench(engine)

        async def one_connection(turns: int) -> End:
            async with bench.relayed(retry_s=60.0) as it:
                for _ in range(turns % 7):
                    await asyncio.sleep(0)
                GONE[how](it.pod)
                for _ in range(turns % 3):
                    await asyncio.sleep(0)
                await it.client.send(b"hello")
                if how == "fin":
                    it.client.finish()
                end = await it.end()
                if end.client < 0:
                    assert end.to_pod == 5
                else:
                    async with bench.relayed(client=(it.client, it.given_back)) as second:
                        assert await second.pod.receive(5) == b"hello"
                return end

        async with no_socket_lost():
            reasons = {(await one_connection(turns)).reason for turns in range(500)}
        assert EndReason.UNTOUCHED in reasons

    run(test())


async def said(it: Relayed) -> None:
    await it.client.send(b"hello")
    assert await it.pod.receive(5) == b"hello"


async def finished(it: Relayed) -> None:
    it.client.finish()
    assert await it.pod.rest() == b""


async def greeted(it: Relayed) -> None:
    await it.pod.send(b"welcome")
    assert await it.client.receive(7) == b"welcome"


@pytest.mark.parametrize("how", GONE)
@pytest.mark.parametrize("touch", [said, finished, greeted])
def test_not_once_anything_was_said(
    engine: Engine, how: str, touch: Callable[[Relayed], Awaitable[None]]
) -> None:
    """After a byte of either side, or the client's FIN, the pod's end is the connection's own."""

    async def test() -> None:
        async with Bench(engine).relayed(retry_s=60.0) as it:
            await touch(it)
            GONE[how](it.pod)
            with suppress(OSError):  # reset already
                it.client.finish()
            end = await it.end()

            assert end.reason in (EndReason.COMPLETED, EndReason.POD_RESET)
            assert end.client < 0

    run(test())


@pytest.mark.parametrize("retry_s", [0.0, 0.001])
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_not_when_it_is_too_late(engine: Engine, how: str, retry_s: float) -> None:
    """From `retry_before` on, and with 0 always, the end of a silent pod is passed on as it is."""

    async def test() -> None:
        async with Bench(engine).relayed(retry_s=retry_s) as it:
            await asyncio.sleep(0.005)
            GONE[how](it.pod)
            assert await it.client.was_reset() is (how == "reset")
            it.client.close()
            end = await it.end()

            assert end.client < 0
            assert end.pod_first
            assert end.reason is (EndReason.POD_RESET if how == "reset" else EndReason.COMPLETED)

    run(test())
