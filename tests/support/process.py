"""Headway as a user starts it: `python -m proxy`, set up by environment variables only."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp

from proxy.datapath.engines import is_built
from proxy.demo.child import Child
from proxy.demo.ports import free_ports
from tests.support import eventually

RELAYS = ["asyncio", *(["native"] if is_built() else [])]


class Page(NamedTuple):
    status: int
    text: str


class Proxy:
    """One process. Its three listeners take free ports unless a test says otherwise."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.port, telemetry_port, self.admin_port = free_ports(3)
        self.address = ("127.0.0.1", self.port)
        defaults = {
            "LISTEN": f"127.0.0.1:{self.port}",
            "TELEMETRY_LISTEN": f"127.0.0.1:{telemetry_port}",
            "ADMIN_LISTEN": f"127.0.0.1:{self.admin_port}",
            "DRAIN_QUIET": "100ms",
        }
        if "SERVICES" in variables:
            del defaults["LISTEN"]
        self.environment = {f"HEADWAY_{name}": value for name, value in (defaults | variables).items()}
        self.telemetry_port = int(self.environment["HEADWAY_TELEMETRY_LISTEN"].rpartition(":")[2])
        self.arguments: tuple[str, ...] = ("-m", "proxy")
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        assert self._child is not None
        return self._child

    @property
    def log(self) -> str:
        return "\n".join(self.child.tail)

    async def start(self) -> None:
        self._child = await Child.start("the proxy", *self.arguments, env=self.environment)

    async def comes_up(self) -> None:
        await self.shows("/livez", 200)

    async def becomes_ready(self) -> None:
        await self.shows("/readyz", 200)

    async def shows(self, path: str, status: int) -> None:
        """Returns once the page has this status; DemoError when the process ends instead."""

        async def look() -> bool:
            if self.child.ended is not None:
                await self.child.wait()
                raise self.child.failure("ended")
            try:
                return (await self.page(path)).status == status
            except aiohttp.ClientError:
                return False

        await eventually(look)

    async def page(self, path: str, *, admin: bool = False, method: str = "GET") -> Page:
        port = self.admin_port if admin else self.telemetry_port
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, f"http://127.0.0.1:{port}{path}") as reply,
        ):
            return Page(reply.status, await reply.text())

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of `name` that have these labels."""
        text = (await self.page("/metrics")).text
        total = 0.0
        for line in text.splitlines():
            found = re.fullmatch(re.escape(name) + r"(?:\{(.*)\})? (\S+)", line)
            if found and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', found[1] or "")).items():
                total += float(found[2])
        return total

    async def counts(self, name: str, value: float, **labels: str) -> None:
        """Returns once the metric has this value."""

        async def look() -> bool:
            return await self.metric(name, **labels) == value

        await eventually(look)

    async def counts_at_least(self, name: str, value: float, **labels: str) -> None:
        async def look() -> bool:
            return await self.metric(name, **labels) >= value

        await eventually(look)

    async def logs(self, words: str) -> None:
        """Returns once these words stand in the log."""

        async def look() -> bool:
            return words in self.log

        await eventually(look)

    async def handles(self, number: signal.Signals) -> None:
        """Returns once the process has a handler for this signal."""

        async def look() -> bool:
            return bool(int(self._status(r"SigCgt:\s+(\w+)"), 16) >> (number - 1) & 1)

        await eventually(look)

    def signal(self, number: signal.Signals) -> None:
        self.child.signal(number)

    async def ends(self, within_s: float = 10.0) -> int:
        """Its exit status."""
        async with asyncio.timeout(within_s):
            return await self.child.wait()

    def resident_mib(self) -> float:
        return int(self._status(r"VmRSS:\s+(\d+) kB")) / 1024

    def _status(self, pattern: str) -> str:
        found = re.search(pattern, Path(f"/proc/{self.child.pid}/status").read_text())
        assert found is not None
        return found[1]


@asynccontextmanager
async def up(proxy: Proxy) -> AsyncIterator[Proxy]:
    """The process, up but perhaps not ready; ended afterwards, however the test went."""
    await proxy.start()
    try:
        await proxy.comes_up()
        yield proxy
    finally:
        await proxy.child.stop()


def started(**variables: str) -> AbstractAsyncContextManager[Proxy]:
    return up(Proxy(variables))


@asynccontextmanager
async def running(**variables: str) -> AsyncIterator[Proxy]:
    """The same, once it is ready."""
    async with started(**variables) as proxy:
        await proxy.becomes_ready()
        yield proxy
