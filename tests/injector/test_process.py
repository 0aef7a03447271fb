"""The whole injector as a process: from the first start to SIGTERM."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.inject.order import Order
from tests.injector.cluster import serving
from tests.injector.scenes import DEFAULTS, NAMES, TARGET, asking, new_pair, patched, pod, put, run, trusting
from tests.injector.test_reviews import by_hand
from tests.support import eventually

pytestmark = pytest.mark.slow

COMMAND = "import typer; from proxy.injector.command import injector; typer.run(injector)"
BODY = json.dumps(asking(pod(TARGET))).encode()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


class Process:
    """One that runs, with its pages and its log."""

    def __init__(self, *options: str) -> None:
        self.port, self.pages = free_port(), free_port()
        ports = [f"--listen=127.0.0.1:{self.port}", f"--telemetry=127.0.0.1:{self.pages}"]
        image = "--image=registry.example/headway:1"
        self._command = [sys.executable, "-c", COMMAND, image, *ports, *options]
        self.url = f"https://127.0.0.1:{self.port}/inject?timeout=5s"
        self.session: aiohttp.ClientSession
        self.child: asyncio.subprocess.Process

    async def start(self) -> None:
        self.child = await asyncio.create_subprocess_exec(*self._command, stderr=subprocess.PIPE)
        self.session = aiohttp.ClientSession()

    async def page(self, name: str) -> tuple[int, str]:
        try:
            async with self.session.get(f"http://127.0.0.1:{self.pages}/{name}") as response:
                return response.status, await response.text()
        except aiohttp.ClientConnectionError:
            return 0, ""

    async def ready(self) -> bool:
        return (await self.page("readyz"))[0] == 200

    async def ended(self) -> tuple[int, str]:
        """Its exit status and all that it logged."""
        _, log = await self.child.communicate()
        return self.child.returncode or 0, log.decode()


@asynccontextmanager
async def process(*options: str) -> AsyncIterator[Process]:
    here = Process(*options)
    await here.start()
    try:
        yield here
    finally:
        await here.session.close()
        with contextlib.suppress(ProcessLookupError):
            here.child.kill()
        await here.child.wait()


async def review(session: aiohttp.ClientSession, url: str, trust: ssl.SSLContext) -> tuple[int, bytes, str]:
    async with session.post(url, data=BODY, ssl=trust, server_hostname=NAMES[0]) as response:
        return response.status, await response.read(), response.headers.get("Connection", "")


def test_a_whole_life(tmp_path: Path) -> None:
    """Self-signed: ready once the API server trusts it; a pod is injected; SIGTERM ends it with status 0.

    What the options say of the sidecar's container counts.
    """
    sidecar = ["--classic", "--cpu=20m", "--memory=32Mi", "--memory-limit=64Mi", "--image-pull-policy=Always"]
    order = Order(
        image=DEFAULTS.image, settings={}, classic=True, pull_policy="Always",
        cpu="20m", memory="32Mi", memory_limit="64Mi",
    )  # fmt: skip
    own = tmp_path / "own"
    own.mkdir()

    async def story() -> None:
        async with serving(tmp_path / "account") as cluster:
            account = f"--service-account={tmp_path / 'account'}"
            api = f"--api-server=https://localhost:{cluster.port}"
            options = ["--self-signed", api, account, f"--certificates={own}", "--drain=0", *sidecar]
            async with process(*options) as here:
                await eventually(here.ready)
                trust = ssl.create_default_context(cadata=bundle(cluster.bundles[0]))
                status, answer, _ = await review(here.session, here.url, trust)
                assert (status, patched(pod(TARGET), answer)) == (200, by_hand(pod(TARGET), order))
                metrics = (await here.page("metrics"))[1]
                assert 'headway_injector_reviews_total{result="injected"} 1.0' in metrics
                assert 'headway_injector_review_seconds_bucket{le="+Inf"} 1.0' in metrics
                assert "headway_injector_certificate_expiry_timestamp_seconds 1." in metrics
                here.child.send_signal(signal.SIGTERM)
                code, log = await here.ended()

        assert code == 0, log
        assert [json.loads(line)["level"] for line in log.splitlines() if '"warning"' in line] == []
        assert "shop/shop-7d9f8c6b5-: the sidecar is added" in log

    run(story(), within_s=60)


def bundle(text: str) -> str:
    import base64

    return base64.b64decode(text).decode()


def test_the_end(tmp_path: Path) -> None:
    """After SIGTERM it is unready, serves on while the Service still leads to it, and finishes what began.

    Whoever keeps a connection is told to take the next review elsewhere.
    """
    pair = new_pair()
    put(tmp_path, pair)
    trust = trusting(pair)

    async def story() -> None:
        async with process(f"--certificates={tmp_path}", "--drain=1") as here:
            await eventually(here.ready)
            assert (await review(here.session, here.url, trust))[::2] == (200, "")
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", here.port, ssl=trust, server_hostname=NAMES[0]
            )
            head = f"POST /inject HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n"
            writer.write(head.encode() + BODY[:100])
            await writer.drain()
            here.child.send_signal(signal.SIGTERM)

            async def unready() -> bool:
                return await here.page("readyz") == (503, "draining\n")

            await eventually(unready)
            assert (await review(here.session, here.url, trust))[::2] == (200, "close")
            assert (await here.page("livez"))[0] == 200

            async def closed() -> bool:
                try:
                    await review(here.session, here.url, trust)
                except aiohttp.ClientConnectionError:
                    return True
                return False

            await eventually(closed)
            writer.write(BODY[100:])
            answer = await reader.read()
            writer.close()
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert (await here.ended())[0] == 0

    run(story(), within_s=60)


def test_a_second_signal(tmp_path: Path) -> None:
    """Whoever is in a hurry asks twice."""
    put(tmp_path, new_pair())

    async def story() -> None:
        async with process(f"--certificates={tmp_path}", "--drain=600") as here:
            await eventually(here.ready)
            here.child.send_signal(signal.SIGTERM)
            here.child.send_signal(signal.SIGINT)

            assert (await here.ended())[0] == 0

    run(story())


def test_no_certificate_yet(tmp_path: Path) -> None:
    """It lives and says what it waits for; as soon as the files are there, it is ready."""

    async def story() -> None:
        async with process(f"--certificates={tmp_path}") as here:

            async def waits() -> bool:
                status, says = await here.page("readyz")
                return status == 503 and "tls.crt" in says

            await eventually(waits)
            assert (await here.page("livez"))[0] == 200
            put(tmp_path, new_pair())
            await eventually(here.ready)

    run(story())


@pytest.mark.parametrize(
    "options,status,says",
    [
        (["--set", "BALANCER=p3c"], 2, "HEADWAY_BALANCER=p3c: is not known"),
        (["--set", "BALANCR=p2c"], 2, "did you mean HEADWAY_BALANCER?"),
        (["--set", "BALANCER"], 2, "is not NAME=VALUE"),
        (["--image", "a b"], 2, "'a b' is not the name of an image"),
        (["--listen", "nonsense"], 2, "--listen"),
        (
            ["--listen", "192.0.2.1:9443"],
            1,
            "cannot listen on 192.0.2.1:9443: Cannot assign requested address",
        ),
    ],
)
def test_wrong_options(options: list[str], status: int, says: str) -> None:
    """It ends at once and says which option is wrong, and never with a traceback."""
    safe = ["--telemetry=127.0.0.1:0", "--listen=127.0.0.1:0"]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *safe, *options],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"COLUMNS": "200"},
    )

    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr


SIDECAR = """
import sys, proxy.app
print(sorted({name for name in sys.modules if name.startswith("proxy.inject")
              or name in ("cryptography", "ruamel", "ruamel.yaml", "typer")}))
"""
WITHOUT = """
import sys, pathlib
sys.modules["cryptography"] = None
from proxy.injector import run, server
print("proxy.injector.bootstrap" in sys.modules)
"""


@pytest.mark.parametrize("code,says", [(SIDECAR, "[]"), (WITHOUT, "False")])
def test_who_pays_for_what(code: str, says: str) -> None:
    """A sidecar loads nothing of the injector; with somebody else's certificates nothing makes any."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == says + "\n"


def test_the_extra_is_missing() -> None:
    """`--self-signed` without the library says what to install."""
    code = f"import sys; sys.modules['cryptography'] = None; {COMMAND}"
    ports: list[Any] = ["--telemetry=127.0.0.1:0", "--listen=127.0.0.1:0"]
    done = subprocess.run(
        [sys.executable, "-c", code, "--self-signed", *ports], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 1
    assert "pip install 'headway[injector]'" in done.stderr
    assert "Traceback" not in done.stderr
