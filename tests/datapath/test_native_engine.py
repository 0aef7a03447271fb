"""The native engine: its threads need nobody, wake for nothing, and end when they are told."""

import asyncio
import gc
import os
import socket
import subprocess
import sys
from collections.abc import Collection
from contextlib import AsyncExitStack
from pathlib import Path
from textwrap import dedent

import pytest

from proxy.datapath.engines import NOT_BUILT, is_built
from proxy.datapath.relay import End, Timeouts
from proxy.model import EndReason
from proxy.observe.counters import ServiceCounters
from tests.datapath.peers import address_of, connected, listening, no_socket_lost, refusing, stall
from tests.datapath.relays import NEVER, TUNING, Bench, Hearing, native, relay_through
from tests.datapath.scenes import Scene
from tests.support import run, until

if not is_built():
    pytest.skip(NOT_BUILT, allow_module_level=True)

from proxy.datapath.relay_native import NativeEngine, NativeRelay


def threads(but: Collection[str] = ()) -> dict[str, int]:
    """How often each of the engine's threads has woken up; without those of tests before."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        if task.name not in but and (task / "comm").read_text() == "headway-relay\n":
            status = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
            found[task.name] = int(status["voluntary_ctxt_switches"])
    return found


def asleep(but: Collection[str]) -> bool:
    """Whether each of these threads has done all there was to do, however long it had to wait for a core."""
    states = [Path(f"/proc/self/task/{each}/status").read_text() for each in threads(but)]
    return all("\nState:\tS" in state for state in states)


@pytest.mark.parametrize("timeouts", [NEVER, Timeouts(60.0, 60.0)])
def test_the_loop_stands_still(timeouts: Timeouts) -> None:
    """Bytes, both FINs and the counters need no turn of Python's loop."""

    async def test() -> None:
        async with Bench(native, timeouts).relayed() as it:
            await asyncio.sleep(0.001)  # it is handed over
            for sock in (it.client.sock, it.pod.sock):
                sock.settimeout(10.0)
            for number in range(100):
                it.client.sock.sendall(b"%5d" % number)
                assert it.pod.sock.recv(5, socket.MSG_WAITALL) == b"%5d" % number
                it.pod.sock.sendall(b"%7d" % number)
                assert it.client.sock.recv(7, socket.MSG_WAITALL) == b"%7d" % number
                it.relay.account()
                assert it.counters.bytes_to_pods == 5 * (number + 1)
            it.client.finish()
            assert it.pod.sock.recv(1) == b""
            it.pod.finish()
            assert it.client.sock.recv(1) == b""

            assert await it.end() == End(EndReason.COMPLETED, 500, 700, False)

    run(test())


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [0, 20])
def test_nothing_to_do(pairs: int) -> None:
    """A thread sleeps while no byte comes, whatever the timeouts of its connections, and without any."""

    async def test() -> None:
        before = threads()
        bench = Bench(native, Timeouts(3600.0, 60.0))
        async with AsyncExitStack() as open_ones:
            for _ in range(pairs):
                it = await open_ones.enter_async_context(bench.relayed())
                await it.client.send(b"hello")
                assert await it.pod.receive(5) == b"hello"
            await sleeps(before)
        await sleeps(before)

    async def sleeps(before: Collection[str]) -> None:
        await asyncio.sleep(0.05)
        await until(lambda: asleep(before))
        (woken,) = threads(before).values()
        await asyncio.sleep(0.3)
        assert list(threads(before).values()) == [woken]

    run(test())


@pytest.mark.slow
def test_several_threads() -> None:
    """Connections are spread over the threads; each has its own, and all count for the service."""

    async def test() -> None:
        before = threads()
        counters = ServiceCounters()
        relay = NativeRelay(NativeEngine(3), NEVER, TUNING, counters)
        async with AsyncExitStack() as open_ones:
            bench = Bench(lambda *_: relay)
            every = [await open_ones.enter_async_context(bench.relayed()) for _ in range(30)]
            for it in every * 10:
                await it.client.send(b"hello")
                assert await it.pod.receive(5) == b"hello"
            woken = threads(before)
            relay.account()

        assert len(woken) == 3
        assert min(woken.values()) > 50
        assert counters.bytes_to_pods == 30 * 10 * 5

    run(test())


def test_the_threads_end_with_the_engine() -> None:
    """An engine that nobody has any more leaves no thread, descriptor or connection behind."""
    gc.collect()
    before, descriptors = threads(), len(os.listdir("/proc/self/fd"))

    async def test() -> None:
        (far_client, client), (far_pod, pod) = connected(), connected()
        relay = native(NEVER, ServiceCounters())
        forgotten = asyncio.create_task(relay_through(relay, client, pod, Hearing()))
        await far_client.send(b"hello")
        assert await far_pod.receive(5) == b"hello"
        assert len(threads(before)) == 1
        forgotten.cancel()
        del relay
        for peer in (far_client, far_pod):
            assert await peer.was_reset()
            peer.close()

    run(test())
    gc.collect()

    assert not threads(before)
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_close_while_a_connect_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A client whose pod refuses just as the process ends is reset and counted; nothing crashes."""

    async def test() -> None:
        engine = NativeEngine()
        monkeypatch.setattr(
            "tests.datapath.scenes.BY_DEFAULT",
            lambda timeouts, counters: NativeRelay(engine, timeouts, TUNING, counters),
        )
        with refusing() as one, refusing() as two:
            scene = Scene([one, two])
            client, near = connected()
            scene.sessions.begin(near.detach())
            engine.send()
            stall(0.05)  # it has failed, and nobody has heard
            engine.close()
            assert await client.was_reset()
            client.close()
        assert scene.outcomes in ({"aborted": 1}, {"refused": 1})
        assert scene.slots.used == 0

    run(test())
    assert not caplog.records


def test_close() -> None:
    """Closing the engine resets every connection, and whoever waits for one hears of it."""

    async def test() -> None:
        async with no_socket_lost():
            engine = NativeEngine()
            bench = Bench(lambda timeouts, counters: NativeRelay(engine, timeouts, TUNING, counters))
            async with bench.relayed() as it, bench.relayed() as another:
                await it.client.send(b"hello")
                assert await it.pod.receive(5) == b"hello"
                engine.close()

                for each in (it, another):
                    assert await each.reason() is EndReason.ABORTED
                    assert await each.client.was_reset()
                    assert await each.pod.was_reset()
                it.relay.account()
                assert it.counters.bytes_to_pods == 5

    run(test())


LEAVE = """
    import socket, sys, uvloop
    from proxy.datapath.relay import Timeouts
    from proxy.observe.counters import ServiceCounters
    from tests.datapath.relays import native

    async def main():
        global kept
        kept = native(Timeouts(60.0, 60.0), ServiceCounters())
        near = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(2)]
        for sock in near:
            sock.setblocking(False)
        kept.start(near[0].detach(), near[1], None, connect_within_s=60.0, retry_before=0.0)

    uvloop.run(main())
"""
FORK = """
    import os, sys
    from proxy.datapath.native._relay import Engine

    engine = Engine(2, False)
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0
    else:
        engine.stop()  # they are not its own
        del engine
        sys.exit()
    del engine
"""


def python(script: str, *arguments: object) -> None:
    """Run `script` in a process of its own, which has nothing to say and ends well."""
    command = [sys.executable, "-c", dedent(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_the_process_ends_with_connections_open() -> None:
    """They are reset, like all that the proxy cuts off: the kernel alone would make them look whole."""
    with listening() as listener:
        python(LEAVE, address_of(listener).port)
        for _ in range(2):
            far, _ = listener.accept()
            with far, pytest.raises(ConnectionResetError):
                far.recv(1)


@pytest.mark.slow
def test_a_child_process() -> None:
    """Who forks has the engine's memory, but not its threads, and ends all the same."""
    python(FORK)
