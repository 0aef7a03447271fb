"""Every relay: how long the pod made its client wait for the first byte, not how long the client took."""

import asyncio
import time

import pytest

from proxy.model import EndReason
from tests.datapath.peers import Peer, stall
from tests.datapath.relays import ENGINES, Bench, Engine, Relayed
from tests.support import run

THINKING_S = 0.1  # the client
WORKING_S = 0.05  # the pod


class Watch:
    """Holds a wait against what the far ends saw of it: so the test is exact, however slow the machine."""

    def __init__(self) -> None:
        """The client is about to ask."""
        self._asking = time.monotonic()

    def asked(self) -> None:
        """The relay has the question."""
        self._asked = time.monotonic()

    async def answered(self, it: Relayed) -> None:
        """The pod answers after its work, and that was the wait."""
        await asyncio.sleep(WORKING_S)
        answering = time.monotonic()
        await it.pod.send(b"answer")
        assert await it.client.receive(6) == b"answer"
        waited_s = await it.waited_s()
        assert answering - self._asked <= waited_s <= time.monotonic() - self._asking


def test_the_client_speaks_first(engine: Engine) -> None:
    """The pod's time counts from the client's first byte on, however long that took to come."""

    async def test() -> None:
        async with Bench(engine).relayed() as it:
            await asyncio.sleep(THINKING_S)
            watch = Watch()
            await it.client.send(b"question")
            assert await it.pod.receive(8) == b"question"
            watch.asked()

            await watch.answered(it)
            assert it.ear.unasked == [False]

    run(test())


def test_the_pod_speaks_first(engine: Engine) -> None:
    """A greeting counts from the moment the relay took over; what follows changes nothing."""

    async def test() -> None:
        watch = Watch()
        async with Bench(engine).relayed() as it:
            watch.asked()
            await watch.answered(it)
            await it.client.send(b"question")
            await it.pod.send(b"answer")
            await it.client.receive(6)

            assert len(it.waits) == 1
            assert it.ear.unasked == [True]

    run(test())


def test_a_question_in_two_parts(engine: Engine) -> None:
    """The client's first byte is what counts, not the last one before the answer."""

    async def test() -> None:
        async with Bench(engine).relayed() as it:
            watch = Watch()
            await it.client.send(b"ques")
            assert await it.pod.receive(4) == b"ques"
            watch.asked()
            await asyncio.sleep(WORKING_S)
            await it.client.send(b"tion")
            assert await it.pod.receive(4) == b"tion"

            await watch.answered(it)

    run(test())


@pytest.mark.parametrize("finished", [False, True])
def test_a_question_that_was_there_before(engine: Engine, finished: bool) -> None:
    """Bytes that came while the pod was connected to count from when it can have them."""

    def before(client: Peer, pod: Peer) -> None:
        client.sock.send(b"question")
        if finished:
            client.finish()

    async def test() -> None:
        watch = Watch()
        async with Bench(engine).relayed(before=before) as it:
            assert await it.pod.receive(8) == b"question"
            watch.asked()

            await watch.answered(it)

    run(test())


@pytest.mark.parametrize("asked", [False, True])
def test_a_greeting_that_was_there_before(engine: Engine, asked: bool) -> None:
    """It counts from when the relay took over, even if the client has spoken too: it is no answer to that."""

    def before(client: Peer, pod: Peer) -> None:
        pod.sock.send(b"welcome")
        if asked:
            client.sock.send(b"question")

    async def test() -> None:
        began = time.monotonic()
        async with Bench(engine).relayed(before=before) as it:
            taken_over = time.monotonic()
            stall(WORKING_S)
            reading = time.monotonic()
            assert await it.client.receive(7) == b"welcome"

            waited_s = await it.waited_s()
            assert 0.0 <= waited_s <= time.monotonic() - began
            if engine is ENGINES["asyncio"]:  # which shares the stalled thread, and had no transport yet
                assert waited_s >= reading - taken_over

    run(test())


@pytest.mark.parametrize("said", [b"", b"question"])
def test_half_closed_first(engine: Engine, said: bytes) -> None:
    """A client's FIN alone is a question too, if it is all there is; behind bytes it is none."""

    async def test() -> None:
        async with Bench(engine).relayed() as it:
            await asyncio.sleep(THINKING_S)
            watch = Watch()
            await it.client.send(said)
            if said:
                assert await it.pod.receive(len(said)) == said
                watch.asked()
                await asyncio.sleep(WORKING_S)
            it.client.finish()
            assert await it.pod.rest() == b""
            if not said:
                watch.asked()

            await watch.answered(it)
            assert it.ear.unasked == [False]
            it.pod.finish()
            assert await it.reason() is EndReason.COMPLETED

    run(test())
