"""What the containers of the example run, run here: pods answer through Headway, applications end in time."""

import asyncio
import signal
import sys
from ast import literal_eval
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from proxy.demo.ports import free_ports
from tests.deploy.kustomize import clients, named, needs_kubectl
from tests.support import eventually, run
from tests.support.process import Proxy, running

pytestmark = [needs_kubectl, pytest.mark.slow]


def test_the_job_is_served_by_every_pod(tmp_path: Path) -> None:
    """It asks a thousand times, says how many answers each pod of orders gave, and ends with 0."""

    async def story() -> None:
        async with three_orders(tmp_path) as proxy, application("overlays/job", "report", proxy) as report:
            output, _ = await report.communicate()

            answers = literal_eval(output.decode())
            assert report.returncode == 0
            assert set(answers) == {"orders-0", "orders-1", "orders-2"}
            assert sum(answers.values()) == 1000

    run(story())


@pytest.mark.parametrize(("directory", "name"), [("base", "shop"), ("overlays/statefulset", "basket")])
def test_the_application_ends_when_told(directory: str, name: str, tmp_path: Path) -> None:
    """As process 1 it would not end at all without a handler for SIGTERM, and Headway would wait with it."""

    async def story() -> None:
        async with three_orders(tmp_path) as proxy, application(directory, name, proxy) as shop:
            await proxy.counts_at_least("headway_connections_total", 1, outcome="completed")
            shop.send_signal(signal.SIGTERM)

            assert await shop.wait() == 0

    run(story())


@asynccontextmanager
async def three_orders(directory: Path) -> AsyncIterator[Proxy]:
    """Headway before three pods of the StatefulSet orders, each with what its downward API volume holds."""
    [port] = free_ports(1, ["127.0.0.1", "127.0.0.2", "127.0.0.3"])
    async with AsyncExitStack() as stack:
        for number in range(3):
            volume = directory / str(number)
            volume.mkdir()
            (volume / "name").write_text(f"orders-{number}")
            change = {"8080": str(port), "::": f"127.0.0.{number + 1}", "/pod": str(volume)}
            command = named("base", "StatefulSet", "orders")["spec"]["template"]["spec"]["containers"][0]
            await stack.enter_async_context(started([change.get(each, each) for each in command["command"]]))
            await eventually(partial(listens, change["::"], port))
        target = ",".join(f"127.0.0.{number + 1}:{port}" for number in range(3))
        proxy = running(TARGET=f"static://{target}", READY_WHEN="endpoint")
        yield await stack.enter_async_context(proxy)


async def listens(ip: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(ip, port)
    except OSError:
        return False
    writer.close()
    return True


def application(directory: str, name: str, proxy: Proxy) -> AbstractAsyncContextManager[Process]:
    """What runs beside the sidecar."""
    [app] = [each.app for each in clients(directory) if each.workload["metadata"]["name"] == name]
    return started([*app["command"], *app["args"]], ORDERS_URL=f"http://127.0.0.1:{proxy.port}")


@asynccontextmanager
async def started(command: list[str], **variables: str) -> AsyncIterator[Process]:
    """`command`, with this Python for the container's; killed at the end if it still runs."""
    assert command[0] == "python"
    process = await create_subprocess_exec(
        sys.executable, *command[1:], env=variables, stdout=PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
