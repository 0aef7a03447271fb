"""The demo's proxy process: it is configured by the contract alone, and a failed start is explained."""

import asyncio
from collections.abc import Mapping

import pytest

from proxy import config
from proxy.demo import sidecar as sidecar_module
from proxy.demo.child import Child, DemoError
from proxy.demo.sidecar import Sidecar


def make() -> Sidecar:
    return Sidecar(8080, "127.0.0.1:5353", "p2c", 0.25)


class Instead:
    """Starts this program where the demo would start the proxy."""

    program = ""

    @classmethod
    async def start(cls, name: str, *arguments: str, env: Mapping[str, str]) -> Child:
        return await Child.start(name, "-c", cls.program, env=env)


@pytest.mark.slow
def test_a_proxy_that_does_not_come_up_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user reads the proxy's own complaint, not a timeout."""
    monkeypatch.setattr(Instead, "program", "raise SystemExit('HEADWAY_LISTEN: no such thing')")
    monkeypatch.setattr(sidecar_module, "Child", Instead)

    with pytest.raises(DemoError, match=r"(?s)did not come up \(exit status 1\).*HEADWAY_LISTEN: no such"):
        asyncio.run(make().start())


def test_two_demos_share_no_port() -> None:
    """Every listener of the demo has a port of its own, and DNS and health checks keep its short pace."""
    sidecar = make()
    ports = {sidecar.listen_port, sidecar.admin_port, sidecar.telemetry_port}

    assert len(ports) == 3
    assert sidecar.environment["HEADWAY_TARGET"] == "web.demo.svc.cluster.local.:8080"
    assert sidecar.environment["HEADWAY_DNS_INTERVAL"] == "250ms"
    assert all(name.startswith("HEADWAY_") for name in sidecar.environment)


def test_the_proxy_accepts_every_setting_of_the_demo() -> None:
    """A setting that the proxy renames or drops is found here, not by the first user of `headway demo`."""
    config.from_env(make().environment)


def test_counters_are_summed_over_their_labels() -> None:
    """The story's numbers come from the proxy's own metrics; without them the story makes no claim."""
    page = '# TYPE headway_retries_total counter\nheadway_retries_total{service="a"} 2.0\n'
    page += 'headway_retries_total{service="b"} 3.0\nheadway_retries_total_created 9.0\n'

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + page.encode())
        writer.close()

    async def test() -> list[int | None]:
        sidecar = make()
        silent = await sidecar.counter("headway_retries_total")
        server = await asyncio.start_server(handle, "127.0.0.1", sidecar.telemetry_port)
        told = [await sidecar.counter("headway_retries_total"), await sidecar.counter("headway_other")]
        server.close()
        await server.wait_closed()
        return [silent, *told]

    assert asyncio.run(test()) == [None, 5, None]
