"""The ways in: a Unix socket, IPv6, and a listener that runs out of room."""

import asyncio
import contextlib
import itertools
import json
import os
import resource
import socket
from pathlib import Path

import pytest

from proxy.datapath.engines import is_built
from tests.support import run
from tests.support.pods import Connection, ask_once, connect, pods, pods_on, static
from tests.support.process import Proxy, running, up

pytestmark = pytest.mark.slow

RELAYS = ["asyncio", *(["native"] if is_built() else [])]

FEW_DESCRIPTORS = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
runpy.run_module("proxy", run_name="__main__")
"""


def test_a_unix_socket(tmp_path: Path) -> None:
    """An application may connect to a socket file; a file left by a killed process does not matter."""
    path = tmp_path / "orders.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))

    async def story() -> None:
        async with pods(1) as some, running(TARGET=static(some), LISTEN=f"unix:{path}"):
            reader, writer = await asyncio.open_unix_connection(path)
            connection = Connection(reader, writer, (await reader.readline()).decode().strip())
            assert connection.pod == some[0].ip
            assert await connection.echo(b"hello") == b"hello"
            await connection.close()
        assert not path.exists()

    run(story())


def test_ipv6_on_both_sides() -> None:
    """A client on ::1 reaches a pod on ::1."""

    async def story() -> None:
        async with pods_on("::1") as some, running(TARGET=static(some), LISTEN="[::1]:0") as proxy:
            (service,) = json.loads((await proxy.page("/endpoints", admin=True)).text)["services"]
            port = int(service["listen"].removeprefix("[::1]:"))
            assert await ask_once(("::1", port)) == "::1"

    run(story())


def test_a_lone_connection_is_not_closed_for_its_silence() -> None:
    """A client that says nothing for a while, and a pod that does not either, stay connected."""

    async def story() -> None:
        async with pods(1) as some, running(TARGET=static(some), CONNECT_DEADLINE="100ms") as proxy:
            connection = await connect(proxy.address)
            await asyncio.sleep(0.5)
            assert await connection.echo(b"still here") == b"still here"
            await connection.close()

    run(story())


def test_an_application_that_takes_a_break_from_reading() -> None:
    """It finds everything there afterwards, however short TCP_USER_TIMEOUT is."""
    reply = bytes(16 << 20)

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await writer.drain()
        writer.close()

    async def story() -> None:
        async with await asyncio.start_server(send, "127.0.0.1", 0) as pod:
            target = f"static://127.0.0.1:{pod.sockets[0].getsockname()[1]}"
            async with running(TARGET=target, TCP_USER_TIMEOUT="500ms", HEALTH_CHECK="off") as proxy:
                reader, writer = await asyncio.open_connection(*proxy.address)
                await asyncio.sleep(2)

                assert await reader.read(-1) == reply
                writer.close()

    run(story())


def test_more_connections_than_descriptors() -> None:
    """Above the cap new connections wait, checks and pages go on, and nobody is lost."""

    async def story() -> None:
        async with pods(2) as some:
            proxy = Proxy({"TARGET": static(some), "HEALTH_INTERVAL": "100ms", "CONNECT_DEADLINE": "10s"})
            proxy.arguments = ("-c", FEW_DESCRIPTORS)
            async with up(proxy):
                first = await asyncio.gather(*(connect(proxy.address) for _ in range(50)))
                crowd = [asyncio.create_task(ask_once(proxy.address)) for _ in range(100)]
                await proxy.logs("no room for more")
                checks = await proxy.metric("headway_health_checks_total", result="passed")
                await proxy.counts_at_least("headway_health_checks_total", checks + 10, result="passed")
                assert (await proxy.page("/readyz")).status == 200

                for each in first:
                    await each.close()

                assert set(await asyncio.gather(*crowd)) == {pod.ip for pod in some}
                assert await proxy.metric("headway_health_checks_total", result="failed") == 0

    run(story())


def test_max_connections() -> None:
    """No more are served at a time; who comes then waits in the kernel, until one of them ends."""

    async def story() -> None:
        async with pods(2) as some, running(TARGET=static(some), MAX_CONNECTIONS="2") as proxy:
            assert await proxy.metric("headway_connections_max") == 2
            inside = [await connect(proxy.address) for _ in range(2)]
            outside = asyncio.create_task(ask_once(proxy.address))
            await proxy.logs("no room for more")
            assert "room for 2 connections (MAX_CONNECTIONS)" in proxy.log
            assert await proxy.metric("headway_connections_active") == 2
            await inside[0].close()

            assert await outside in {pod.ip for pod in some}
            await inside[1].close()

    run(story())


def descriptors(proxy: Proxy, limit: int | None) -> None:
    """Nothing more can be opened by the process; or as much as before."""
    taken = {int(fd) for fd in os.listdir(f"/proc/{proxy.child.pid}/fd")}
    hard = resource.prlimit(proxy.child.pid, resource.RLIMIT_NOFILE)[1]
    lowest_free = next(fd for fd in itertools.count() if fd not in taken)
    resource.prlimit(proxy.child.pid, resource.RLIMIT_NOFILE, (limit or lowest_free, hard))


@pytest.mark.parametrize("relay", RELAYS)
def test_promise_8(relay: str) -> None:
    """Out of room or descriptors it sheds, counts and says so, and accepts as soon as there is room again."""

    async def story() -> None:
        settings = {
            "MAX_CONNECTIONS": "2",
            "CONNECT_DEADLINE": "300ms",
            "RELAY": relay,
            "HEALTH_CHECK": "off",
        }
        async with pods(1) as some, running(TARGET=static(some), **settings) as proxy:
            inside = await connect(proxy.address)
            descriptors(proxy, None)
            with pytest.raises(ConnectionResetError):
                await ask_once(proxy.address)
            descriptors(proxy, 1000)
            second = await connect(proxy.address)
            with pytest.raises(ConnectionResetError):
                await ask_once(proxy.address)

            for reason in ("out_of_descriptors", "no_room"):
                assert await proxy.metric("headway_connections_total", outcome=reason) == 1
                assert await proxy.metric("headway_sheds_total", reason=reason) == 1
            assert proxy.log.count("who has waited for 0.3 s is reset") == 2
            await inside.close()
            await second.close()
            assert await ask_once(proxy.address) == some[0].ip

    run(story())


SUPERVISOR = """
import os, select, socket, sys
sock = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
os.dup2(sock.fileno(), 3)
os.set_inheritable(3, True)
print("keeps it", flush=True)
for _ in range(2):  # as systemd: the next one starts for the first that waits
    select.select([sock], [], [])
    pid = os.fork()
    if not pid:
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="orders.socket")
        os.execv(sys.executable, [sys.executable, "-m", "proxy"])
    status = os.waitpid(pid, 0)[1]
    print("ended", os.waitstatus_to_exitcode(status), flush=True)
"""


async def ask_until(proxy: Proxy, line: str, times: int) -> set[str]:
    """Who answered, one after another, until the log has had the line so often."""
    answers = set()
    while proxy.log.count(line) < times:
        answers.add(await ask_once(proxy.address))
    return answers


def test_a_restart_loses_no_connection() -> None:
    """If a supervisor keeps the socket, a process that ends under load is done with all that it took, and
    who comes before there is another one is served by that.
    """

    async def story() -> None:
        async with pods(2) as some:
            proxy = Proxy({"TARGET": static(some), "DRAIN_TIMEOUT": "10s", "DRAIN_QUIET": "9900ms"})
            proxy.arguments = ("-c", SUPERVISOR, str(proxy.port))
            await proxy.start()
            try:
                await proxy.logs("keeps it")
                assert await ask_once(proxy.address) in {pod.ip for pod in some}
                load = [asyncio.create_task(ask_until(proxy, "is up", times=2)) for _ in range(8)]
                await proxy.page("/drain", admin=True, method="POST")

                assert set().union(*await asyncio.gather(*load)) == {pod.ip for pod in some}
                assert "ended 0" in proxy.log
                assert "0 connections still open" in proxy.log
                await proxy.page("/quit", admin=True, method="POST")
                assert await proxy.ends() == 0
            finally:
                with contextlib.suppress(OSError):  # the second one, if it is still there
                    await proxy.page("/quit", admin=True, method="POST")
                await proxy.child.stop()

    run(story())


def test_several_addresses(tmp_path: Path) -> None:
    """One service on TCP of both families and a file that only its group may use."""
    path = tmp_path / "orders.sock"

    async def story() -> None:
        async with pods(1) as some:
            listens = f"127.0.0.1:0,[::1]:0,unix:{path}?mode=0660"
            async with running(TARGET=static(some), LISTEN=listens) as proxy:
                (service,) = json.loads((await proxy.page("/endpoints", admin=True)).text)["services"]
                one, other, file = service["listen"].split(", ")
                for where in (one, other):
                    ip, _, number = where.rpartition(":")
                    assert await ask_once((ip.strip("[]"), int(number))) == some[0].ip
                assert file == f"unix:{path}"
                assert path.stat().st_mode & 0o777 == 0o660
                _, writer = await asyncio.open_unix_connection(path)
                writer.close()
            assert not path.exists()

    run(story())
