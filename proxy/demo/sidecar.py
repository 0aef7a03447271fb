"""Runs the real proxy as its own process, configured as a pod would: by environment variables only."""

import asyncio

from proxy.clock import SystemClock
from proxy.demo.child import Child, DemoError
from proxy.demo.cluster import SERVICE
from proxy.demo.ports import free_ports

READY_WITHIN_S = 15.0


class Sidecar:
    """Headway itself. `listen_port` is what an application would connect to."""

    def __init__(self, pod_port: int, dns_address: str, balancer: str, interval_s: float) -> None:
        self.listen_port, self.admin_port, self.telemetry_port = free_ports(3)
        self.child: Child | None = None
        interval = f"{interval_s * 1000:.0f}ms"
        self.environment = {
            # The trailing dot: the name is complete, no search list.
            "HEADWAY_TARGET": f"{SERVICE}.:{pod_port}",
            "HEADWAY_LISTEN": f"127.0.0.1:{self.listen_port}",
            "HEADWAY_BALANCER": balancer,
            "HEADWAY_DNS_SERVERS": dns_address,
            "HEADWAY_DNS_INTERVAL": interval,
            "HEADWAY_HEALTH_INTERVAL": interval,
            "HEADWAY_ADMIN_LISTEN": f"127.0.0.1:{self.admin_port}",
            "HEADWAY_TELEMETRY_LISTEN": f"127.0.0.1:{self.telemetry_port}",
            "HEADWAY_READY_WHEN": "endpoint",
            "HEADWAY_DRAIN_TIMEOUT": "1s",
            "HEADWAY_DRAIN_QUIET": "100ms",
        }

    async def start(self) -> None:
        """Returns when /readyz says 200; otherwise raises DemoError with the proxy's last words."""
        clock = SystemClock()
        self.child = await Child.start("the proxy", "-m", "proxy", env=self.environment)
        give_up = clock.now() + READY_WITHIN_S
        while not await self.is_ready():
            if self.child.ended is not None:
                await self.child.wait()
                raise self.child.failure("did not come up")
            if clock.now() > give_up:
                raise self.child.failure(f"was not ready after {READY_WITHIN_S:g} s")
            await clock.sleep(0.05)

    async def is_ready(self) -> bool:
        try:
            head, _ = await _get(self.telemetry_port, "/readyz")
        except (OSError, TimeoutError):
            return False
        return b" 200 " in head.split(b"\r\n")[0]

    async def counter(self, metric: str) -> int | None:
        """The sum of one metric over its labels, None when the proxy does not tell."""
        try:
            _, text = await _get(self.telemetry_port, "/metrics")
        except (OSError, TimeoutError):
            return None
        lines = text.decode(errors="replace").splitlines()
        samples = [line.rpartition(" ")[2] for line in lines if line.startswith((metric + "{", metric + " "))]
        return int(sum(map(float, samples))) if samples else None

    async def ended(self) -> DemoError:
        """Waits for the end of the proxy, which is news while the story runs."""
        assert self.child is not None
        await self.child.wait()
        return self.child.failure("ended in the middle of the story")

    async def close(self) -> None:
        if self.child is not None:
            await self.child.stop()


async def _get(port: int, path: str) -> tuple[bytes, bytes]:
    async with asyncio.timeout(2.0):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            # HTTP/1.0: the end of the connection is the end of the answer, never chunks.
            writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
            answer = await reader.read(-1)
        finally:
            writer.close()
    head, _, text = answer.partition(b"\r\n\r\n")
    return head, text
