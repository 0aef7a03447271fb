"""The wall clock jumps, or the node has just booted: nothing that Headway does depends on either."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.demo.dns import DnsServer
from tests.support import eventually, run, until
from tests.support.pods import ask_once, connect, pods
from tests.support.process import RELAYS, Proxy, up

pytestmark = pytest.mark.slow

WEB = "web.demo.svc.cluster.local"
YEAR_S = 365 * 86400
COMPILER = shutil.which("cc") or shutil.which("gcc")
# In a time namespace (time_namespaces(7)) whose other clocks begin now.
JUST_BOOTED = """
import os, sys
up = open("/proc/uptime").read().split(".")[0]
here = ("--time", "--monotonic", "-" + up, "--boottime", "-" + up)
os.execvp("unshare", ("unshare", *here, "--", sys.executable, "-m", "proxy"))
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if COMPILER is None:
        pytest.skip("wants a C compiler")
    library = tmp_path_factory.mktemp("clock") / "jumping_clock.so"
    source = Path(__file__).with_name("jumping_clock.c")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.parametrize("relay", RELAYS)
def test_the_wall_clock_jumps(shim: Path, tmp_path: Path, relay: str) -> None:
    """Years ahead and back: no connection ends, no pod is out, DNS and checks go on at their pace."""
    moved_by = tmp_path / "moved_by"

    def jump(seconds: int) -> None:
        with moved_by.open("r+b") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))

    async def story() -> None:
        async with DnsServer() as dns, pods(3) as some:
            dns.set(WEB, [pod.ip for pod in some])
            settings = {"TARGET": f"{WEB}:{some[0].port}", "DNS_SERVERS": dns.address, "RELAY": relay}
            settings |= {"DNS_INTERVAL": "100ms", "HEALTH_INTERVAL": "100ms", "HEALTH_TIMEOUT": "100ms"}
            settings |= {"IDLE_TIMEOUT": "1h", "MAX_CONNECTION_AGE": "1h", "READY_WHEN": "endpoint"}
            proxy = Proxy(settings)
            proxy.environment |= {"LD_PRELOAD": str(shim), "JUMPING_CLOCK": str(moved_by)}
            async with up(proxy):
                await proxy.counts("headway_endpoints", 3, state="ready")
                old = await connect(proxy.address)
                for years in (30, -20):
                    jump(years * YEAR_S)
                    heard = dns.count()
                    await until(lambda heard=heard: dns.count() >= heard + 6)  # type: ignore[misc]
                    said = (await answers(proxy))[0]["time"]
                    away = datetime.fromisoformat(said) - datetime.now(UTC)
                    assert abs(away - timedelta(days=365 * years)) < timedelta(hours=1)  # it did jump

                    assert dns.count() < heard + 60
                    assert await old.echo(b"still here") == b"still here"
                    assert {await ask_once(proxy.address) for _ in range(30)} == {pod.ip for pod in some}
                    assert await proxy.metric("headway_endpoints", state="ready") == 3
                    assert 0 <= await proxy.metric("headway_dns_answer_age_seconds") < 30
                assert await proxy.metric("headway_ejections_total") == 0
                await old.close()
                await proxy.counts("headway_connections_total", 61, outcome="completed")

    moved_by.write_bytes(bytes(8))
    run(story())


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="wants to be root, and unshare")
def test_a_node_that_has_just_booted() -> None:
    """Its monotonic clock is near zero, which is no time at which anything has happened."""

    async def story() -> None:
        async with DnsServer() as dns, pods(2) as (old, new):
            dns.set(WEB, [old.ip])
            settings = {"TARGET": f"{WEB}:{old.port}", "DNS_SERVERS": dns.address, "DNS_INTERVAL": "1h"}
            proxy = Proxy(settings | {"READY_WHEN": "endpoint"})
            proxy.arguments = ("-c", JUST_BOOTED)
            async with up(proxy):
                await proxy.becomes_ready()
                assert await ask_once(proxy.address) == old.ip
                dns.set(WEB, [new.ip])
                await old.close()

                async def found() -> bool:
                    try:
                        return await ask_once(proxy.address) == new.ip
                    except ConnectionError:  # which asks DNS, now and not in an hour
                        return False

                await eventually(found)

    run(story())


async def answers(proxy: Proxy) -> list[dict[str, Any]]:
    """What /dns shows, the newest first."""
    (service,) = json.loads((await proxy.page("/dns", admin=True)).text)["services"]
    found: list[dict[str, Any]] = service["answers"]
    return found
