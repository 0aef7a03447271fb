"""PROXY headers between Headway and those who made the protocol and speak it too: HAProxy and nginx."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from loadtest.compare.configurations import STREAM_MODULE
from loadtest.compare.processes import Program
from loadtest.compare.subjects import Missing, haproxy_program, nginx_program
from proxy.demo.ports import free_ports
from proxy.model import Address
from proxy.policy.proxy_protocol import NOTHING, read
from tests.policy.test_proxy_protocol import READ, WRITTEN
from tests.support import run
from tests.support.process import running

pytestmark = pytest.mark.slow

GET = b"GET / HTTP/1.0\r\n\r\n"
FAST = {"HEALTH_INTERVAL": "100ms", "HEALTH_PASSIVE_FIRST": "false", "HEALTH_CHECK": "http"}


def haproxy(folder: Path, text: str) -> list[str]:
    times = "timeout connect 5s\n timeout client 20s\n timeout server 20s"
    path = folder / "haproxy.cfg"
    path.write_text(f"defaults\n {times}\n{text}")
    return [haproxy_program(), "-db", "-f", str(path)]


def nginx(folder: Path, text: str) -> list[str]:
    path = folder / "nginx.conf"
    module = f"load_module {STREAM_MODULE};\n" if STREAM_MODULE.exists() else ""
    head = f"{module}daemon off; master_process off; pid {folder}/pid; error_log stderr;\nevents {{}}\n"
    path.write_text(head + text)
    return [nginx_program(), "-e", "stderr", "-c", str(path)]


def haproxy_pod(folder: Path, ip: str, port: int) -> list[str]:
    """Tells who it believes has connected to what."""
    at = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
    said = '"%[src] %[src_port] %[dst] %[dst_port]"'
    return haproxy(
        folder,
        f"frontend pod\n mode http\n bind {at} accept-proxy\n"
        f" http-request return status 200 content-type text/plain lf-string {said}\n",
    )


def nginx_pod(folder: Path, ip: str, port: int) -> list[str]:
    at = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
    told = [f"$proxy_protocol_{part}" for part in ("addr", "port", "server_addr", "server_port")]
    paths = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return nginx(
        folder,
        f"http {{ access_log off; {paths} server {{ listen {at} proxy_protocol;"
        f' location / {{ return 200 "{" ".join(told)}"; }} }} }}\n',
    )


def haproxy_front(folder: Path, port: int, to: Address, send: str) -> list[str]:
    text = f"listen front\n mode tcp\n bind 127.0.0.1:{port}\n server s {to} {send}\n"
    return haproxy(folder, text)


def nginx_front(folder: Path, port: int, to: Address, send: str) -> list[str]:
    if not STREAM_MODULE.exists():
        raise Missing("nginx has no stream module (Debian: libnginx-mod-stream)")
    text = f"stream {{ server {{ listen 127.0.0.1:{port}; proxy_pass {to}; proxy_protocol on; }} }}\n"
    return nginx(folder, text)


PODS: dict[str, Callable[[Path, str, int], list[str]]] = {"haproxy": haproxy_pod, "nginx": nginx_pod}
FRONTS = {
    "haproxy-v1": (haproxy_front, "send-proxy"),
    "haproxy-v2": (haproxy_front, "send-proxy-v2"),
    "haproxy-v2-tlvs": (haproxy_front, "send-proxy-v2 proxy-v2-options crc32c,unique-id"),
    "nginx": (nginx_front, ""),
}


@asynccontextmanager
async def programs(folder: Path, *each: Callable[[Path], tuple[list[str], Address]]) -> AsyncIterator[None]:
    """Those, listening; a test whose programs are not here is skipped."""
    async with AsyncExitStack() as cleanup:
        for number, make in enumerate(each):
            place = folder / str(number)
            place.mkdir()
            try:
                command, address = make(place)
            except Missing as why:
                pytest.skip(str(why))
            program = await Program.start(place / "log", *command)
            cleanup.push_async_callback(program.stop)
            await program.accepts(address)
        yield


async def reply(to: tuple[str, int], said: bytes) -> tuple[str, Address]:
    """The body of what comes back, and who asked."""
    reader, writer = await asyncio.open_connection(*to)
    ours = Address(*writer.get_extra_info("sockname")[:2])
    writer.write(said)
    try:
        whole = await reader.read()
    except ConnectionResetError:
        whole = b""
    writer.close()
    return whole.partition(b"\r\n\r\n")[2].decode(), ours


@pytest.mark.parametrize("relay", ["native", "asyncio"])
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("name", PODS)
def test_sent_to(tmp_path: Path, name: str, version: str, relay: str) -> None:
    """They believe what Headway says of the client, and pass its checks, each with a header."""

    async def story() -> None:
        (port,) = free_ports(1)
        make = PODS[name]
        target = f"static://127.0.0.1:{port}"
        settings = {"TARGET": target, "PROXY_PROTOCOL_SEND": version, "RELAY": relay}
        pod = Address("127.0.0.1", port)
        async with (
            programs(tmp_path, lambda folder: (make(folder, *pod), pod)),
            running(**settings, **FAST) as proxy,
        ):
            said, ours = await reply(proxy.address, GET)
            assert said.split() == [ours.ip, str(ours.port), "127.0.0.1", str(proxy.port)]
            await proxy.counts_at_least("headway_health_checks_total", 3, result="passed")
            assert await proxy.metric("headway_health_checks_total", result="failed") == 0

    run(story())


def test_without_it(tmp_path: Path) -> None:
    """A pod that expects a header serves nobody who sends none: these pods do tell the difference."""

    async def story() -> None:
        (port,) = free_ports(1)
        pod = Address("127.0.0.1", port)
        async with (
            programs(tmp_path, lambda folder: (haproxy_pod(folder, *pod), pod)),
            running(TARGET=f"static://{pod}", READY_WHEN="listening", **FAST) as proxy,
        ):
            assert (await reply(proxy.address, GET))[0] == ""
            await proxy.counts_at_least("headway_health_checks_total", 1, result="failed")

    run(story())


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("front", FRONTS)
def test_through_two(tmp_path: Path, front: str, version: str) -> None:
    """What one in front says of the client arrives at a pod behind Headway."""

    async def story() -> None:
        front_port, port, pod_port = free_ports(3)
        make, send = FRONTS[front]
        pod, here = Address("127.0.0.1", pod_port), Address("127.0.0.1", port)
        before = Address("127.0.0.1", front_port)
        settings = {"PROXY_PROTOCOL_ACCEPT": "true", "PROXY_PROTOCOL_SEND": version, "LISTEN": str(here)}
        async with (
            programs(
                tmp_path,
                lambda folder: (haproxy_pod(folder, *pod), pod),
                lambda folder: (make(folder, front_port, here, send), before),
            ),
            running(TARGET=f"static://{pod}", **settings, **FAST) as proxy,
        ):
            said, ours = await reply(before, GET)
            assert said.split() == [ours.ip, str(ours.port), before.ip, str(before.port)]
            assert (await reply(here, GET))[0] == ""
            await proxy.counts("headway_connections_total", 1, outcome="proxy_protocol")

    run(story())


def test_ipv6(tmp_path: Path) -> None:
    """A client on ::1 is told of as what it is."""

    async def story() -> None:
        (port,) = free_ports(1, ["::1"])
        pod = Address("::1", port)
        settings = {"TARGET": f"static://{pod}", "PROXY_PROTOCOL_SEND": "v1", "LISTEN": "[::1]:0"}
        async with (
            programs(tmp_path, lambda folder: (haproxy_pod(folder, *pod), pod)),
            running(**settings, **FAST) as proxy,
        ):
            (service,) = json.loads((await proxy.page("/endpoints", admin=True)).text)["services"]
            own = int(service["listen"].removeprefix("[::1]:"))
            said, ours = await reply(("::1", own), GET)
            assert said.split() == ["::1", str(ours.port), "::1", str(own)]

    run(story())


def test_read_alike(tmp_path: Path) -> None:
    """Each header that we write, HAProxy takes for one, and reads the same addresses in it.

    So it does with those that we read; but for those of nobody, most of which it refuses.
    """
    texts = [text for text in READ if READ[text] != NOTHING] + [text for _, _, text in WRITTEN]

    async def story() -> None:
        (port,) = free_ports(1)
        pod = Address("127.0.0.1", port)
        async with programs(tmp_path, lambda folder: (haproxy_pod(folder, *pod), pod)):
            for text in texts:
                found = read(text)
                assert found is not None
                said, ours = await reply(pod, text + GET)
                ends = (found.header.source or ours, found.header.destination or pod)
                assert said.split(" ") == [part for ip, port in ends for part in (ip, str(port or ""))]

    run(story())
