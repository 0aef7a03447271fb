"""The native relay as Python has it: without a task, with callbacks, and when things go wrong."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.datapath.engines import NOT_BUILT, is_built
from proxy.datapath.relay import End
from proxy.model import EndReason
from proxy.observe.counters import ServiceCounters
from tests.datapath.peers import Peer, connected
from tests.datapath.relays import NEVER, TUNING, Bench, native
from tests.support import run

if not is_built():
    pytest.skip(NOT_BUILT, allow_module_level=True)

from proxy.datapath.relay_native import NativeEngine, NativeRelay


@dataclass
class Callbacks:
    on_pod_byte: Callable[[float], object]
    on_end: Callable[[End], object]

    def answered(self, connect_s: float, waited_s: float, unasked: bool) -> None:
        self.on_pod_byte(waited_s)

    def ended(self, end: End) -> None:
        self.on_end(end)


@dataclass
class Begun:
    """A relayed connection without a task: its relay and far ends."""

    relay: NativeRelay
    counters: ServiceCounters
    client: Peer
    pod: Peer


@asynccontextmanager
async def begun(
    on_end: Callable[[End], None],
    on_pod_byte: Callable[[float], None] = print,
) -> AsyncIterator[Begun]:
    counters = ServiceCounters()
    relay = native(NEVER, counters)
    assert isinstance(relay, NativeRelay)
    (far_client, client), (far_pod, pod) = connected(), connected()
    relay.start(client.detach(), pod, Callbacks(on_pod_byte, on_end), connect_within_s=60.0, retry_before=0.0)
    assert pod.fileno() == -1
    try:
        yield Begun(relay, counters, far_client, far_pod)
    finally:
        relay.abort()
        far_client.close()
        far_pod.close()


def test_without_a_task() -> None:
    """start() calls back: with the first byte at once, with the end at the end."""

    async def test() -> None:
        heard: list[object] = []
        over = asyncio.Event()

        def on_end(end: End) -> None:
            heard.append(end)
            over.set()

        async with begun(on_end, lambda waited_s: heard.append("first byte")) as it:
            assert heard == []
            await it.pod.send(b"welcome")
            assert await it.client.receive(7) == b"welcome"
            it.client.close()
            assert await it.pod.rest() == b""
            it.pod.close()
            await over.wait()

        assert heard == ["first byte", End(EndReason.COMPLETED, 0, 7, False)]

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
            relay = NativeRelay(engine, NEVER, TUNING, ServiceCounters())
            ear = Callbacks(fail, on_end)
            relay.start(client.detach(), pod, ear, connect_within_s=60.0, retry_before=0.0)
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
