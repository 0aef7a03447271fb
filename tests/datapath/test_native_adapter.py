"""The native relay as Python has it: without a task, with callbacks, and when things go wrong."""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.datapath.engines import NOT_BUILT, is_built
from proxy.datapath.relay import End
from proxy.model import EndReason
from proxy.observe.counters import ServiceCounters
from tests.datapath.peers import MIB, Peer, connected
from tests.datapath.relays import NEVER, Bench, native
from tests.support import run

if not is_built():
    pytest.skip(NOT_BUILT, allow_module_level=True)

from proxy.datapath.native._relay import Pair
from proxy.datapath.relay_native import NativeEngine, NativeRelay


def begun(
    on_end: Callable[[End], None], on_pod_byte: Callable[[float], None] = print, buffer: int = 0
) -> tuple[NativeRelay, Peer, Peer, Pair]:
    """A relayed connection without a task: its relay and far ends."""
    relay = native(NEVER, ServiceCounters())
    assert isinstance(relay, NativeRelay)
    (far_client, client), (far_pod, pod) = connected(buffer), connected(buffer)
    pair = relay.start(client, pod, on_pod_byte, on_end, 0.0)
    assert (client.fileno(), pod.fileno()) == (-1, -1)
    return relay, far_client, far_pod, pair


def test_without_a_task() -> None:
    """start() does what run() does, and calls back: with the first byte at once, with the end at the end."""

    async def test() -> None:
        heard: list[object] = []
        over = asyncio.Event()

        def on_end(end: End) -> None:
            heard.append(end)
            over.set()

        _relay, client, pod, _pair = begun(on_end, lambda waited_s: heard.append("first byte"))
        assert heard == []
        await pod.send(b"welcome")
        assert await client.receive(7) == b"welcome"
        client.close()
        assert await pod.rest() == b""
        pod.close()
        await over.wait()

        assert heard == ["first byte", End(EndReason.COMPLETED, 0, 7, False)]

    run(test())


def test_leave_when_quiet() -> None:
    """A quiet connection can be ended without a reset on either side."""

    async def test() -> None:
        ends: asyncio.Queue[End] = asyncio.Queue()
        relay, client, pod, pair = begun(ends.put_nowait)
        await client.send(b"hello")
        assert await pod.receive(5) == b"hello"
        relay.leave(pair, EndReason.IDENTITY_CHANGED)
        relay.leave(pair, EndReason.ABORTED)  # it is leaving already

        assert await ends.get() == End(EndReason.IDENTITY_CHANGED, 5, 0, False)
        for peer in (client, pod):
            assert not await peer.was_reset()
            peer.close()

    run(test())


def test_leave_with_bytes_in_hand() -> None:
    """What a slow reader has not taken yet still reaches it before the end."""

    async def test() -> None:
        ends: asyncio.Queue[End] = asyncio.Queue()
        relay, client, pod, pair = begun(ends.put_nowait, buffer=16 << 10)
        for _ in range(20):  # more than the pod's side takes
            with suppress(BlockingIOError):
                client.sock.send(b"x" * MIB)
            await asyncio.sleep(0.002)
        relay.leave(pair, EndReason.ABORTED)
        await asyncio.sleep(0.005)
        assert ends.empty()
        heard = len(await pod.rest())

        assert heard == (await ends.get()).to_pod > 0
        for peer in (client, pod):
            peer.close()

    run(test())


def test_one_who_cannot_bear_the_news(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that fails is logged; the others hear what they are to hear."""

    async def test() -> None:
        ends: asyncio.Queue[End] = asyncio.Queue()
        engine = NativeEngine()

        def fail(_: object) -> None:
            raise ValueError("no")

        peers = []
        for on_end in (fail, ends.put_nowait):
            (far_client, client), (far_pod, pod) = connected(), connected()
            NativeRelay(engine, NEVER, ServiceCounters()).start(client, pod, fail, on_end, 0.0)
            peers += [far_client, far_pod]
        await asyncio.sleep(0.002)
        for peer in peers:
            peer.sock.send(b"x")
            peer.close()
        await ends.get()

    with caplog.at_level(logging.ERROR, "headway.relay"):
        run(test())
    assert {record.exc_info[0] for record in caplog.records if record.exc_info} == {ValueError}


def test_what_cannot_be_watched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that the system does not let be watched is reset, with a line that says so."""

    async def test() -> None:
        far, near = connected()
        with (tmp_path / "file").open("wb") as file:
            os.dup2(file.fileno(), near.fileno())
        async with Bench(native).relayed(client=(far, near)) as it:
            assert await it.reason() is EndReason.ABORTED
            assert await it.pod.was_reset()

    with caplog.at_level(logging.ERROR, "headway.relay"):
        run(test())
    (record,) = caplog.records
    assert "could not be watched" in record.message
    assert "Operation not permitted" in record.message
