"""One connection with PROXY headers: whoever is in front is believed, and every pod is told."""

import asyncio
import logging

import pytest

from proxy.model import Address
from proxy.policy.proxy_protocol import WRITERS, Header
from tests.datapath.peers import no_socket_lost, refusing
from tests.datapath.scenes import Act, Pod, Scene, closing, echoing, pods, silent
from tests.support import run, until

WHO = Header(Address("192.0.2.7", 56324), Address("198.51.100.1", 443))
LOCAL = Header(local=True)
VERSIONS = sorted(WRITERS)

ACCEPT = {"PROXY_PROTOCOL_ACCEPT": "true"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("first_act", [None, closing])
def test_sent(version: str, first_act: Act | None) -> None:
    """The pod is told its client's address before the client speaks; so is the next one, if it ends."""

    async def test() -> None:
        acts = [silent] if first_act is None else [first_act, silent]
        async with no_socket_lost(), pods(*acts) as some:
            scene = Scene([pod.address for pod in some], PROXY_PROTOCOL_SEND=version)
            async with scene.client() as (peer, session):
                ours = Header(Address(*peer.sock.getsockname()), Address(*peer.sock.getpeername()))
                text = WRITERS[version](ours)
                await until(lambda: some[-1].accepted)
                (pod,) = some[-1].accepted
                assert await pod.receive(len(text)) == text
                await peer.send(b"hello")
                peer.finish()
                assert await pod.rest() == b"hello"
                pod.close()
                assert await peer.rest() == b""
                await session

            assert scene.outcomes == {"completed": 1}
            assert scene.counters.retries == len(acts) - 1
            scene.relay.account()
            assert scene.counters.bytes_to_pods == 5

    run(test())


def test_no_task_for_it() -> None:
    """With SEND alone a connection is at the relay as soon as it was accepted."""

    async def test() -> None:
        with refusing() as pod:
            scene = Scene([pod], PROXY_PROTOCOL_SEND="v2")
            async with scene.client() as (_, session):
                await asyncio.sleep(0)
                assert scene.settings.name not in {task.get_name() for task in asyncio.all_tasks()}
                await session

    run(test())


async def told(scene: Scene, pod: Pod, said: bytes) -> tuple[bytes, Header]:
    """What the pod hears from a client that says this; and what is true of the client."""
    async with scene.client() as (peer, session):
        true = Header(Address(*peer.sock.getsockname()), Address(*peer.sock.getpeername()))
        before = len(pod.accepted)
        await peer.send(said)
        peer.finish()
        await until(lambda: len(pod.accepted) > before)
        heard = await pod.accepted[-1].rest()
        pod.accepted[-1].close()
        await session
        return heard, true


@pytest.mark.parametrize("version", VERSIONS)
def test_accepted(version: str) -> None:
    """Without SEND the pod has what follows the header, and nothing else."""

    async def test() -> None:
        async with no_socket_lost(), pods(echoing) as (pod,):
            scene = Scene([pod.address], **ACCEPT)
            assert await scene.ask(WRITERS[version](WHO) + b"hello") == b"hello"
            assert scene.outcomes == {"completed": 1}
            scene.relay.account()
            assert scene.counters.bytes_to_pods == 5

    run(test())


@pytest.mark.parametrize("accepted", VERSIONS)
@pytest.mark.parametrize("sent", VERSIONS)
def test_passed_on(accepted: str, sent: str) -> None:
    """With both, the pod is told what the client's own header says, in the version that it expects."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,):
            scene = Scene([pod.address], PROXY_PROTOCOL_SEND=sent, **ACCEPT)
            heard, _ = await told(scene, pod, WRITERS[accepted](WHO) + b"hello")
            assert heard == WRITERS[sent](WHO) + b"hello"

    run(test())


@pytest.mark.parametrize("sent", VERSIONS)
def test_a_check_passed_on(sent: str) -> None:
    """A header that names nobody counts as none; that of a proxy's health check stays that of a check."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,):
            scene = Scene([pod.address], PROXY_PROTOCOL_SEND=sent, **ACCEPT)
            for said, local in ((b"PROXY UNKNOWN\r\n", False), (WRITERS["v2"](LOCAL), True)):
                heard, true = await told(scene, pod, said)
                assert heard == WRITERS[sent](Header(true.source, true.destination, local=local))

    run(test())


@pytest.mark.parametrize(
    "said,detail", [(b"GET / HTTP/1.1\r\n\r\n", "it does not begin as one"), (b"", "none within 0.1 s")]
)
def test_a_wrong_one(said: bytes, detail: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is reset, counted and logged; no pod hears of it."""
    caplog.set_level(logging.INFO)
    settings = ACCEPT | {"ACCESS_LOG": "failures", "CONNECT_DEADLINE": "100ms"}

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,):
            scene = Scene([pod.address], **settings)
            async with scene.client() as (peer, session):
                await peer.send(said)
                assert await peer.was_reset()
                await session

            assert scene.outcomes == {"proxy_protocol": 1}
            assert scene.endpoint(pod.address).picks == 0
            assert (scene.leases, scene.counters.active, scene.slots.used) == (0, 0, 0)

    run(test())
    (line,) = [vars(record)["fields"] for record in caplog.records if record.name == "headway.access"]
    assert (line["outcome"], line["ended_by"], line["detail"]) == ("proxy_protocol", "client", detail)


def test_only_a_probe_of_the_port(caplog: pytest.LogCaptureFixture) -> None:
    """Who connects and leaves without a word has done nothing wrong, and is no failure in the log."""
    caplog.set_level(logging.INFO)

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,):
            scene = Scene([pod.address], **ACCEPT, ACCESS_LOG="failures")
            async with scene.client() as (peer, session):
                peer.finish()
                await session
            assert scene.outcomes == {"client_reset": 1}

    run(test())
    assert "headway.access" not in {record.name for record in caplog.records}


@pytest.mark.parametrize("pause_s", [None, 0.05])
def test_cut_off_while_it_is_waited_for(pause_s: float | None) -> None:
    """A session that is ended before its header has come resets its client and keeps nothing."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,):
            scene = Scene([pod.address], **ACCEPT)
            async with scene.client() as (peer, _):
                await peer.send(b"PROXY ")
                await asyncio.sleep(pause_s or 0)  # before its first step, or after
                scene.cut_off()

                assert await peer.was_reset()
            assert scene.outcomes == {"aborted": 1}

    run(test())


def test_before_there_is_a_pod() -> None:
    """The header is read while DNS has not answered yet, and the pod told of it afterwards."""

    async def test() -> None:
        async with no_socket_lost(), pods(silent) as (pod,):
            scene = Scene(PROXY_PROTOCOL_SEND="v2", **ACCEPT)
            async with scene.client() as (peer, session):
                await peer.send(WRITERS["v1"](WHO))
                await until(lambda: scene.counters.waiting)
                scene.learn([pod.address])
                await until(lambda: pod.accepted)
                text = WRITERS["v2"](WHO)
                assert await pod.accepted[0].receive(len(text)) == text
                peer.finish()
                pod.accepted[0].close()
                await session

    run(test())


@pytest.mark.parametrize("hash_key", ["client", "sni"])
def test_hashing(hash_key: str) -> None:
    """The pod is chosen by the address in the header, not by that of the proxy in front, nor by the port."""
    by_key = {"BALANCER": "maglev", "HASH_KEY": hash_key, "HASH_BALANCE_FACTOR": "0"}

    async def test() -> None:
        async with no_socket_lost(), pods(*[echoing] * 5) as five:
            scene = Scene([pod.address for pod in five], **by_key, **ACCEPT)

            async def pod_of(ip: str, port: int) -> int:
                before = [len(pod.accepted) for pod in five]
                before_it = ip.removesuffix("192.0.2.7") if ":" in ip else ""
                text = WRITERS["v2"](Header(Address(ip, port), Address(before_it + "198.51.100.1", 443)))
                assert await scene.ask(text + b"hello") == b"hello"
                after = [len(pod.accepted) for pod in five]
                return [now - then for now, then in zip(after, before, strict=True)].index(1)

            ips = [f"192.0.2.{n}" for n in range(20)]
            first, again = [[await pod_of(ip, port) for ip in ips] for port in (1000, 2000)]

            assert first == again
            assert len(set(first)) >= 3
            assert await pod_of("::ffff:192.0.2.7", 1) == first[7]

    run(test())
