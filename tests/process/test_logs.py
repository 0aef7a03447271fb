"""A log that nobody reads, or can read, is not the application's problem."""

import signal

import pytest

from tests.support import run
from tests.support.pods import ask_once, pods, static
from tests.support.process import Proxy, up

pytestmark = pytest.mark.slow

INTO_A_PIPE = """
import os, runpy
reads, writes = os.pipe()
os.dup2(writes, 2)
os.close(writes)
{}
runpy.run_module("proxy", run_name="__main__")
"""


@pytest.mark.parametrize("reader", ["pass  # it never reads", "os.close(reads)  # it is gone"])
def test_a_log_without_a_reader(reader: str) -> None:
    """800 connections with a line each are served, the pages answer, and the process ends as asked."""

    async def story() -> None:
        async with pods(1) as some:
            proxy = Proxy({"TARGET": static(some), "ACCESS_LOG": "all", "POD_NAME": "p" * 200})
            proxy.arguments = ("-c", INTO_A_PIPE.format(reader))
            async with up(proxy):
                for _ in range(800):
                    await ask_once(proxy.address)
                assert (await proxy.page("/readyz")).status == 200
                proxy.signal(signal.SIGTERM)

                assert await proxy.ends() == 0

    run(story())
