"""Every relay with spares: clients get connections that their pods had before, and no trouble with them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import chain, repeat
from typing import Any

import pytest

from proxy.datapath.relay import End
from proxy.datapath.relay_sparing import SparingRelay
from proxy.datapath.sockets import reset
from proxy.datapath.vigil import Vigil
from proxy.errors import ConnectError, ConnectTimeout, CutOff, DeadlinePassed, IdentityChanged, ResetEarly
from proxy.model import EndReason
from tests.datapath.keeping import Keeping
from tests.datapath.peers import Peer, connected, no_socket_lost
from tests.datapath.relays import Engine, Hearing
from tests.datapath.scenes import Act, Pod, Scene, echoing, pods, silent
from tests.support import FakeClock, run, until


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.policy.spares.SPREAD_S", 0.0)


@pytest.fixture
def scene(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A service whose pod has one spare already."""
    monkeypatch.setattr("tests.datapath.scenes.BY_DEFAULT", engine)

    @asynccontextmanager
    async def made(act: Act, **settings: str) -> AsyncIterator[tuple[Scene, Pod]]:
        async with no_socket_lost(), pods(act) as (pod,):
            it = Scene([pod.address], SPARE_CONNECTIONS="1", **settings)
            await until(lambda: it.counters.spares and pod.accepted)
            try:
                yield it, pod
            finally:
                it.relay.part(EndReason.DRAINED)
                await asyncio.sleep(0)

    return made


def test_the_pod_has_it_before_the_client_comes(scene: Callable[..., Any]) -> None:
    """No client waits for a connect, and none is counted; the pod is compared by its answers all the same."""

    async def test() -> None:
        async with scene(echoing) as (it, pod):
            for asked in range(1, 4):
                taken = len(pod.accepted)
                assert await it.ask() == b"hello"
                assert pod.accepted[taken - 1].sock.fileno() < 0  # it had it before, and its end
                await until(lambda: it.counters.spares)
                assert it.counters.spares_ended == {"used": asked}

            assert it.outcomes == {"completed": 3}
            assert sum(it.counters.connect_seconds.counts) == 0
            assert it.endpoint(pod.address).latency.at > 0
            assert it.leases == 0

    run(test())


@pytest.mark.parametrize("how", [Peer.close, Peer.reset])
@pytest.mark.parametrize("said", [b"", b"hello"])
def test_ended_as_it_is_handed_out(
    scene: Callable[..., Any], how: Callable[[Peer], None], said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client gets a new connection to the same pod, with all it said; nobody is blamed for it."""

    async def test() -> None:
        async with scene(silent_at_first(), EJECT_AFTER="1", CONNECT_ATTEMPTS="1", RETRY_BUDGET="0%") as (
            it,
            pod,
        ):
            client, near = connected()
            if said:
                client.sock.send(said)
                how(pod.accepted[0])
            with monkeypatch.context() as patch:
                patch.setattr(Vigil, "hear", lambda self: None)  # as if the pod's end was still under way
                it.sessions.begin(near.detach())
            assert it.counters.spares_ended == {"used": 1}
            if not said:
                how(pod.accepted[0])
            await client.send(b" again")
            assert await client.receive(len(said) + 6) == said + b" again"
            client.reset()
            await until(lambda: not it.counters.active)

            assert it.counters.spares_ended["raced"] == 1
            assert it.counters.retries == 0
            assert it.endpoint(pod.address).ejection.failures == 0
            assert it.endpoint(pod.address).picks == 1
            assert it.leases == 0

    run(test())


def silent_at_first() -> Act:
    """Who says nothing on the first connection, and echoes on those that follow."""
    acts = chain([silent], repeat(echoing))
    return lambda sock: next(acts)(sock)


def test_the_header_comes_first(scene: Callable[..., Any]) -> None:
    """PROXY_PROTOCOL_SEND: the pod hears who the client is when there is one; after a race, anew."""

    async def test() -> None:
        async with scene(silent_at_first(), PROXY_PROTOCOL_SEND="v1") as (it, pod):
            client, near = connected()
            it.listen(near)
            ports = client.sock.getsockname()[1], client.sock.getpeername()[1]
            header = b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % ports
            assert await pod.accepted[0].receive(len(header)) == header
            pod.accepted[0].close()
            await until(lambda: it.counters.spares_ended["raced"])
            await client.send(b"hello")
            assert await client.receive(len(header) + 5) == header + b"hello"
            client.reset()
            await until(lambda: not it.counters.active)

    run(test())


def test_a_greeting(scene: Callable[..., Any]) -> None:
    """Where pods speak first, the greeting is there with the connection; the first session shows that."""

    async def test() -> None:
        async with scene(lambda sock: sock.send(b"welcome")) as (it, _):
            for _ in range(3):
                async with it.client() as (client, _):
                    assert await client.receive(7) == b"welcome"
                    await until(lambda: it.counters.spares)
                    client.reset()

            assert it.counters.spares_ended == {"used": 2}

    run(test())


def test_at_the_end_of_the_process(scene: Callable[..., Any]) -> None:
    """Pods hear of it; a connection that still comes dials itself."""

    async def test() -> None:
        async with scene(echoing) as (it, pod):
            it.relay.part(EndReason.DRAINED)
            assert await pod.accepted[0].rest() == b""
            it.relay.part(EndReason.DRAINED)  # as tidying up does

            assert it.counters.spares_ended == {"dropped": 1}

    run(test())


class Given:
    """A relay that notes what it is to do, and does what it is told."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.ears: list[Any] = []
        self.error: Exception | None = None

    def start(self, client: int, pod: object, ear: Any, **rules: Any) -> None:
        self.started.append(rules)
        self.ears.append(ear)
        if self.error is not None:
            raise self.error
        if not isinstance(pod, tuple):
            pod.close()  # type: ignore[attr-defined]

    account = abort = retire = part = None


@pytest.mark.parametrize(
    "left_s,then,heard,within_s",
    [
        (3.0, ConnectTimeout("late"), ConnectTimeout, 1.0),
        (0.5, ConnectTimeout("late"), DeadlinePassed, 0.5),  # it had less time than a pod may take
        (0.5, ResetEarly("gone"), ResetEarly, 0.5),
        (0.005, None, DeadlinePassed, None),
    ],
)
def test_shortly_before_the_deadline(
    left_s: float, then: ConnectError | None, heard: type[ConnectError], within_s: float | None
) -> None:
    """A pod is not blamed for the time that a spare has cost."""

    async def test() -> None:
        async with pods(silent) as (pod,):
            it, inner, clock = Keeping([pod.address], SPARE_CONNECTIONS="1"), Given(), FakeClock()
            relay = SparingRelay(inner, it.spares, clock)  # type: ignore[arg-type]
            await until(lambda: it.counters.spares)
            client, accepted = connected()
            near = accepted.detach()
            ear = Hearing()
            rules = {"connect_within_s": 1.0, "retry_before": clock.now() + left_s, "owner": it.endpoint()}
            relay.start(near, pod.address, ear, **rules)  # type: ignore[arg-type]
            inner.ears[0].ended(End(EndReason.UNTOUCHED, client=near, error=ResetEarly("gone")))
            if then is not None:
                assert inner.started[1]["connect_within_s"] == within_s
                inner.ears[1].ended(End(EndReason.UNCONNECTED, error=then))

            assert type(ear.over.result().error) is heard
            if ear.given_back is None:
                reset(near)
            ear.close()
            client.close()
            it.spares.close()

    run(test())


LOST = End(EndReason.UNTOUCHED, error=ResetEarly("gone"))


@asynccontextmanager
async def handed_out() -> AsyncIterator[tuple[Keeping, Given, Hearing]]:
    """A spare that a session has just got."""
    async with pods(silent) as (pod,):
        it, inner, ear = Keeping([pod.address], SPARE_CONNECTIONS="1"), Given(), Hearing()
        relay = SparingRelay(inner, it.spares, FakeClock())  # type: ignore[arg-type]
        await until(lambda: it.counters.spares)
        rules = {"connect_within_s": 1.0, "retry_before": 1e9, "owner": it.endpoint()}
        relay.start(-1, pod.address, ear, **rules)  # type: ignore[arg-type]
        yield it, inner, ear
        it.spares.close()


def test_another_pod_has_its_address_by_then() -> None:
    """No byte of a client's may go there: the session has to choose anew."""

    async def test() -> None:
        async with handed_out() as (it, inner, ear):
            it.endpoint().replaced = True
            inner.ears[0].ended(LOST)

            assert len(inner.started) == 1
            assert isinstance(ear.over.result().error, IdentityChanged)

    run(test())


def test_a_fault_when_a_spare_was_lost() -> None:
    """Its session hears of an end all the same: else the client would wait for ever."""

    async def test() -> None:
        async with handed_out() as (_, inner, ear):
            inner.error = MemoryError()
            with pytest.raises(MemoryError):
                inner.ears[0].ended(LOST)

            assert isinstance(ear.over.result().error, ResetEarly)

    run(test())


def test_the_process_ends_meanwhile() -> None:
    """What was taken is closed when the relay takes nothing more."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,):
            it, inner = Keeping([pod.address], SPARE_CONNECTIONS="1"), Given()
            inner.error = CutOff("the process ends")
            relay = SparingRelay(inner, it.spares, FakeClock())  # type: ignore[arg-type]
            await until(lambda: it.counters.spares)
            with pytest.raises(CutOff):
                relay.start(
                    0, pod.address, Hearing(), connect_within_s=1.0, retry_before=0.0, owner=it.endpoint()
                )
            assert await pod.accepted[0].rest() == b""
            it.spares.close()

    run(test())
