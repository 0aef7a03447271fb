"""BIND 9 for tests: a name server that others wrote, with one zone that takes dynamic updates.

@needs_named
async with Named() as named:
    await named.set("web.demo.svc.cluster.local", ["127.0.0.11", "127.0.0.12"])
    await named.set_srv("_http._tcp.demo.svc.cluster.local", [(0, 50, 8080, "web-0.demo.svc.cluster.local")])
    await named.update("update add alias.demo.svc.cluster.local. 30 CNAME web.demo.svc.cluster.local.")
    ...  # it answers at `named.address`
"""

import asyncio
import os
import shutil
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

import dnslib
import pytest

from proxy.demo.child import Child
from proxy.demo.ports import free_ports
from proxy.demo.zone import TTL_S, key
from tests.support import eventually

ORIGIN = "demo.svc.cluster.local."
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # of Debian's users only root looks there for named
NAMED = shutil.which("named", path=PATH)
NSUPDATE = shutil.which("nsupdate", path=PATH)
STARTS_WITHIN_S = 10.0

needs_named = pytest.mark.skipif(
    NAMED is None or NSUPDATE is None, reason="no BIND here: apt-get install bind9 bind9-dnsutils"
)

# A Child is a Python process: this one becomes another program.
BECOME = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"

CONFIG = """
options {{
    directory "{home}";
    listen-on port {port} {{ {ip}; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    empty-zones-enable no;
    pid-file none;
    session-keyfile none;
}};
controls {{ }};
zone "{origin}" {{ type primary; file "zone"; allow-update {{ {ip}; }}; }};
"""

ZONE = """
$TTL {ttl_s}
@   SOA ns hostmaster 1 7200 1800 86400 {ttl_s}
@   NS  ns
ns  A   {ip}
"""


class Named:
    """One `named`, answering while the block runs; then its process and its files are gone."""

    def __init__(self) -> None:
        self.ip = "127.0.0.1"
        (self.port,) = free_ports(1, [self.ip])

    @property
    def address(self) -> str:
        """`ip:port`, as HEADWAY_DNS_SERVERS wants it."""
        return f"{self.ip}:{self.port}"

    async def set(self, name: str, ips: Iterable[str], ttl_s: int = TTL_S) -> None:
        """The addresses of a name, instead of those it had; with none, and nothing else, it is no more."""
        records = [f"{'AAAA' if ':' in ip else 'A'} {ip}" for ip in ips]
        await self._replace(name, ("A", "AAAA"), records, ttl_s)

    async def set_srv(
        self, name: str, targets: Iterable[tuple[int, int, int, str]], ttl_s: int = TTL_S
    ) -> None:
        """The SRV records of a name: priority, weight, port and host of each."""
        records = [f"SRV {priority} {weight} {port} {key(host)}" for priority, weight, port, host in targets]
        await self._replace(name, ("SRV",), records, ttl_s)

    async def _replace(self, name: str, types: Iterable[str], records: Iterable[str], ttl_s: int) -> None:
        gone = [f"update delete {key(name)} {each}" for each in types]
        await self.update(*gone, *(f"update add {key(name)} {ttl_s} {each}" for each in records))

    async def update(self, *lines: str) -> None:
        """One transaction in nsupdate's language; RuntimeError when it is refused."""
        assert NSUPDATE is not None
        script = [f"server {self.ip} {self.port}", f"zone {ORIGIN}", *lines, "send"]
        process = await asyncio.create_subprocess_exec(
            *(NSUPDATE, "-t", "5"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate("\n".join([*script, ""]).encode())
        if process.returncode != 0:
            raise RuntimeError(f"nsupdate: {said.decode().strip()}")

    async def __aenter__(self) -> "Named":
        async with AsyncExitStack() as stack:
            home = Path(stack.enter_context(TemporaryDirectory(prefix="named-")))
            self.child = await self._start(home)
            stack.push_async_callback(self.child.stop)
            await self._comes_up()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self, home: Path) -> Child:
        assert NAMED is not None
        # AppArmor confines /usr/sbin/named, not a copy, to directories in which only root may write.
        shutil.copy2(NAMED, home / "named")
        facts = {"home": home, "ip": self.ip, "port": self.port, "origin": ORIGIN, "ttl_s": TTL_S}
        (home / "named.conf").write_text(CONFIG.format(**facts))
        (home / "zone").write_text(ZONE.format(**facts))
        options = "-g", "-f", "-n", "1", "-c", str(home / "named.conf")
        return await Child.start("named", "-c", BECOME, str(home / "named"), *options)

    async def _comes_up(self) -> None:
        try:
            async with asyncio.timeout(STARTS_WITHIN_S):
                await eventually(self._answers)
        except TimeoutError:
            raise self.child.failure(f"did not answer at {self.address}") from None

    async def _answers(self) -> bool:
        if self.child.ended is not None:
            await self.child.wait()
            raise self.child.failure("ended")
        question = dnslib.DNSRecord.question(ORIGIN, "SOA")
        try:
            for tcp in (True, False):  # without a listener TCP says no at once, UDP nothing
                packet = await asyncio.to_thread(question.send, self.ip, self.port, tcp, 1.0)
                if not dnslib.DNSRecord.parse(packet).rr:
                    return False
        except OSError:
            return False
        return True
