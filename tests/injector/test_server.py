"""The webhook over real HTTPS, as an API server and as a stranger talk to it."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.injector import server
from proxy.injector.sparing import IN_A_ROW, Sparing
from tests.injector.scenes import NAMES, TARGET, Running, asking, patched, pod, run, running, trusting
from tests.injector.test_reviews import by_hand
from tests.support import FakeClock, eventually

pytestmark = pytest.mark.slow

Scene = Callable[[Running, aiohttp.ClientSession], Awaitable[None]]


def play(directory: Path, scene: Scene) -> None:
    async def story() -> None:
        async with running(directory) as here, here.session() as session:
            await scene(here, session)

    run(story())


def body(about: Any, **request: Any) -> bytes:
    return json.dumps(asking(about, **request)).encode()


def test_a_pod_is_injected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The answer makes of the pod what the command makes of it; one line of log says which pod it was."""
    caplog.set_level(logging.INFO, "headway")

    async def scene(here: Running, session: aiohttp.ClientSession) -> None:
        status, answer = await here.post(session, body(pod(TARGET)))

        assert status == 200
        assert patched(pod(TARGET), answer) == by_hand(pod(TARGET))
        assert here.counted("injected") == 1
        assert [each for each in caplog.messages if "shop" in each] == [
            "shop/shop-7d9f8c6b5-: the sidecar is added"
        ]

    play(tmp_path, scene)


def test_a_pod_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The API server gets a proper answer, which is no failure of the webhook, and the log has the reason."""

    async def scene(here: Running, session: aiohttp.ClientSession) -> None:
        status, answer = await here.post(session, body(pod({"headway.dev/target": "orders"})))

        assert status == 200
        assert json.loads(answer)["response"]["allowed"] is False
        assert here.counted("refused") == 1
        (line,) = caplog.messages
        assert line.startswith("shop/shop-7d9f8c6b5-: refused: HEADWAY_TARGET=orders: has no port")

    play(tmp_path, scene)


def test_others_pass_in_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Pods that do not ask are no news."""
    caplog.set_level(logging.DEBUG, "headway")

    async def scene(here: Running, session: aiohttp.ClientSession) -> None:
        caplog.clear()
        status, answer = await here.post(session, body(pod()))

        assert (status, json.loads(answer)["response"]["allowed"]) == (200, True)
        assert here.counted("unchanged") == 1
        assert caplog.messages == []

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "sent,status,says",
    [
        (b"hello", 400, "this is no admission.k8s.io/v1 AdmissionReview"),
        (bytes((3 << 20) + 1), 413, "more than 3145728 bytes"),
    ],
)
def test_what_is_no_review(sent: bytes, status: int, says: str, tmp_path: Path) -> None:
    """It is rejected in words, counted, and the next review is answered."""

    async def scene(here: Running, session: aiohttp.ClientSession) -> None:
        got, answer = await here.post(session, sent)

        assert (got, here.counted("invalid")) == (status, 1)
        assert says in answer.decode()
        assert (await here.post(session, body(pod(TARGET))))[0] == 200

    play(tmp_path, scene)


def test_a_large_pod(tmp_path: Path) -> None:
    """Just below the limit a pod is reviewed like any other."""
    large = pod(TARGET, volumes=[{"name": f"v{number}", "emptyDir": {}} for number in range(70_000)])
    assert len(body(large)) > 2_500_000

    async def scene(here: Running, session: aiohttp.ClientSession) -> None:
        _, answer = await here.post(session, body(large))

        assert patched(large, answer) == by_hand(large)

    play(tmp_path, scene)


def test_a_body_that_does_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who announces more than is sent gets an answer in the end, and the connection is closed."""
    monkeypatch.setattr(server, "READ_WITHIN_S", 0.1)

    async def scene(here: Running, session: aiohttp.ClientSession) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", here.port, ssl=trusting(here.pair), server_hostname=NAMES[0]
        )
        writer.write(b"POST /inject HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        answer = await reader.read()
        writer.close()

        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the body took more than" in answer

    play(tmp_path, scene)


def test_a_fault_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug costs that one review; the log has its traceback, the answer nothing of it."""

    def broken(*_: object) -> None:
        raise KeyError("secret")

    async def scene(here: Running, session: aiohttp.ClientSession) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(server, "review", broken)
            status, answer = await here.post(session, body(pod(TARGET)))

        assert (status, here.counted("failed")) == (500, 1)
        assert b"secret" not in answer
        assert caplog.records[-1].exc_info is not None
        assert (await here.post(session, body(pod(TARGET))))[0] == 200

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "method,path,status", [("GET", "/inject", 405), ("POST", "/", 404), ("GET", "/metrics", 404)]
)
def test_other_pages(method: str, path: str, status: int, tmp_path: Path) -> None:
    """There is nothing else behind TLS."""

    async def scene(here: Running, session: aiohttp.ClientSession) -> None:
        url = f"https://127.0.0.1:{here.port}{path}"
        async with session.request(method, url, server_hostname=NAMES[0]) as response:
            assert response.status == status

    play(tmp_path, scene)


def test_a_bomb(tmp_path: Path) -> None:
    """A compressed body is not unpacked: no API server compresses."""
    import gzip

    async def scene(here: Running, session: aiohttp.ClientSession) -> None:
        headers = {"Content-Encoding": "gzip"}
        async with session.post(
            here.url, data=gzip.compress(body(pod(TARGET))), headers=headers, server_hostname=NAMES[0]
        ) as response:
            assert response.status == 400

    play(tmp_path, scene)


def test_strangers_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that say nothing are closed, the oldest first, when there are too many."""
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 5)

    async def scene(here: Running, session: aiohttp.ClientSession) -> None:
        peers = [
            await asyncio.open_connection(
                "127.0.0.1", here.port, ssl=trusting(here.pair), server_hostname=NAMES[0]
            )
            for _ in range(12)
        ]

        async def closed() -> bool:
            gone = [reader.at_eof() or reader.exception() is not None for reader, _ in peers]
            return gone == [True] * 6 + [False] * 6  # five, and the newest, for which they made room

        await eventually(closed)
        assert (await here.post(session, body(pod(TARGET))))[0] == 200
        for _, writer in peers:
            writer.transport.abort()

    play(tmp_path, scene)


def test_lines_are_spared() -> None:
    """A hundred lines in a row, then five a second; what was not said is counted."""
    clock = FakeClock()
    lines = Sparing(clock)
    said = [lines.may_say() for _ in range(IN_A_ROW + 50)]

    assert said == [""] * IN_A_ROW + [None] * 50
    clock.advance(0.21)
    assert lines.may_say() == " (50 more since the last line)"
    assert lines.may_say() is None
    clock.advance(3600)
    assert [lines.may_say() for _ in range(IN_A_ROW + 1)][-2:] == ["", None]
