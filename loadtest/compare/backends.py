"""The pods: nginx for requests and downloads, a sink of our own for uploads, on every loopback address."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtest.compare import configurations
from loadtest.compare.processes import Program
from proxy.demo.ports import free_ports
from proxy.model import Address

PODS = 4
BULK_BYTES = 32 << 20
WORKERS_AT_MOST = 4


@dataclass(frozen=True)
class Backends:
    nginx: Program
    sink: Program
    web_port: int
    sink_port: int

    def pods(self, upload: bool) -> tuple[Address, ...]:
        port = self.sink_port if upload else self.web_port
        return tuple(Address(f"127.0.0.{11 + number}", port) for number in range(PODS))

    def pids(self) -> list[int]:
        return [*self.nginx.pids(), *self.sink.pids()]


@asynccontextmanager
async def started(nginx: str, directory: Path, descriptors: int) -> AsyncIterator[Backends]:
    """`directory` has the sink's program."""
    web_port, sink_port = free_ports(2)
    (directory / "bulk").write_bytes(bytes(BULK_BYTES))
    workers = min(WORKERS_AT_MOST, os.cpu_count() or 1)
    path = directory / "backends.conf"
    path.write_text(configurations.backends(web_port, directory, workers, descriptors))
    web = await Program.start(directory / "backends.log", nginx, "-e", "stderr", "-c", str(path))
    try:
        sink = await Program.start(directory / "sink.log", str(directory / "sink"), str(sink_port))
        try:
            await web.accepts(Address("127.0.0.1", web_port), children=workers)
            await sink.accepts(Address("127.0.0.1", sink_port))
            yield Backends(web, sink, web_port, sink_port)
        finally:
            await sink.stop()
    finally:
        await web.stop()
